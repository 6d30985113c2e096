from dataclasses import dataclass

import pytest
import torch

from gaudi_asr_cli.core.devices import open_device
from gaudi_asr_cli.core.devices.graphs import GraphCounts, counted, counts_of, shape_of, warm_up
from gaudi_asr_cli.core.devices.hpu import HpuDevice
from gaudi_asr_cli.core.errors import MachineError


@dataclass
class Outputs:
    logits: torch.Tensor


class Recorded:
    """A forward that notes its calls and gives the same output tensor every time, as graphs do."""

    def __init__(self):
        self.calls = []
        self.output = torch.zeros(1, 2)

    def __call__(self, **inputs):
        self.calls.append(inputs)
        self.output.fill_(float(inputs["input_values"].sum()))
        return Outputs(self.output)


def sound(samples, value=1.0):
    return {"input_values": torch.full((1, samples), value)}


def test_each_shape_is_captured_once_and_the_bound_holds():
    graphed, plain, counts = Recorded(), Recorded(), GraphCounts()
    forward = counted(graphed, plain, 2, counts)

    with torch.no_grad():
        for samples in (10, 20, 10, 30, 30, 20):
            forward(**sound(samples))

    assert (counts.captured, counts.replayed, counts.without) == (2, 2, 2)
    assert [len(one["input_values"][0]) for one in plain.calls] == [30, 30]


def test_outputs_are_not_overwritten_by_the_next_replay():
    forward = counted(Recorded(), Recorded(), 2, GraphCounts())

    with torch.no_grad():
        first = forward(**sound(2, 1.0)).logits
        forward(**sound(2, 5.0))

    assert first.tolist() == [[2, 2]]


def test_the_inputs_of_a_capture_are_the_graphs_own():
    graphed, inputs = Recorded(), sound(2)
    forward = counted(graphed, Recorded(), 2, GraphCounts())

    with torch.inference_mode():
        forward(**inputs)
        forward(**inputs)

    captured, replayed = (one["input_values"] for one in graphed.calls)
    assert captured is not inputs["input_values"]
    assert not captured.is_inference()
    assert replayed is inputs["input_values"]


def test_training_runs_without_graphs():
    graphed, plain, counts = Recorded(), Recorded(), GraphCounts()

    counted(graphed, plain, 2, counts)(**sound(2))

    assert not graphed.calls
    assert counts.captured == 0


def test_a_warm_up_masks_a_part_and_leaves_the_inputs_alone():
    network = Recorded()
    inputs = {**sound(8), "attention_mask": torch.ones(1, 8, dtype=torch.int64)}

    warm_up(network, inputs)

    assert network.calls[0]["attention_mask"].tolist() == [[1, 1, 1, 1, 1, 1, 0, 0]]
    assert inputs["attention_mask"].all()


def test_a_network_with_graphs_is_not_captured_through_them():
    network = torch.nn.Linear(1, 1)
    counts = GraphCounts()
    assert counts_of(network) is None

    network.forward = counted(Recorded(), Recorded(), 2, counts)

    assert HpuDevice("lazy", "GAUDI2").use_graphs(network, max_graphs=2) is counts


def test_a_dtype_makes_another_graph():
    assert shape_of({"x": torch.ones(2)}) != shape_of({"x": torch.ones(2, dtype=torch.float16)})


@pytest.mark.parametrize("device", [open_device("cpu"), HpuDevice("eager", "GAUDI2")])
def test_where_there_are_no_graphs_they_are_refused_with_a_way_on(device):
    with pytest.raises(MachineError, match="graphs") as caught:
        device.use_graphs(torch.nn.Linear(1, 1), max_graphs=2)

    assert "--graphs" in caught.value.remedy


def test_compile_mode_compiles_each_shape_for_the_card_and_counts_it(monkeypatch):
    compiled = []

    def record(forward, **how):
        compiled.append(how)
        return forward

    monkeypatch.setattr(torch, "compile", record)
    network = torch.nn.Module()
    network.forward = lambda input_values: Outputs(input_values * 2)

    counts = HpuDevice("compile", "GAUDI2").use_graphs(network, max_graphs=2)
    with torch.no_grad():
        heard = [network(input_values=torch.ones(1, width)).logits for width in (3, 5, 3, 7)]

    assert compiled == [{"backend": "hpu_backend", "dynamic": False}]
    assert (counts.captured, counts.replayed, counts.without) == (2, 1, 1)
    assert [float(one.sum()) for one in heard] == [6.0, 10.0, 6.0, 14.0]
