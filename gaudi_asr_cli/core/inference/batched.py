"""Batched inference: the protocol of batch recognizers, and an asynchronous CTC model."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np

from gaudi_asr_cli.core.data.buckets import Batching
from gaudi_asr_cli.core.devices.base import torch_dtype
from gaudi_asr_cli.core.devices.copies import Copier, PendingCopy
from gaudi_asr_cli.core.devices.graphs import GraphCounts
from gaudi_asr_cli.core.inference.chunks import LONGEST_S
from gaudi_asr_cli.core.models.ctc.model import CtcModel
from gaudi_asr_cli.core.models.geometry import FrameGeometry
from gaudi_asr_cli.core.records import SAMPLE_RATE_HZ, AudioBatch, Emissions, Output, Vocabulary

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

BATCH_S = 160.0
"""Default padded audio per batch: about 2 GB of activations for a large model in bf16."""


@dataclass(frozen=True, slots=True)
class PreparedBatch:
    """A batch and its network inputs, still on the host."""

    batch: AudioBatch
    inputs: dict[str, torch.Tensor]


class PendingOutput(Protocol):
    """An output that the device may still be computing; any thread may wait for it."""

    def wait(self) -> Output: ...


@runtime_checkable
class BatchRecognizer(Protocol):
    """A model for batches: prepared on one thread, started on another, awaited on a third."""

    @property
    def batching(self) -> Batching: ...

    @property
    def buckets(self) -> int: ...

    @property
    def longest_s(self) -> float:
        """Longer audio is transcribed unbatched."""

    def count_samples(self, padded_s: float) -> int: ...

    def prepare(self, batch: AudioBatch) -> PreparedBatch: ...

    def start(self, prepared: PreparedBatch) -> PendingOutput: ...


@dataclass(frozen=True, slots=True)
class PendingEmissions:
    """Emissions that the device may still be computing; any thread may wait for them."""

    copy: PendingCopy
    frames: NDArray[np.int64]
    frame_s: float

    def wait(self) -> Emissions:
        log_probs = self.copy.wait()  # (B, F, V)
        return Emissions(log_probs, np.minimum(self.frames, log_probs.shape[1]), self.frame_s)


@dataclass(frozen=True, slots=True)
class BatchedModel:
    """A padding-invariant `CtcModel` whose batches keep an accelerator busy.

    One thread may `prepare` batches while another, the one that made this model, `start`s them
    and a third waits for the outputs. With static shapes `batching.edges_s` may be empty: they
    are then chosen from the first utterances.
    """

    model: CtcModel
    copier: Copier
    batching: Batching
    buckets: int = 6
    graphs: GraphCounts | None = None
    pads_a_frame: bool = False

    @property
    def geometry(self) -> FrameGeometry:
        return self.model.geometry

    @property
    def vocabulary(self) -> Vocabulary:
        return self.model.vocabulary

    @property
    def dtype(self) -> str:
        return self.model.dtype

    @property
    def longest_s(self) -> float:
        return LONGEST_S

    def count_samples(self, padded_s: float) -> int:
        """Return the number of samples in a row padded to `padded_s` seconds.

        A graph is captured with a mask that is not all ones, and no replayed mask may be all
        ones: hence one frame more than the longest utterance.
        """
        spare = self.geometry.frame_samples if self.pads_a_frame else 0
        return int(np.ceil(padded_s * SAMPLE_RATE_HZ - 1e-6)) + spare

    def prepare(self, batch: AudioBatch) -> PreparedBatch:
        """Normalise each utterance, in pinned memory if the device copies asynchronously."""
        inputs = self.model.frontend.prepare(batch)
        if self.model.device.is_async:
            inputs = {name: self.model.device.pin(one) for name, one in inputs.items()}
        return PreparedBatch(batch, inputs)

    def start(self, prepared: PreparedBatch) -> PendingEmissions:
        """Launch a batch on the device without waiting for its result."""
        import torch

        model = self.model
        weights = next(model.network.parameters()).dtype
        # bf16 weights need no autocast, which would only cast norms back and forth.
        computing = "fp32" if weights == torch_dtype(model.dtype) else model.dtype
        with model.device.inference_mode(), model.device.autocast(computing):
            placed = {name: self._to_device(one, weights) for name, one in prepared.inputs.items()}
            logits = model.network(**placed).logits  # (B, F, V)
            copy = self.copier.start(torch.log_softmax(logits.float(), dim=-1))
        counted = (model.geometry.count_frames(int(one)) for one in prepared.batch.lengths)
        frames = np.fromiter(counted, np.int64, len(prepared.batch.lengths))
        return PendingEmissions(copy, frames, model.geometry.frame_s)

    def emissions(self, batch: AudioBatch) -> Emissions:
        """Compute log-probabilities (B, F, V), padded to a bucket's edge with static shapes."""
        return self.start(self.prepare(self._pad_to_bucket(batch))).wait()

    def _pad_to_bucket(self, batch: AudioBatch) -> AudioBatch:
        if not self.batching.static_shapes:
            return batch
        seconds = batch.samples.shape[1] / SAMPLE_RATE_HZ
        edge_s = next((one for one in self.batching.edges_s if one + 1e-6 >= seconds), seconds)
        missing = self.count_samples(edge_s) - batch.samples.shape[1]
        return replace(batch, samples=np.pad(batch.samples, ((0, 0), (0, missing))))

    def _to_device(self, tensor: torch.Tensor, weights: torch.dtype) -> torch.Tensor:
        moved = tensor.to(self.model.device.torch_device, non_blocking=True)
        return moved.to(weights) if moved.is_floating_point() else moved
