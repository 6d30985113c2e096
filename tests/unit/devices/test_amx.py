import copy

import pytest
import torch

from gaudi_asr_cli.core.devices import cpu
from gaudi_asr_cli.core.devices.amx import compute_small_groups_in_fp32, has_small_groups
from gaudi_asr_cli.core.devices.cpu import CpuDevice


def make_convolution(channels=96, kernel=32, groups=8):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return torch.nn.Conv1d(channels, channels, kernel, groups=groups)


def differ(found, expected) -> float:
    found, expected = found.detach().double(), expected.detach().double()
    return float((found - expected).norm() / expected.norm())


@pytest.mark.parametrize(
    ("channels", "groups", "small"),
    [(96, 8, True), (768, 16, False), (96, 96, False), (8, 1, False)],
)
def test_only_groups_of_a_few_channels_are_small(channels, groups, small):
    assert has_small_groups(make_convolution(channels, groups=groups)) == small


def test_small_groups_are_right_in_bf16():
    exact = make_convolution()
    quick = copy.deepcopy(exact).bfloat16()
    compute_small_groups_in_fp32(quick)
    frames = torch.randn(1, 96, 80, generator=torch.Generator().manual_seed(1))
    found = quick(frames.bfloat16())

    assert found.dtype == torch.bfloat16
    assert differ(found, exact(frames)) < 0.01


def test_small_groups_learn_the_same_under_autocast():
    exact = make_convolution()
    quick = copy.deepcopy(exact)
    compute_small_groups_in_fp32(quick)
    frames = torch.randn(1, 96, 80, generator=torch.Generator().manual_seed(1))
    exact(frames).square().sum().backward()
    with torch.autocast("cpu", torch.bfloat16):
        quick(frames).square().sum().backward()

    assert differ(quick.weight.grad, exact.weight.grad) < 0.01


def test_a_copy_of_a_mended_network_computes_with_its_own_weights():
    network = torch.nn.Sequential(make_convolution())
    compute_small_groups_in_fp32(network)
    twin = copy.deepcopy(network)
    frames = torch.randn(1, 96, 80, generator=torch.Generator().manual_seed(1))
    before = network(frames)
    torch.nn.init.zeros_(twin[0].weight)

    assert torch.equal(network(frames), before)
    assert list(twin.state_dict()) == list(network.state_dict())
    assert differ(twin(frames), before) > 0.5


@pytest.mark.parametrize("tiles", [True, False])
def test_a_cpu_mends_what_it_places_where_it_must(monkeypatch, tiles):
    monkeypatch.setattr(cpu, "has_amx", lambda: tiles)
    network = torch.nn.Sequential(make_convolution())
    CpuDevice(frozenset(), "a test's CPU").place(network)

    assert ("forward" in vars(network[0])) == tiles
