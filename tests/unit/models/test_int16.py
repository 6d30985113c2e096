"""Products and attention in 16-bit integers against torch in float64."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from gaudi_asr_cli.core.devices.int16 import can_multiply_int16
from gaudi_asr_cli.core.models.cpu import int16
from gaudi_asr_cli.core.models.cpu.int16 import (
    Int16Attention,
    int16_linear_maker,
    pack_int16,
    pack_int16_frames,
)
from gaudi_asr_cli.core.models.geometry import Convolution
from gaudi_asr_cli.core.models.threads import threads

pytestmark = pytest.mark.skipif(not can_multiply_int16(), reason="this processor has no AVX2")


@pytest.fixture(params=["AVX2", "AVX512"], autouse=True)
def instructions(request, monkeypatch):
    """Run each test with the kernel of each instruction set that this processor has."""
    capability = torch.backends.cpu.get_cpu_capability()
    if request.param == "AVX512" and capability == "AVX2":
        pytest.skip("this processor has no AVX-512")
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: request.param)


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def error(found: torch.Tensor, expected: torch.Tensor) -> float:
    return float((found.double() - expected.double()).norm() / expected.double().norm())


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("outputs", [7, 32, 100])
@pytest.mark.parametrize(("rows", "inputs"), [(1, 16), (5, 80), (6, 512), (50, 768), (300, 1536)])
def test_a_linear_multiplies_and_applies_the_operation(rows, inputs, outputs, bias):
    frames, weight = draw(rows, inputs), draw(outputs, inputs, seed=1)
    residual, added = draw(rows, outputs, seed=2), draw(outputs, seed=3) if bias else None
    linear = pack_int16(weight, added)

    exact = functional.linear(
        frames.double(), weight.double(), None if added is None else added.double()
    )
    for found, expected in (
        (linear(frames), exact),
        (linear.gelu(frames), functional.gelu(exact)),
        (linear.add(frames, residual), exact + residual),
    ):
        assert found.shape == expected.shape
        assert error(found, expected) < 1e-3


@pytest.mark.parametrize(("kernel", "stride"), [(3, 1), (3, 2), (2, 2), (10, 5)])
@pytest.mark.parametrize("rows", [10, 41, 500])
def test_windows_are_the_convolution(kernel, stride, rows):
    frames, weight, bias = draw(rows, 48), draw(64, 48, kernel, seed=1), draw(64, seed=2)
    convolve = pack_int16(weight.permute(0, 2, 1).flatten(1), bias, Convolution(kernel, stride))

    expected = functional.conv1d(frames.T[None], weight, bias, stride=stride)[0].T
    assert convolve(frames).shape == expected.shape
    assert error(convolve(frames), expected) < 1e-3


@pytest.mark.parametrize("rows", [1, 7, 40, 200])
def test_a_row_depends_neither_on_others_nor_on_the_number_of_threads(rows):
    linear, frames = pack_int16(draw(96, 256), draw(96, seed=1)), draw(rows, 256, seed=2)
    with threads(1):
        alone = torch.cat([linear(one[None]) for one in frames])
        together = linear(frames)
    with threads(3):
        shared = linear(frames)

    assert torch.equal(alone, together)
    assert torch.equal(shared, together)


@pytest.mark.parametrize("outputs", [96, 100])
def test_gelu_does_not_depend_on_the_number_of_threads(outputs):
    linear, frames = pack_int16(draw(outputs, 64), None), draw(1_001, 64, seed=1)
    with threads(1):
        expected = linear.gelu(frames)
    for count in (2, 3, 8):
        with threads(count):
            assert torch.equal(linear.gelu(frames), expected)


def test_rows_that_are_not_contiguous_are_multiplied():
    wide, weight = draw(9, 64), draw(32, 32, seed=1)
    linear = pack_int16(weight, None)

    assert torch.equal(linear(wide[:, 16:48]), linear(wide[:, 16:48].contiguous()))


def test_rows_of_another_width_are_an_error():
    with pytest.raises(ValueError, match="48 inputs"):
        pack_int16(draw(32, 64), None)(draw(3, 48))


@pytest.mark.parametrize("outputs", [32, 40])
@pytest.mark.parametrize(
    "change",
    [
        lambda residual: residual.T.contiguous().T,
        lambda residual: residual[:1],
        lambda residual: residual[0],
        lambda residual: residual.double(),
        lambda residual: residual.bfloat16(),
        lambda residual: residual[::2].repeat_interleave(2, 0)[: len(residual)],
    ],
    ids=["transposed", "one row", "a vector", "float64", "bf16", "repeated"],
)
def test_residuals_of_any_layout_are_added(change, outputs):
    frames, weight = draw(9, 64), draw(outputs, 64, seed=1)
    residual = change(draw(9, outputs, seed=2))

    found = pack_int16(weight, None).add(frames, residual)
    assert found.dtype == torch.float32
    assert error(found, frames.double() @ weight.double().T + residual) < 1e-3


def test_a_residual_of_other_rows_is_an_error():
    linear = pack_int16(draw(32, 64), None)

    with pytest.raises(RuntimeError, match="must match"):
        linear.add(draw(9, 64), draw(4, 32))


def test_no_rows_have_no_product():
    linear = pack_int16(draw(32, 64), None)

    assert linear(torch.empty(0, 64)).shape == (0, 32)
    assert linear.add(torch.empty(0, 64), torch.empty(0, 32)).shape == (0, 32)


def test_the_largest_sums_do_not_overflow():
    # All products of a group have the same sign and the largest size that a step can have.
    weight, frames = torch.ones(32, 512), torch.full((3, 512), -7.0)

    assert torch.allclose(pack_int16(weight, None)(frames), frames @ weight.T, rtol=1e-3)


@settings(max_examples=30, deadline=None)
@given(st.floats(1e-20, 1e20), st.floats(1e-10, 1e10), st.integers(0, 100))
def test_scales_of_rows_and_columns_are_free(row_scale, column_scale, seed):
    frames, weight = draw(4, 64, seed=seed), draw(32, 64, seed=seed + 1)
    frames[1] *= row_scale
    weight[5] *= column_scale
    found = pack_int16(weight, None)(frames).double()

    expected = frames.double() @ weight.double().T
    lost = (found - expected).abs()
    size = frames.double().norm(dim=1)[:, None] * weight.double().norm(dim=1)
    assert float((lost / size).max()) < 1e-3


@pytest.mark.parametrize("invalid", [math.nan, math.inf, -math.inf])
def test_a_row_that_is_not_finite_has_no_finite_product(invalid):
    frames = draw(8, 64)
    frames[3, 9] = invalid
    product = pack_int16(draw(32, 64, seed=1), None)(frames)

    assert product.isfinite().all(dim=1).tolist() == [True] * 3 + [False] + [True] * 4
    assert not product[3].isfinite().any()


def test_rows_of_zeros_give_the_bias():
    bias = draw(32)

    assert torch.equal(pack_int16(draw(32, 64), bias)(torch.zeros(2, 64)), bias.expand(2, -1))


def test_other_sizes_are_in_float32():
    weight, frames = draw(5, 23), draw(3, 23, seed=1)

    assert pack_int16(weight, None) is None
    assert torch.allclose(int16_linear_maker()(weight, None)(frames), frames @ weight.T, atol=1e-5)


def attend(qkv: torch.Tensor) -> torch.Tensor:
    """Return the context (F, H, S) of queries, keys and values (F, 3, H, S) in int16."""
    attention = Int16Attention(int16.open_kernel())
    assert attention.fits(qkv.shape[3])
    out = torch.full((qkv.shape[0], *qkv.shape[2:]), math.nan)
    attention(qkv, out.transpose(0, 1))
    return out


def attend_exactly(qkv: torch.Tensor) -> torch.Tensor:
    query, key, value = qkv.double().permute(1, 2, 0, 3).unbind(0)
    scores = query @ key.transpose(1, 2)
    return (scores.softmax(-1) @ value).transpose(0, 1)


@pytest.mark.parametrize("frames", [1, 2, 23, 24, 25, 127, 128, 129, 400])
@pytest.mark.parametrize(("heads", "size"), [(1, 32), (3, 64), (2, 96)])
@pytest.mark.parametrize("sharpness", [0.0, 0.1, 1.0])
def test_attention_is_that_of_float64(frames, heads, size, sharpness):
    qkv = draw(frames, 3, heads, size)
    qkv[:, 0] *= sharpness

    assert error(attend(qkv), attend_exactly(qkv)) < 5e-3


def test_an_utterance_without_frames_has_no_context():
    assert attend(torch.empty(0, 3, 2, 32)).shape == (0, 2, 32)


def test_the_widest_heads_are_multiplied_and_wider_ones_do_not_fit():
    qkv = draw(30, 3, 1, 512)
    qkv[:, 0] /= 512**0.5

    assert error(attend(qkv), attend_exactly(qkv)) < 5e-3
    assert not Int16Attention(int16.open_kernel()).fits(544)


@pytest.mark.parametrize(
    ("shape", "dtype", "message"),
    [
        ((9, 3, 1, 544), torch.float32, "heads of 544"),
        ((8, 3, 1, 32), torch.float32, "heads of 32"),
        ((9, 3, 1, 32), torch.float64, "float32"),
    ],
)
def test_queries_that_the_kernel_cannot_read_are_an_error(shape, dtype, message):
    qkv = torch.zeros(shape, dtype=dtype)

    with pytest.raises(ValueError, match=message):
        Int16Attention(int16.open_kernel())(qkv, torch.empty(1, 9, shape[3]))


def test_attention_does_not_depend_on_the_number_of_threads():
    qkv = draw(70, 3, 5, 32)
    with threads(1):
        expected = attend(qkv)
    with threads(4):
        assert torch.equal(attend(qkv), expected)


def test_many_small_probabilities_beside_a_large_one_are_kept():
    # One key has half of the probability, 2,000 others the rest: far below a step of the largest.
    qkv = torch.zeros(2_000, 3, 1, 32)
    qkv[:, 0, 0, 0] = 1.0
    qkv[0, 1, 0, 0] = math.log(1_999)
    qkv[:, 2] = draw(2_000, 1, 32) + 1.0

    assert error(attend(qkv), attend_exactly(qkv)) < 2e-3


@pytest.mark.parametrize("far", [10.0, 50.0, 200.0, 1e4, 1e8])
@pytest.mark.parametrize("frames", [20, 128, 300])
def test_scores_far_apart_neither_overflow_nor_underflow(frames, far):
    qkv = draw(frames, 3, 2, 32)
    qkv[:, 0] *= far
    found, exact = attend(qkv), attend_exactly(qkv)

    assert found.isfinite().all()
    # Where two keys are nearest, rounding decides which one has all of the probability.
    wrong = (found - exact).norm(dim=2) > 0.05 * exact.norm(dim=2)
    assert wrong.float().mean() < 0.01


@pytest.mark.parametrize("invalid", [math.nan, math.inf])
def test_a_query_that_is_not_finite_has_no_finite_context(invalid):
    qkv = draw(40, 3, 2, 32)
    qkv[7, 0, 1, 5] = invalid
    finite = attend(qkv).isfinite().all(dim=2)

    assert not finite[7, 1]
    assert int((~finite).sum()) == 1


@pytest.mark.parametrize("invalid", [math.nan, math.inf])
def test_keys_and_values_that_are_not_finite_are_in_every_context(invalid):
    keys, values = draw(200, 3, 2, 32), draw(200, 3, 2, 32)
    keys[7, 1, 1, 5] = values[7, 2, 1, 5] = invalid

    assert not attend(keys)[:, 1].isfinite().any()
    assert not attend(values)[:, 1, 5].isfinite().any()
    for found in (attend(keys), attend(values)):
        assert found[:, 0].isfinite().all()


@pytest.mark.parametrize("invalid", [math.nan, math.inf])
def test_an_output_whose_weight_is_not_finite_is_not_finite(invalid):
    weight = draw(40, 64)
    weight[11, 3] = invalid
    finite = pack_int16(weight, None)(draw(5, 64, seed=1)).isfinite().all(dim=0)

    assert torch.nonzero(~finite)[:, 0].tolist() == [11]


@pytest.mark.parametrize("count", [1, 50, 128, 300])
def test_frames_are_multiplied_and_summed(count):
    frames, queries = draw(count, 96), draw(9, 96, seed=1)
    scores, context = pack_int16_frames(frames)
    found = scores(queries)

    assert error(found[:, :count], queries @ frames.T) < 1e-3
    probabilities = found.softmax(-1)
    assert not probabilities[:, count:].any()
    assert error(context(probabilities), probabilities[:, :count] @ frames) < 2e-3
