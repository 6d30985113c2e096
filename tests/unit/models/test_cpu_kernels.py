from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional

from gaudi_asr_cli.core.models.cpu import convolution
from gaudi_asr_cli.core.models.cpu.attention import Attention, plan_tiles
from gaudi_asr_cli.core.models.cpu.convolution import GroupNormed, window_maker
from gaudi_asr_cli.core.models.cpu.fused_attention import attend_fused, can_fuse_attention
from gaudi_asr_cli.core.models.cpu.int8 import (
    INT8_ZERO,
    can_quantise,
    find_span,
    int8_linear_maker,
    int8_window_maker,
    quantise,
    quantise_rows,
)
from gaudi_asr_cli.core.models.cpu.linear import can_fuse, linear_maker
from gaudi_asr_cli.core.models.cpu.positions import BLOCKS_FRAMES, plan_blocks
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


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("bias", [draw(64), None])
def test_the_error_of_an_int8_linear_is_a_few_percent(dtype, bias):
    if not (can_quantise() and can_fuse(dtype)):
        pytest.skip("this build of torch lacks int8 or bf16 on this processor")
    rows, weight, residual = draw(5, 256).to(dtype), draw(64, 256, seed=1), draw(5, 64, seed=2)
    linear = int8_linear_maker(dtype)(weight, bias)

    exact = functional.linear(rows.float(), weight, bias)
    for result, expected in (
        (linear(rows), exact),
        (linear.gelu(rows), functional.gelu(exact)),
        (linear.add(rows, residual.to(dtype)), exact + residual),
    ):
        assert result.dtype == dtype
        assert (result.float() - expected).norm() / expected.norm() < 0.03


@pytest.mark.parametrize("bias", [draw(64), None])
def test_the_error_of_an_int8_convolution_is_a_few_percent(bias):
    if not can_quantise():
        pytest.skip("this build of torch lacks int8")
    shape = Convolution(3, 2)
    rows, weight = functional.gelu(draw(41, 32)), draw(64, 3 * 32, seed=1)
    exact = window_maker(torch.float32)(weight, bias, shape)
    int8 = int8_window_maker(weight, bias, shape)

    for result, expected in ((int8(rows), exact(rows)), (int8.gelu(rows), exact.gelu(rows))):
        assert result.shape == expected.shape
        assert (result - expected).norm() / expected.norm() < 0.02


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_an_int8_convolution_propagates_non_finite_values(bad):
    rows = draw(41, 32)
    rows[3, 3] = bad
    result = int8_window_maker(draw(64, 3 * 32), None, Convolution(3, 2))(rows)

    assert result.shape == (20, 64)
    assert result.isnan().all()


@given(st.floats(-1e4, 1e4), st.floats(-1e4, 1e4), st.sampled_from([torch.float32, torch.bfloat16]))
def test_the_quantisation_error_is_at_most_a_step(first, second, dtype):
    rows = torch.tensor([[first, second, 0.0]], dtype=dtype)
    span = find_span(rows)

    restored = (quantise(rows, span).float() - span.zero) * span.scale
    assert torch.allclose(restored, rows.float(), atol=span.scale, rtol=1e-5)


@given(st.floats(1e-3, 1e4), st.sampled_from([torch.float32, torch.bfloat16]))
def test_quantised_rows_never_overflow(loudest, dtype):
    rows = torch.tensor([[loudest, -loudest, 0.0, loudest / 2], [0.0] * 4], dtype=dtype)
    quantised, scales = quantise_rows(rows)

    restored = (quantised.float() - INT8_ZERO) * scales.float()
    assert torch.allclose(restored, rows.float(), atol=0.01 * loudest)


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
