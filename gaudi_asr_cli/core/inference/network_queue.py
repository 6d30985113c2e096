"""Calls of a network that are handed to a queue, so that recordings share it and its batches."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from gaudi_asr_cli.core.models.seq2seq.fallback import generate_with_fallback
from gaudi_asr_cli.core.models.seq2seq.generation import Generation
from gaudi_asr_cli.core.records import (
    SAMPLE_RATE_HZ,
    AudioBatch,
    Emissions,
    Generated,
    Hypothesis,
    Vocabulary,
)

if TYPE_CHECKING:
    from torch import Tensor

    from gaudi_asr_cli.core.data.buckets import Batching
    from gaudi_asr_cli.core.devices.base import Device
    from gaudi_asr_cli.core.inference.seq2seq_options import Seq2SeqGenerator
    from gaudi_asr_cli.core.models.features import Frontend
    from gaudi_asr_cli.core.models.geometry import FrameGeometry
    from gaudi_asr_cli.core.models.log_mel import LogMel
    from gaudi_asr_cli.core.models.seq2seq.sequences import SequenceReader


@dataclass(frozen=True, slots=True)
class EmissionCall:
    """Asks for the emissions of one clip, samples (1, T)."""

    batch: AudioBatch

    @property
    def key(self) -> Hashable:
        """Calls of the same key may share a batch."""
        return None

    @property
    def rows(self) -> int:
        return 1

    @property
    def audio_s(self) -> float:
        """Return the seconds of audio that the network computes on."""
        return int(self.batch.samples.shape[1]) / SAMPLE_RATE_HZ


@dataclass(frozen=True, slots=True)
class GenerationCall:
    """Asks for the hypotheses of windows, inputs (R, ...) of R rows of `window_s` seconds.

    `encoded` are the R rows of an earlier output for these inputs, or there are none.
    """

    inputs: Mapping[str, Tensor]
    generation_config: Generation
    frames: Sequence[int] | None
    window_s: float
    encoded: Sequence[Any] = ()

    @property
    def key(self) -> Hashable:
        shapes = tuple((name, one.shape[1:]) for name, one in self.inputs.items())
        return self.generation_config, self.frames is None, bool(self.encoded), shapes

    @property
    def rows(self) -> int:
        return len(next(iter(self.inputs.values())))

    @property
    def audio_s(self) -> float:
        return self.rows * self.window_s


NetworkCall = EmissionCall | GenerationCall


class NetworkQueue(Protocol):
    """Runs a call on another thread, perhaps in a batch with others, and waits for its output."""

    def run(self, call: NetworkCall, /) -> Any: ...


class _CtcNetwork(Protocol):
    @property
    def name(self) -> str: ...

    @property
    def dtype(self) -> str: ...

    @property
    def device(self) -> Device: ...

    @property
    def vocabulary(self) -> Vocabulary: ...

    @property
    def geometry(self) -> FrameGeometry: ...


@dataclass(frozen=True, slots=True)
class QueuedEmissions:
    """The network of a CTC model behind a queue; see `EmissionModel`."""

    model: _CtcNetwork
    queue: NetworkQueue

    @property
    def name(self) -> str:
        return self.model.name

    @property
    def dtype(self) -> str:
        return self.model.dtype

    @property
    def device(self) -> Device:
        return self.model.device

    @property
    def vocabulary(self) -> Vocabulary:
        return self.model.vocabulary

    @property
    def geometry(self) -> FrameGeometry:
        return self.model.geometry

    def emissions(self, batch: AudioBatch) -> Emissions:
        output: Emissions = self.queue.run(EmissionCall(batch))
        return output


@dataclass(frozen=True, slots=True)
class QueuedGenerator:
    """The network of a seq2seq model behind a queue; see `Seq2SeqGenerator`."""

    model: Seq2SeqGenerator
    queue: NetworkQueue
    window_s: float

    @property
    def name(self) -> str:
        return self.model.name

    @property
    def dtype(self) -> str:
        return self.model.dtype

    @property
    def device(self) -> Device:
        return self.model.device

    @property
    def frontend(self) -> Frontend | LogMel:
        return self.model.frontend

    @property
    def settings(self) -> Any:
        return self.model.settings

    @property
    def reader(self) -> SequenceReader:
        return self.model.reader

    @property
    def padding_invariant(self) -> bool:
        return self.model.padding_invariant

    def encode_text(self, text: str) -> tuple[int, ...]:
        return self.model.encode_text(text)

    def generate_from(
        self,
        inputs: Mapping[str, Tensor],
        generation_config: Generation,
        frames: Sequence[int] | None = None,
    ) -> Generated:
        """Generate each attempt of the fallback in a call of its own.

        A text that fails six times would otherwise keep all others waiting. What the encoder
        returned for the first attempt is used for the others.
        """
        fallback = generation_config.fallback
        encoded: dict[int, Any] = {}

        def attempt(rows: Sequence[int], temperature: float) -> tuple[Hypothesis, ...]:
            chosen = list(rows)
            call = GenerationCall(
                {name: one[chosen] for name, one in inputs.items()},
                replace(generation_config, fallback=replace(fallback, temperatures=(temperature,))),
                None if frames is None else [frames[row] for row in chosen],
                self.window_s,
                [encoded[row] for row in chosen if row in encoded],
            )
            output: Generated = self.queue.run(call)
            if output.encoded:
                encoded.update(zip(chosen, output.encoded, strict=True))
            return output.rows

        count = len(next(iter(inputs.values())))
        return Generated(tuple(generate_with_fallback(attempt, count, fallback)))


def count_rows(calls: Sequence[NetworkCall], batching: Batching | None) -> int:
    """Return the rows of the batch that these calls of one key share; 0: they do not fit one.

    With static shapes these are the rows of the bucket, whatever the number of calls.
    """
    rows = sum(call.rows for call in calls)
    if batching is None:
        return rows if len(calls) == 1 else 0
    longest_s = max(call.audio_s / call.rows for call in calls)
    size = batching.batch_size(max(find_edge(longest_s, batching), 1e-3))
    if rows > size and len(calls) > 1:
        return 0
    return max(rows, size) if batching.static_shapes else rows


def find_edge(longest_s: float, batching: Batching) -> float:
    """Return the length that a batch is padded to, in seconds."""
    if not batching.static_shapes:
        return longest_s
    return next((one for one in batching.edges_s if one + 1e-6 >= longest_s), longest_s)


def join_clips(calls: Sequence[EmissionCall], rows: int, samples: int) -> AudioBatch:
    """Return the clips as one batch, padded with zeros and empty rows to (`rows`, `samples`)."""
    padded = np.zeros((rows, samples), dtype=np.float32)
    lengths = np.zeros(rows, dtype=np.int64)
    for row, call in enumerate(calls):
        clip = call.batch.samples[0]
        padded[row, : len(clip)] = clip
        lengths[row] = len(clip)
    return AudioBatch(tuple(call.batch.utterances[0] for call in calls), padded, lengths)


def split_emissions(output: Emissions, count: int) -> list[Emissions]:
    """Return the first rows of an output, each without its padding."""
    return [
        replace(
            output,
            log_probs=output.log_probs[row : row + 1, : int(output.frames[row])],
            frames=output.frames[row : row + 1],
        )
        for row in range(count)
    ]


def join_windows_of(
    calls: Sequence[GenerationCall], rows: int
) -> tuple[dict[str, Tensor], list[int] | None]:
    """Return the inputs (`rows`, ...) and the frames of calls; the first window fills the batch."""
    import torch

    missing = rows - sum(call.rows for call in calls)
    inputs: dict[str, Tensor] = {}
    for name in calls[0].inputs:
        parts = [call.inputs[name] for call in calls]
        parts += [parts[0][:1]] * missing
        inputs[name] = torch.cat(parts) if len(parts) > 1 else parts[0]
    if calls[0].frames is None:
        return inputs, None
    counts = [one for call in calls for one in call.frames or ()]
    return inputs, counts + counts[:1] * missing


def split_rows(output: Generated, calls: Sequence[GenerationCall]) -> list[Generated]:
    """Return the part of each call of the output of their batch."""
    parts, first = [], 0
    for call in calls:
        rows = slice(first, first + call.rows)
        parts.append(replace(output, rows=output.rows[rows], encoded=output.encoded[rows]))
        first += call.rows
    return parts
