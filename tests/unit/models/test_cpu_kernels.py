from __future__ import annotations

import dataclasses
import os
import subprocess
import sys

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional

from gaudi_asr_cli.core.devices.cpu import open_cpu
from gaudi_asr_cli.core.models.cpu import convolution
from gaudi_asr_cli.core.models.cpu.attention import Attention, plan_tiles
from gaudi_asr_cli.core.models.cpu.convolution import (
    GroupNormed,
    PairedWindows,
    slide,
    window_maker,
)
from gaudi_asr_cli.core.models.cpu.fused_attention import attend_fused, can_fuse_attention
from gaudi_asr_cli.core.models.cpu.int8 import (
    INT8_ZERO,
    ZERO_AFTER_GELU,
    can_quantise,
    int8_linear_maker,
    pack_int8,
    quantise_rows,
    saturates,
)
from gaudi_asr_cli.core.models.cpu.linear import can_fuse, linear_maker
from gaudi_asr_cli.core.models.cpu.positions import BLOCKS_FRAMES, pack_spectral, plan_blocks
from gaudi_asr_cli.core.models.geometry import Convolution


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("bias", [draw(7), None])
@pytest.mark.parametrize(
    ("packed", "capability"), [(True, "AVX512"), (True, "AVX2"), (False, "AVX2")]
)
def test_a_linear_multiplies_and_applies_the_operation(monkeypatch, bias, packed, capability):
    monkeypatch.setattr(torch._C, "_has_mkldnn", packed)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    rows, weight, residual = draw(5, 11), draw(7, 11, seed=1), draw(5, 7, seed=2)
    linear = linear_maker(torch.float32)(weight, bias)

    expected = functional.linear(rows, weight, bias)
    assert torch.allclose(linear(rows), expected, atol=1e-5)
    assert torch.allclose(linear.gelu(rows), functional.gelu(expected), atol=1e-5)
    assert torch.allclose(linear.add(rows, residual), expected + residual, atol=1e-5)


@pytest.mark.parametrize("after_gelu", [False, True])
@pytest.mark.parametrize("bias", [draw(64), None])
def test_the_error_of_an_int8_linear_is_about_a_percent(bias, after_gelu):
    if not can_quantise() or saturates():
        pytest.skip("no int8 here, or none whose sums are exact")
    rows, weight, residual = draw(40, 256), draw(64, 256, seed=1), draw(40, 64, seed=2)
    if after_gelu:
        rows = functional.gelu(rows)
    linear = int8_linear_maker(after_gelu=after_gelu)(weight, bias)

    exact = functional.linear(rows, weight, bias)
    for result, expected in (
        (linear(rows), exact),
        (linear.gelu(rows), functional.gelu(exact)),
        (linear.add(rows, residual), exact + residual),
    ):
        assert result.dtype == torch.float32
        assert (result - expected).norm() / expected.norm() < 0.02


def test_what_the_mean_row_loses_by_the_rounding_of_the_weight_is_added():
    if not can_quantise() or saturates():
        pytest.skip("no int8 here, or none whose sums are exact")
    # Rows that hardly differ: without the correction all of them have the same error.
    rows = draw(1, 256) + 0.01 * draw(40, 256, seed=1)
    linear = int8_linear_maker()(draw(64, 256, seed=2), None)
    bare = dataclasses.replace(linear, residue=pack_int8(torch.zeros(64, 256)))

    exact = functional.linear(rows, draw(64, 256, seed=2))
    corrected, uncorrected = (
        (one(rows) - exact).mean(0).norm() / exact.mean(0).norm() for one in (linear, bare)
    )
    assert corrected < 0.6 * uncorrected


@pytest.mark.slow
def test_products_of_bytes_saturate_on_avx2_alone():
    if not can_quantise():
        pytest.skip("this build of torch lacks int8 on this processor")
    script = (
        "from gaudi_asr_cli.core.models.cpu.int8 import can_quantise, saturates\n"
        "print(can_quantise() and saturates())"
    )
    limited = {**os.environ, "ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2"}
    printed = subprocess.run(
        [sys.executable, "-c", script], env=limited, capture_output=True, text=True, check=True
    )

    assert printed.stdout.strip() == "True"
    assert saturates() or "avx512_vnni" in open_cpu().flags or "avx_vnni" in open_cpu().flags


@given(
    st.floats(1e-3, 1e4),
    st.sampled_from([torch.float32, torch.bfloat16]),
    st.sampled_from([INT8_ZERO, 112]),
)
def test_quantised_rows_never_overflow(largest, dtype, zero):
    rows = torch.tensor([[largest, -largest, 0.0, largest / 2], [0.0] * 4], dtype=dtype)
    quantised, scales = quantise_rows(rows, zero)

    restored = (quantised.float() - zero) * scales.float()
    assert torch.allclose(restored, rows.float(), atol=0.01 * largest)


@given(st.floats(0, 100))
def test_a_row_after_a_gelu_is_quantised_to_its_range(largest):
    rows = functional.gelu(torch.tensor([[largest, -0.75, -10.0, 0.0]]))
    quantised, scales = quantise_rows(rows, ZERO_AFTER_GELU)

    assert torch.allclose((quantised.float() - ZERO_AFTER_GELU) * scales, rows, atol=float(scales))
    assert float(scales) <= max(float(rows.max()) / 222, 0.17 / 30) * 1.01


@pytest.mark.parametrize("bias", [draw(24), None])
@pytest.mark.parametrize("rows", [3, 4, 5, 6, 7, 8, 9, 41])
def test_paired_windows_are_the_convolution(monkeypatch, rows, bias):
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX2")
    shape = Convolution(3, 2)
    weight = draw(24, 3 * 16)
    pairs = window_maker(torch.float32)(weight, bias, shape)
    windows = slide(draw(rows, 16, seed=1), shape)

    expected = functional.linear(
        windows.double(), weight.double(), None if bias is None else bias.double()
    )
    result = pairs(draw(rows, 16, seed=1))
    assert isinstance(pairs, PairedWindows) or not can_fuse(torch.float32)
    assert result.shape == expected.shape
    assert torch.allclose(result.double(), expected, atol=1e-4)
    assert torch.allclose(pairs.gelu(draw(rows, 16, seed=1)), functional.gelu(result), atol=1e-5)


@pytest.mark.parametrize("frames", [1, 64, 128, 256, 700])
@pytest.mark.parametrize("kernel", [64, 128, 65])
def test_spectra_give_the_grouped_convolution(frames, kernel):
    weight, bias = draw(24, 6, kernel), draw(24, seed=1)
    rows = draw(frames + kernel - 1, 24, seed=2)
    convolve = pack_spectral(weight, bias, 4)

    exact = functional.conv1d(rows.T[None].double(), weight.double(), bias.double(), groups=4)[0].T
    result = convolve(rows)
    assert result.shape == exact.shape
    assert (result - exact).norm() / exact.norm() < 1e-6
    assert torch.allclose(convolve.gelu(rows), functional.gelu(result))


@given(st.integers(1, 5000))
def test_position_blocks_cover_every_frame_once(frames):
    blocks = list(plan_blocks(frames))

    longest = BLOCKS_FRAMES[-1]
    assert [start for start, _ in blocks] == list(range(0, frames, longest))
    assert all(length == longest for _, length in blocks[:-1])
    rest = frames - blocks[-1][0]
    assert blocks[-1][1] == min(length for length in BLOCKS_FRAMES if length >= rest)


@given(st.integers(1, 16), st.integers(1, 4000))
def test_attention_tiles_cover_every_score_once_within_the_size_limit(heads, frames):
    covered = torch.zeros(heads, frames, dtype=torch.int8)
    for tile_heads, rows in plan_tiles(heads, frames):
        covered[tile_heads, rows] += 1
        assert covered[tile_heads, rows].numel() * frames <= 1_600_000

    assert (covered == 1).all()


@pytest.mark.parametrize("fused_from", [3000, 0])
def test_tiled_attention_in_bf16_matches_fused_attention(fused_from):
    count, heads = 1500, 2
    lengths = [count, 3]
    qkv = draw(count + 3, 3 * 16)
    tiled = Attention(lambda _: qkv.bfloat16(), None, heads, None, fused_from)(
        torch.empty(count + 3, 16, dtype=torch.bfloat16), lengths
    )
    fused = Attention(lambda _: qkv, None, heads, None)(torch.empty(count + 3, 16), lengths)

    assert (tiled.float() - fused).norm() / fused.norm() < 0.02


@pytest.mark.skipif(not can_fuse_attention(torch.bfloat16), reason="bf16 is not fused here")
@pytest.mark.parametrize("frames", [1, 70, 769, 1500])
def test_an_exponential_in_the_product_is_more_exact_than_a_softmax_in_bf16(frames):
    generator = torch.Generator().manual_seed(0)
    qkv = torch.randn(frames, 3, 2, 64, generator=generator)
    qkv[:, 0] *= 0.3
    qkv = qkv.to(torch.bfloat16)
    query, key, value = qkv.float().permute(1, 2, 0, 3)
    exact = torch.softmax(query @ key.transpose(1, 2), -1) @ value
    tiled, fused = torch.empty(2, 2, frames, 64, dtype=torch.bfloat16)

    assert attend_fused(qkv.view(frames, -1), fused) == []

    low = qkv.permute(1, 2, 0, 3)
    tiled = torch.softmax(low[0] @ low[1].transpose(1, 2), -1) @ low[2]
    error, usual = ((one.float() - exact).norm() for one in (fused, tiled))
    assert error <= 0.006 * exact.norm()
    assert error <= 0.5 * usual or frames == 1


@pytest.mark.skipif(not can_fuse_attention(torch.bfloat16), reason="bf16 is not fused here")
@pytest.mark.parametrize("query", [30.0, -6.0, float("nan"), float("inf")])
def test_a_head_whose_scores_are_too_large_is_left_to_the_softmax(query):
    qkv = torch.ones(100, 3, 3, 16, dtype=torch.bfloat16)
    qkv[:, 0] = 0.1
    qkv[:, 0, 1] = query
    out = torch.zeros(3, 100, 16, dtype=torch.bfloat16)

    # A score of -96 underflows; 480 is beyond the bound.
    assert attend_fused(qkv.view(100, -1), out) == [1]

    torch.testing.assert_close(out[::2], torch.ones(2, 100, 16, dtype=torch.bfloat16))


def test_a_group_norm_folded_into_the_weight_normalises(monkeypatch):
    monkeypatch.setattr(convolution, "STATISTICS_ROWS", 100)
    samples, weight = draw(4_000) + 0.3, draw(6, 10, seed=1)
    scale, shift = draw(6, seed=2), draw(6, seed=3)
    normed = GroupNormed(weight.double(), scale.double(), shift.double(), 1e-5)
    folded, bias = normed.fold(samples.as_strided((799, 10), (5, 1)))

    plain = functional.conv1d(samples[None, None], weight[:, None], stride=5)
    expected = functional.group_norm(plain, 6, scale, shift, 1e-5)
    result = functional.conv1d(samples[None, None], folded[:, None], bias, stride=5)
    assert torch.allclose(result, expected, atol=1e-4)


@pytest.mark.parametrize("fused", [True, False])
def test_bf16_keeps_a_quiet_signal_with_a_large_offset(monkeypatch, fused):
    if not can_fuse(torch.bfloat16):
        pytest.skip("this processor has no bf16")
    monkeypatch.setattr(torch._C, "_has_mkldnn", fused)
    weight, bias = draw(6, 10, seed=1), draw(6, seed=2)
    samples = 40 + 0.01 * draw(500)
    windows = convolution.slide(
        convolution.split_samples(samples, torch.bfloat16), Convolution(10, 5)
    )
    result = convolution.split_linear(weight, bias, torch.bfloat16)(windows)

    rows = samples.unfold(0, 10, 5)
    expected = functional.linear(rows, weight, bias)
    assert torch.allclose(result.float(), expected, rtol=2**-8, atol=0.01)
