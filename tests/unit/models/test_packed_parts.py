from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional

from gaudi_asr_cli.core.models.cpu import convolution
from gaudi_asr_cli.core.models.cpu.attention import Attention, plan_tiles
from gaudi_asr_cli.core.models.cpu.convolution import GroupNormed, window_maker
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
@pytest.mark.parametrize("fused", [True, False])
def test_a_linear_multiplies_and_applies_what_is_fused(monkeypatch, bias, fused):
    monkeypatch.setattr(torch._C, "_has_mkldnn", fused)
    rows, weight, residual = draw(5, 11), draw(7, 11, seed=1), draw(5, 7, seed=2)
    made = linear_maker(torch.float32)(weight, bias)

    expected = functional.linear(rows, weight, bias)
    assert torch.allclose(made(rows), expected, atol=1e-5)
    assert torch.allclose(made.gelu(rows), functional.gelu(expected), atol=1e-5)
    assert torch.allclose(made.add(rows, residual), expected + residual, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("bias", [draw(64), None])
def test_an_int8_linear_errs_by_a_few_percent(dtype, bias):
    if not (can_quantise() and can_fuse(dtype)):
        pytest.skip("this torch multiplies no 8-bit integers or no bf16 here")
    rows, weight, residual = draw(5, 256).to(dtype), draw(64, 256, seed=1), draw(5, 64, seed=2)
    made = int8_linear_maker(dtype)(weight, bias)

    exact = functional.linear(rows.float(), weight, bias)
    for found, expected in (
        (made(rows), exact),
        (made.gelu(rows), functional.gelu(exact)),
        (made.add(rows, residual.to(dtype)), exact + residual),
    ):
        assert found.dtype == dtype
        assert (found.float() - expected).norm() / expected.norm() < 0.03


@pytest.mark.parametrize("bias", [draw(64), None])
def test_an_int8_convolution_errs_by_a_few_percent(bias):
    if not can_quantise():
        pytest.skip("this torch multiplies no 8-bit integers")
    shape = Convolution(3, 2)
    rows, weight = functional.gelu(draw(41, 32)), draw(64, 3 * 32, seed=1)
    exact = window_maker(torch.float32)(weight, bias, shape)
    made = int8_window_maker(weight, bias, shape)

    for found, expected in ((made(rows), exact(rows)), (made.gelu(rows), exact.gelu(rows))):
        assert found.shape == expected.shape
        assert (found - expected).norm() / expected.norm() < 0.02


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_an_int8_convolution_hides_no_number_that_is_none(bad):
    rows = draw(41, 32)
    rows[3, 3] = bad
    found = int8_window_maker(draw(64, 3 * 32), None, Convolution(3, 2))(rows)

    assert found.shape == (20, 64)
    assert found.isnan().all()


@given(st.floats(-1e4, 1e4), st.floats(-1e4, 1e4), st.sampled_from([torch.float32, torch.bfloat16]))
def test_quantised_numbers_stay_within_a_step(first, second, dtype):
    rows = torch.tensor([[first, second, 0.0]], dtype=dtype)
    span = find_span(rows)

    restored = (quantise(rows, span).float() - span.zero) * span.scale
    assert torch.allclose(restored, rows.float(), atol=span.scale, rtol=1e-5)


@given(st.floats(1e-3, 1e4), st.sampled_from([torch.float32, torch.bfloat16]))
def test_quantised_rows_never_wrap_around(loudest, dtype):
    rows = torch.tensor([[loudest, -loudest, 0.0, loudest / 2], [0.0] * 4], dtype=dtype)
    quantised, scales = quantise_rows(rows)

    restored = (quantised.float() - INT8_ZERO) * scales.float()
    assert torch.allclose(restored, rows.float(), atol=0.01 * loudest)


@given(st.integers(1, 5000))
def test_blocks_of_positions_cover_every_frame_once(frames):
    blocks = list(plan_blocks(frames))

    longest = BLOCKS_FRAMES[-1]
    assert [start for start, _ in blocks] == list(range(0, frames, longest))
    assert all(length == longest for _, length in blocks[:-1])
    rest = frames - blocks[-1][0]
    assert blocks[-1][1] == min(length for length in BLOCKS_FRAMES if length >= rest)


@given(st.integers(1, 16), st.integers(1, 4000))
def test_tiles_cover_every_score_once_and_stay_small(heads, frames):
    seen = torch.zeros(heads, frames, dtype=torch.int8)
    for some, rows in plan_tiles(heads, frames):
        seen[some, rows] += 1
        assert seen[some, rows].numel() * frames <= 1_600_000

    assert (seen == 1).all()


@pytest.mark.parametrize("fused_from", [3000, 0])
def test_long_utterances_attend_in_bf16_as_in_one_piece(fused_from):
    count, heads = 1500, 2
    lengths = [count, 3]
    joined = draw(count + 3, 3 * 16)
    quick = Attention(lambda _: joined.bfloat16(), None, heads, None, fused_from)(
        torch.empty(count + 3, 16, dtype=torch.bfloat16), lengths
    )
    fused = Attention(lambda _: joined, None, heads, None)(torch.empty(count + 3, 16), lengths)

    assert (quick.float() - fused).norm() / fused.norm() < 0.02


def test_a_group_norm_folded_into_the_weight_normalises(monkeypatch):
    monkeypatch.setattr(convolution, "STATISTICS_ROWS", 100)
    samples, weight = draw(4_000) + 0.3, draw(6, 10, seed=1)
    scale, shift = draw(6, seed=2), draw(6, seed=3)
    normed = GroupNormed(weight.double(), scale.double(), shift.double(), 1e-5)
    folded, bias = normed.fold(samples.as_strided((799, 10), (5, 1)))

    plain = functional.conv1d(samples[None, None], weight[:, None], stride=5)
    expected = functional.group_norm(plain, 6, scale, shift, 1e-5)
    found = functional.conv1d(samples[None, None], folded[:, None], bias, stride=5)
    assert torch.allclose(found, expected, atol=1e-4)


@pytest.mark.parametrize("fused", [True, False])
def test_bf16_keeps_quiet_sound_beside_a_constant(monkeypatch, fused):
    if not can_fuse(torch.bfloat16):
        pytest.skip("this processor has no bf16")
    monkeypatch.setattr(torch._C, "_has_mkldnn", fused)
    weight, bias = draw(6, 10, seed=1), draw(6, seed=2)
    samples = 40 + 0.01 * draw(500)
    windows = convolution.slide(
        convolution.split_samples(samples, torch.bfloat16), Convolution(10, 5)
    )
    found = convolution.split_linear(weight, bias, torch.bfloat16)(windows)

    rows = samples.unfold(0, 10, 5)
    expected = functional.linear(rows, weight, bias)
    assert torch.allclose(found.float(), expected, rtol=2**-8, atol=0.01)
