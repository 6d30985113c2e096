from dataclasses import dataclass

import pytest
import torch

from gaudi_asr_cli.core.devices import open_device
from gaudi_asr_cli.core.devices.graphs import (
    GraphCounts,
    count_calls,
    graph_counts,
    shape_of,
    warm_up,
)
from gaudi_asr_cli.core.devices.hpu import HpuDevice
from gaudi_asr_cli.core.errors import MachineError


@dataclass
class Outputs:
    logits: torch.Tensor


class Recorded:
    """A forward that records its calls and returns the same output tensor, as graphs do."""

    def __init__(self):
        self.calls = []
        self.output = torch.zeros(1, 2)

    def __call__(self, **inputs):
        self.calls.append(inputs)
        self.output.fill_(float(inputs["input_values"].sum()))
        return Outputs(self.output)


def make_inputs(samples, value=1.0):
    return {"input_values": torch.full((1, samples), value)}


def test_each_shape_is_captured_once_up_to_max_graphs():
    graphed, plain, counts = Recorded(), Recorded(), GraphCounts()
    forward = count_calls(graphed, plain, 2, counts)

    with torch.no_grad():
        for samples in (10, 20, 10, 30, 30, 20):
            forward(**make_inputs(samples))

    assert (counts.captured, counts.replayed, counts.uncaptured) == (2, 2, 2)
    assert [len(one["input_values"][0]) for one in plain.calls] == [30, 30]


def test_outputs_are_not_overwritten_by_the_next_replay():
    forward = count_calls(Recorded(), Recorded(), 2, GraphCounts())

    with torch.no_grad():
        first = forward(**make_inputs(2, 1.0)).logits
        forward(**make_inputs(2, 5.0))

    assert first.tolist() == [[2, 2]]


def test_a_capture_clones_its_inputs():
    graphed, inputs = Recorded(), make_inputs(2)
    forward = count_calls(graphed, Recorded(), 2, GraphCounts())

    with torch.inference_mode():
        forward(**inputs)
        forward(**inputs)

    captured, replayed = (one["input_values"] for one in graphed.calls)
    assert captured is not inputs["input_values"]
    assert not captured.is_inference()
    assert replayed is inputs["input_values"]


def test_training_runs_without_graphs():
    graphed, plain, counts = Recorded(), Recorded(), GraphCounts()

    count_calls(graphed, plain, 2, counts)(**make_inputs(2))

    assert not graphed.calls
    assert counts.captured == 0


def test_a_warm_up_masks_a_quarter_and_does_not_change_the_inputs():
    network = Recorded()
    inputs = {**make_inputs(8), "attention_mask": torch.ones(1, 8, dtype=torch.int64)}

    warm_up(network, inputs)

    assert network.calls[0]["attention_mask"].tolist() == [[1, 1, 1, 1, 1, 1, 0, 0]]
    assert inputs["attention_mask"].all()


def test_a_network_with_graphs_is_not_captured_again():
    network = torch.nn.Linear(1, 1)
    counts = GraphCounts()
    assert graph_counts(network) is None

    network.forward = count_calls(Recorded(), Recorded(), 2, counts)

    assert HpuDevice("lazy", "GAUDI2").use_graphs(network, max_graphs=2) is counts


def test_another_dtype_is_another_graph():
    assert shape_of({"x": torch.ones(2)}) != shape_of({"x": torch.ones(2, dtype=torch.float16)})


@pytest.mark.parametrize("device", [open_device("cpu"), HpuDevice("eager", "GAUDI2")])
def test_a_device_without_graphs_is_an_error_with_a_remedy(device):
    with pytest.raises(MachineError, match="graphs") as caught:
        device.use_graphs(torch.nn.Linear(1, 1), max_graphs=2)

    assert "--graphs" in caught.value.remedy


def test_compile_mode_compiles_for_hpu_and_counts_each_shape(monkeypatch):
    compiled = []

    def record(forward, **options):
        compiled.append(options)
        return forward

    monkeypatch.setattr(torch, "compile", record)
    network = torch.nn.Module()
    network.forward = lambda input_values: Outputs(input_values * 2)

    counts = HpuDevice("compile", "GAUDI2").use_graphs(network, max_graphs=2)
    with torch.no_grad():
        outputs = [network(input_values=torch.ones(1, width)).logits for width in (3, 5, 3, 7)]

    assert compiled == [{"backend": "hpu_backend", "dynamic": False}]
    assert (counts.captured, counts.replayed, counts.uncaptured) == (2, 1, 1)
    assert [float(one.sum()) for one in outputs] == [6.0, 10.0, 6.0, 14.0]
