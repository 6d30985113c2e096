import copy

import pytest
import torch

from gaudi_asr_cli.core.devices.amx import has_small_groups
from gaudi_asr_cli.core.devices.convolutions import (
    convolve_in_fp32,
    convolve_spectra,
    convolve_windows,
    fast_convolution,
    use_fast_convolutions,
)
from gaudi_asr_cli.core.devices.cpu import CpuDevice


def make_positional(channels=96, kernel=32, groups=8, **more):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return torch.nn.Conv1d(channels, channels, kernel, groups=groups, **more)


def make_first(kernel=160, **more):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return torch.nn.Conv1d(1, 12, kernel, stride=40, **more)


def make_fast(convolution):
    network = torch.nn.Sequential(copy.deepcopy(convolution))
    use_fast_convolutions(network)
    return network[0]


def noise(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1))


def relative_error(found, expected) -> float:
    found, expected = found.detach().double(), expected.detach().double()
    return float((found - expected).norm() / expected.norm())


@pytest.mark.parametrize(
    ("channels", "groups", "small"),
    [(96, 8, True), (768, 16, False), (96, 96, False), (8, 1, False)],
)
def test_only_groups_of_a_few_channels_are_small(channels, groups, small):
    assert has_small_groups(make_positional(channels, groups=groups)) == small


@pytest.mark.parametrize(
    ("convolution", "implementation"),
    [
        (make_first(160), convolve_windows),
        (make_first(10), None),
        (make_first(160, padding=3), None),
        (make_first(160, dilation=2), None),
        (make_positional(768, groups=16), None),
        (make_positional(padding=16), convolve_spectra),
        (make_positional(kernel=8), convolve_in_fp32),
        (make_positional(stride=2), convolve_in_fp32),
        (make_positional(dilation=2), convolve_in_fp32),
        (make_positional(padding=16, padding_mode="reflect"), convolve_in_fp32),
        (make_positional(padding="same"), convolve_in_fp32),
    ],
)
def test_each_kind_of_convolution_has_its_implementation(convolution, implementation):
    assert fast_convolution(convolution) is implementation


@pytest.mark.parametrize(
    ("exact", "inputs"),
    [
        (make_first(), noise(2, 1, 3999)),
        (make_first(160, bias=False), noise(1, 1, 160)),
        *(
            (make_positional(padding=16), noise(3, 96, frames))
            for frames in (1, 31, 48, 64, 65, 200)
        ),
        (make_positional(kernel=31, padding=15, bias=False), noise(2, 96, 50)),
        (make_positional(kernel=256, padding=128), noise(2, 96, 64)),
        (make_positional(), noise(1, 96, 32)),
        (make_positional(padding=100), noise(1, 96, 64)),
        (make_positional(kernel=8), noise(2, 96, 20)),
        (make_positional(stride=2), noise(2, 96, 70)),
        (make_positional(dilation=2), noise(2, 96, 70)),
        (make_positional(kernel=31, padding="same"), noise(2, 96, 70)),
    ],
)
def test_results_and_gradients_equal_those_of_torch(exact, inputs):
    fast, other = make_fast(exact), inputs.clone().requires_grad_()
    inputs = inputs.clone().requires_grad_()
    expected, found = exact(inputs), fast(other)
    weights = noise(*expected.shape)
    (expected * weights).sum().backward()
    (found * weights).sum().backward()

    assert found.shape == expected.shape
    assert relative_error(found, expected) < 1e-5
    assert relative_error(other.grad, inputs.grad) < 1e-5
    for one, of in zip(fast.parameters(), exact.parameters(), strict=True):
        assert relative_error(one.grad, of.grad) < 1e-5
    exact.zero_grad()


@pytest.mark.parametrize("kernel", [9, 32])
def test_small_groups_are_correct_in_bf16(kernel):
    exact = make_positional(kernel=kernel)
    frames = noise(1, 96, 80)
    found = make_fast(exact.bfloat16())(frames.bfloat16())

    assert found.dtype == torch.bfloat16
    assert relative_error(found, exact.float()(frames)) < 0.01


@pytest.mark.parametrize("kernel", [9, 32])
def test_small_groups_have_the_same_gradients_under_autocast(kernel):
    exact = make_positional(kernel=kernel)
    fast = make_fast(exact)
    frames = noise(1, 96, 80)
    exact(frames).square().sum().backward()
    with torch.autocast("cpu", torch.bfloat16):
        fast(frames).square().sum().backward()

    assert relative_error(fast.weight.grad, exact.weight.grad) < 0.01


def test_a_deep_copy_of_a_placed_network_computes_with_its_own_weights():
    network = torch.nn.Sequential(make_positional())
    CpuDevice(frozenset(), "a test's CPU").place(network)
    clone = copy.deepcopy(network)
    frames = noise(1, 96, 80)
    before = network(frames)
    torch.nn.init.zeros_(clone[0].weight)

    assert torch.equal(network(frames), before)
    assert list(clone.state_dict()) == list(network.state_dict())
    assert relative_error(clone(frames), before) > 0.5
