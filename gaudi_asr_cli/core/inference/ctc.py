"""The fastest inference for a CTC model on its device, with the same results."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
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
from gaudi_asr_cli.core.runtime import limit_threads

MAX_GRAPHS = 64


@dataclass(frozen=True, slots=True)
class InferenceOptions:
    """Options of inference.

    Args:
        graphs: Capture the network's forward as a graph per shape; None does so if the device
            recompiles on new shapes and supports graphs.
        batch_s: Maximum padded audio per batch, in seconds.
        buckets: Number of length buckets with static shapes.
        edges_s: Bucket edges in seconds; chosen from the first utterances if empty.
        int8: Quantise to int8 on a CPU, at a small cost in accuracy.
    """

    graphs: bool | None = None
    batch_s: float = BATCH_S
    buckets: int = 6
    edges_s: Sequence[float] = ()
    int8: bool = False


DEFAULT_OPTIONS = InferenceOptions()


class OpenCtcModel(EmissionModel, Protocol):
    """An `EmissionModel` with the vocabulary that decoding needs."""

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
    options: InferenceOptions = DEFAULT_OPTIONS,
) -> OpenCtcModel:
    """Open a model for inference only; arguments and errors as of `open_ctc_model`."""
    return accelerate(
        open_full_precision(name, device=device, dtype=dtype, language=language), options
    )


def open_full_precision(
    name: str, *, device: Device, dtype: str = "auto", language: str | None = None
) -> CtcModel:
    """Open a model that computes in `dtype`, for `accelerate`."""
    model = open_ctc_model(name, device=device, dtype=dtype, language=language)
    if is_small(model):
        limit_threads(1)
    return model


def accelerate(model: CtcModel, options: InferenceOptions = DEFAULT_OPTIONS) -> OpenCtcModel:
    """Return the model batched if the device prefers it, else packed if supported, else as it is.

    The network's weights are cast to `model.dtype` unless it was packed.

    Raises:
        MachineError: Graphs or int8 are requested but not available.
    """
    if not model.device.prefers_batching:
        packed = pack(model, int8=options.int8)
        if packed is not None:
            return packed
    cast_weights(model)
    return make_batched(model, options) or model


def make_batched(
    model: CtcModel, options: InferenceOptions = DEFAULT_OPTIONS
) -> BatchedModel | None:
    """Return the model for batches, or None if these gain nothing or would change the results."""
    if not model.device.prefers_batching:
        return None
    invariant = make_padding_invariant(model)
    if not invariant.padding_invariant:
        return None
    graphs = _capture(invariant, options.graphs)
    few_shapes = graphs is not None or model.device.recompiles_on_new_shapes
    return BatchedModel(
        model=invariant,
        copier=model.device.copier(),
        batching=Batching(tuple(options.edges_s), options.batch_s, static_shapes=few_shapes),
        buckets=options.buckets,
        graphs=graphs,
        pads_a_frame=few_shapes,
    )


def _capture(model: CtcModel, requested: bool | None) -> GraphCounts | None:
    if not (model.device.recompiles_on_new_shapes if requested is None else requested):
        return None
    network: Any = model.network
    try:
        return model.device.use_graphs(network, max_graphs=MAX_GRAPHS)
    except MachineError:
        if requested:
            raise
        return None


def cast_weights(model: CtcModel) -> None:
    """Cast the network's weights to the dtype that it computes in, and freeze them."""
    model.network.to(torch_dtype(model.dtype)).eval().requires_grad_(False)
