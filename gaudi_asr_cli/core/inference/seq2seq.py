"""A model that writes with a decoder, as the engine listens with it: batches, and long sound."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from gaudi_asr_cli.core.data.audio import LoadedAudio
from gaudi_asr_cli.core.data.buckets import Batching
from gaudi_asr_cli.core.decoding import Decoder
from gaudi_asr_cli.core.devices.base import Device
from gaudi_asr_cli.core.errors import UsageError
from gaudi_asr_cli.core.inference.ahead import RunAhead
from gaudi_asr_cli.core.inference.batched import PreparedBatch
from gaudi_asr_cli.core.inference.chunks import LONGEST_S
from gaudi_asr_cli.core.inference.long_form import LongFormResult
from gaudi_asr_cli.core.inference.overlapping import cut_overlapping, generate_overlapping
from gaudi_asr_cli.core.inference.results import NOT_FINITE
from gaudi_asr_cli.core.inference.sequential import MelStream, find_loudest, generate_sequentially
from gaudi_asr_cli.core.inference.unbatched import Blocks, batch_one
from gaudi_asr_cli.core.models.cpu.whisper_generation import pack_whisper
from gaudi_asr_cli.core.models.features import Frontend
from gaudi_asr_cli.core.models.log_mel import LogMel
from gaudi_asr_cli.core.models.seq2seq.generation import Generation, settle, writes_times
from gaudi_asr_cli.core.models.seq2seq.model import open_seq2seq_model
from gaudi_asr_cli.core.models.seq2seq.sequences import SequenceReader
from gaudi_asr_cli.core.models.threads import is_small
from gaudi_asr_cli.core.records import (
    SAMPLE_RATE_HZ,
    AudioBatch,
    AudioSpan,
    Generated,
    Hypothesis,
    Utterance,
)

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

    Samples = NDArray[np.float32]

LONG_FORM_ALGORITHMS = ("auto", "sequential", "batched")
"""How sound that is longer than a window is heard; `auto` is sequential where there are times."""
ROWS = 8
"""Utterances that are written at once unless told: each token reads all weights only once."""
WINDOW_UTTERANCE = Utterance("window", AudioSpan(Path()))


class Seq2SeqGenerator(Protocol):
    """The part of a `Seq2SeqModel` that the engine needs."""

    @property
    def name(self) -> str: ...

    @property
    def dtype(self) -> str: ...

    @property
    def device(self) -> Device: ...

    @property
    def frontend(self) -> Frontend | LogMel: ...

    @property
    def settings(self) -> Any: ...

    @property
    def reader(self) -> SequenceReader: ...

    @property
    def padding_invariant(self) -> bool: ...

    def generate_from(self, inputs: Mapping[str, torch.Tensor], how: Generation) -> Generated: ...


@dataclass(frozen=True, slots=True)
class CompletedOutput:
    """Text that is there already; see `PendingEmissions`."""

    generated: Generated

    def wait(self) -> Generated:
        return self.generated


@dataclass(frozen=True, slots=True)
class Seq2SeqRecognizer:
    """See `Recognizer` and `BatchRecognizer`.

    `how` is what the model writes; `long` one of `LONG_FORM_ALGORITHMS`.
    """

    model: Seq2SeqGenerator
    how: Generation
    batching: Batching
    long: str = "auto"
    buckets: int = 6

    @property
    def dtype(self) -> str:
        return self.model.dtype

    @property
    def longest_s(self) -> float:
        """What is longer is heard in windows of this length."""
        frontend = self.model.frontend
        if isinstance(frontend, LogMel):
            return frontend.window_samples / SAMPLE_RATE_HZ
        return LONGEST_S

    def width_of(self, padded_s: float) -> int:
        """Samples of a row that is padded to so many seconds."""
        return int(np.ceil(padded_s * SAMPLE_RATE_HZ - 1e-6))

    def prepare(self, batch: AudioBatch) -> PreparedBatch:
        """Features, on the thread that prepares; a CPU makes them where it computes.

        Torch would else start a second set of threads, and the two would fight for the cores.
        """
        behind = self.model.device.is_async
        return PreparedBatch(batch, self.model.frontend.prepare(batch) if behind else {})

    def start(self, prepared: PreparedBatch) -> CompletedOutput:
        """Write a batch down; a decoder waits for each of its tokens, so nothing stays pending."""
        inputs = prepared.inputs or self.model.frontend.prepare(prepared.batch)
        return CompletedOutput(self.model.generate_from(inputs, self.how))

    def hear(self, samples: Samples, utterance: Utterance) -> Generated:
        """What is written of a sound (T,) of any length, as the only row."""
        if len(samples) <= self.longest_s * SAMPLE_RATE_HZ:
            inputs = self.model.frontend.prepare(batch_one(samples, utterance))
            return self.model.generate_from(inputs, self.how)
        return Generated((self._write_long(lambda: iter([samples])),))

    def transcribe_blocks(
        self, blocks: Blocks, decoder: Decoder, utterance: Utterance
    ) -> LongFormResult:
        """The same of a sound that is read while it is heard."""
        tally = _Tally()

        def opened() -> Iterator[Samples]:
            tally.reset()
            with RunAhead(blocks(), lambda block: len(block.samples), 0, "read-blocks") as ahead:
                yield from tally.count(ahead)

        written = self._write_long(opened)
        transcript = decoder.spell([written], utterance)
        return LongFormResult(transcript, tally.samples / SAMPLE_RATE_HZ, tally.lost_s)

    def _write_long(self, blocks: Callable[[], Iterator[Samples]]) -> Hypothesis:
        frontend = self.model.frontend
        if isinstance(frontend, LogMel) and self._is_sequential:
            loudest = find_loudest(frontend, blocks())
            mel_stream = MelStream(frontend, frontend.stream(blocks()), loudest)
            return generate_sequentially(mel_stream, self._write_window, self.model.reader, None)
        return generate_overlapping(
            cut_overlapping(blocks(), self.longest_s),
            self._write_sounds,
            self._rows,
            self.longest_s,
        )

    @property
    def _is_sequential(self) -> bool:
        return self.long == "sequential" or (
            self.long == "auto" and writes_times(self.model.settings)
        )

    @property
    def _rows(self) -> int:
        return self.batching.utterances or 1

    def _write_window(self, window: torch.Tensor, language: str | None) -> Hypothesis:
        how = replace(self.how, timestamps=True, language=self.how.language or language)
        return self._generate_finite({"input_features": window[None]}, how)[0]

    def _write_sounds(self, sounds: list[Samples]) -> tuple[Hypothesis, ...]:
        how = replace(self.how, timestamps=True)
        lengths = np.array([len(one) for one in sounds], dtype=np.int64)
        samples = np.zeros((len(sounds), int(lengths.max())), dtype=np.float32)
        for row, sound in enumerate(sounds):
            samples[row, : len(sound)] = sound
        batch = AudioBatch((WINDOW_UTTERANCE,) * len(sounds), samples, lengths)
        return self._generate_finite(self.model.frontend.prepare(batch), how)

    def _generate_finite(
        self, inputs: Mapping[str, torch.Tensor], how: Generation
    ) -> tuple[Hypothesis, ...]:
        rows = self.model.generate_from(inputs, how).rows
        if not all(row.finite for row in rows):
            raise RuntimeError(NOT_FINITE)
        return rows


class _Tally:
    """How much of a sound went by, and how much of it was lost."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self.samples, self.lost_s = 0, 0.0

    def count(self, blocks: Iterable[LoadedAudio]) -> Iterator[Samples]:
        for block in blocks:
            self.samples += len(block.samples)
            self.lost_s += block.lost_s
            yield block.samples


def open_seq2seq_recognizer(
    name: str,
    *,
    device: Device,
    dtype: str = "auto",
    how: Generation,
    long: str = "auto",
    rows: int | None = None,
) -> Seq2SeqRecognizer:
    """A model that writes, for listening only.

    Args:
        name: A model folder, a run's folder, or a hub id.
        device: Where it computes.
        dtype: `auto`, `fp32`, `bf16` or `fp16`.
        how: Language, task, and how far.
        long: One of `LONG_FORM_ALGORITHMS`.
        rows: Utterances that are written at once; None is `ROWS` where that changes nothing.

    Raises:
        UsageError: The model knows no such language or task, or cannot hear long sound that way.
        DataError: The folder holds no such model.
        UnreachableError: A hub id that is neither cached nor reachable.
    """
    import torch

    model = open_seq2seq_model(name, device=device, dtype=dtype)
    settled = settle(how, model.settings, model.name)
    check_long(long, model.settings, model.name)
    if is_small(model):
        # For the rest of the process, which listens to nothing else.
        torch.set_num_threads(1)
    # Beams are transformers' own business.
    generator = (pack_whisper(model) if settled.greedy else None) or model
    return Seq2SeqRecognizer(generator, how, plan_rows(generator, rows), long)


def plan_rows(model: Seq2SeqGenerator, rows: int | None) -> Batching:
    """Who is written together: one at a time where padding would change what is heard."""
    together = (rows or ROWS) if model.padding_invariant else 1
    window_s = LONGEST_S
    if isinstance(model.frontend, LogMel):
        window_s = model.frontend.window_samples / SAMPLE_RATE_HZ
    return Batching(
        edges_s=(window_s,),
        batch_s=window_s * together,
        utterances=together,
        static_shapes=model.device.recompiles_on_new_shapes,
    )


def check_long(long: str, settings: Any, name: str) -> None:
    """Refuse a way of hearing long sound that there is not.

    Raises:
        UsageError: Unknown, or the model writes no times to go on from.
    """
    if long not in LONG_FORM_ALGORITHMS:
        raise UsageError(
            f"There is no way '{long}' to hear long audio.",
            remedy=f"Choose one of {', '.join(LONG_FORM_ALGORITHMS)}.",
        )
    if long == "sequential" and not writes_times(settings):
        raise UsageError(
            f"{name} writes no times, so one window cannot go on where another ended.",
            remedy="Pass --long batched.",
        )
