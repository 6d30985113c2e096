"""The fastest way to hear with a model on its device, which changes nothing of what is heard."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from gaudi_asr_cli.core.data.buckets import Batching
from gaudi_asr_cli.core.devices.base import Device, torch_dtype
from gaudi_asr_cli.core.devices.graphs import GraphCounts
from gaudi_asr_cli.core.engine.alone import Listener
from gaudi_asr_cli.core.engine.batched import BATCH_S, BatchedModel
from gaudi_asr_cli.core.errors import MachineError
from gaudi_asr_cli.core.models.ctc import CtcModel, open_ctc_model
from gaudi_asr_cli.core.models.masked_norm import padding_proof
from gaudi_asr_cli.core.models.packed.model import pack
from gaudi_asr_cli.core.models.threads import is_small
from gaudi_asr_cli.core.records import Vocabulary

MOST_GRAPHS = 64


@dataclass(frozen=True, slots=True)
class Choices:
    """How to listen.

    Args:
        graphs: Capture the network's forward for each shape; None where shapes are few anyway
            and the device can.
        batch_s: Most padded audio in one batch, in seconds.
        buckets: Shapes, where these are few.
        edges_s: Their lengths in seconds; chosen from the first utterances if there are none.
        int8: Multiply in 8 bits on a CPU, at a small cost in accuracy.
    """

    graphs: bool | None = None
    batch_s: float = BATCH_S
    buckets: int = 6
    edges_s: Sequence[float] = ()
    int8: bool = False


USUAL = Choices()


class OpenListener(Listener, Protocol):
    """A `Listener` with what is needed to make text of what it hears."""

    @property
    def dtype(self) -> str: ...

    @property
    def vocabulary(self) -> Vocabulary: ...


def open_listener(
    name: str,
    *,
    device: Device,
    dtype: str = "auto",
    language: str | None = None,
    choices: Choices = USUAL,
) -> OpenListener:
    """A model for listening only; arguments and errors as of `open_ctc_model`."""
    return choose_listener(open_wide(name, device=device, dtype=dtype, language=language), choices)


def open_wide(
    name: str, *, device: Device, dtype: str = "auto", language: str | None = None
) -> CtcModel:
    """A model that is to compute in `dtype`, its weights still fp32: for `choose_listener`.

    Packing is most exact from weights that were never rounded.
    """
    import torch

    chosen = device.choose_dtype(dtype)
    model = open_ctc_model(name, device=device, dtype="fp32", language=language)
    if is_small(model):
        # For the rest of the process, which listens to nothing else.
        torch.set_num_threads(1)
    return replace(model, dtype=chosen)


def choose_listener(model: CtcModel, choices: Choices = USUAL) -> OpenListener:
    """The model in batches where these gain, else packed where its shape fits, else as it is.

    The network's weights become `model.dtype` unless it was packed.

    Raises:
        MachineError: Graphs or int8 are wanted and cannot be had.
    """
    if not model.device.gains_from_batches:
        packed = pack(model, int8=choices.int8)
        if packed is not None:
            return packed
    narrow(model)
    return batch_up(model, choices) or model


def batch_up(model: CtcModel, choices: Choices = USUAL) -> BatchedModel | None:
    """The model in batches; None where these gain nothing or would change what is heard."""
    if not model.device.gains_from_batches:
        return None
    proof = padding_proof(model)
    if not proof.batches_harmlessly:
        return None
    graphs = _capture(proof, choices.graphs)
    few_shapes = graphs is not None or model.device.recompiles_on_new_shapes
    return BatchedModel(
        model=proof,
        copier=model.device.copier(),
        batching=Batching(tuple(choices.edges_s), choices.batch_s, static_shapes=few_shapes),
        buckets=choices.buckets,
        graphs=graphs,
        pads_a_frame=few_shapes,
    )


def _capture(model: CtcModel, wish: bool | None) -> GraphCounts | None:
    if not (model.device.recompiles_on_new_shapes if wish is None else wish):
        return None
    network: Any = model.network
    try:
        return model.device.use_graphs(network, max_graphs=MOST_GRAPHS)
    except MachineError:
        if wish:
            raise
        return None


def narrow(model: CtcModel) -> None:
    """Round the network's weights to the dtype that it computes in."""
    model.network.to(torch_dtype(model.dtype)).eval().requires_grad_(False)
