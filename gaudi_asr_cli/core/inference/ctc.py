"""The fastest way to hear with a model on its device, which changes nothing of what is heard."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from gaudi_asr_cli.core.data.buckets import Batching
from gaudi_asr_cli.core.devices.base import Device, torch_dtype
from gaudi_asr_cli.core.devices.graphs import GraphCounts
from gaudi_asr_cli.core.errors import MachineError
from gaudi_asr_cli.core.inference.batched import BATCH_S, BatchedModel
from gaudi_asr_cli.core.inference.unbatched import EmissionModel
from gaudi_asr_cli.core.models.cpu.ctc import pack
from gaudi_asr_cli.core.models.ctc.masked_norm import make_padding_invariant
from gaudi_asr_cli.core.models.ctc.model import CtcModel, open_ctc_model
from gaudi_asr_cli.core.models.threads import is_small
from gaudi_asr_cli.core.records import Vocabulary

MOST_GRAPHS = 64


@dataclass(frozen=True, slots=True)
class InferenceOptions:
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


DEFAULT_OPTIONS = InferenceOptions()


class OpenCtcModel(EmissionModel, Protocol):
    """A `EmissionModel` with what is needed to make text of what it hears."""

    @property
    def dtype(self) -> str: ...

    @property
    def vocabulary(self) -> Vocabulary: ...


def open_ctc_recognizer(
    name: str,
    *,
    device: Device,
    dtype: str = "auto",
    language: str | None = None,
    choices: InferenceOptions = DEFAULT_OPTIONS,
) -> OpenCtcModel:
    """A model for listening only; arguments and errors as of `open_ctc_model`."""
    return accelerate(
        open_full_precision(name, device=device, dtype=dtype, language=language), choices
    )


def open_full_precision(
    name: str, *, device: Device, dtype: str = "auto", language: str | None = None
) -> CtcModel:
    """A model that is to compute in `dtype`, its weights still fp32: for `accelerate`.

    Packing is most exact from weights that were never rounded.
    """
    import torch

    chosen = device.choose_dtype(dtype)
    model = open_ctc_model(name, device=device, dtype="fp32", language=language)
    if is_small(model):
        # For the rest of the process, which listens to nothing else.
        torch.set_num_threads(1)
    return replace(model, dtype=chosen)


def accelerate(model: CtcModel, choices: InferenceOptions = DEFAULT_OPTIONS) -> OpenCtcModel:
    """The model in batches where these gain, else packed where its shape fits, else as it is.

    The network's weights become `model.dtype` unless it was packed.

    Raises:
        MachineError: Graphs or int8 are wanted and cannot be had.
    """
    if not model.device.prefers_batching:
        packed = pack(model, int8=choices.int8)
        if packed is not None:
            return packed
    cast_weights(model)
    return make_batched(model, choices) or model


def make_batched(
    model: CtcModel, choices: InferenceOptions = DEFAULT_OPTIONS
) -> BatchedModel | None:
    """The model in batches; None where these gain nothing or would change what is heard."""
    if not model.device.prefers_batching:
        return None
    proof = make_padding_invariant(model)
    if not proof.padding_invariant:
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


def cast_weights(model: CtcModel) -> None:
    """Round the network's weights to the dtype that it computes in."""
    model.network.to(torch_dtype(model.dtype)).eval().requires_grad_(False)
