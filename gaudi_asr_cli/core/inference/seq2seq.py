"""Inference with encoder-decoder (seq2seq) models: batches, and long-form algorithms."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from gaudi_asr_cli.core.data.audio import LoadedAudio
from gaudi_asr_cli.core.data.buckets import Batching
from gaudi_asr_cli.core.decoding.base import Decoder
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
from gaudi_asr_cli.core.models.seq2seq.generation import (
    Generation,
    predicts_timestamps,
    resolve_generation,
)
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
from gaudi_asr_cli.core.runtime import limit_threads

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

    Samples = NDArray[np.float32]

LONG_FORM_ALGORITHMS = ("auto", "sequential", "batched")
"""Algorithms for audio longer than a window; `auto` is sequential if the model has timestamps."""
BATCH_SIZE = 8
"""Default number of utterances per batch: each generated token reads all weights only once."""
WINDOW_UTTERANCE = Utterance("window", AudioSpan(Path()))


class Seq2SeqGenerator(Protocol):
    """The part of a `Seq2SeqModel` that inference needs."""

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

    def generate_from(
        self, inputs: Mapping[str, torch.Tensor], generation_config: Generation, /
    ) -> Generated: ...


@dataclass(frozen=True, slots=True)
class CompletedOutput:
    """An output that is already complete; see `PendingOutput`."""

    generated: Generated

    def wait(self) -> Generated:
        return self.generated


@dataclass(frozen=True, slots=True)
class Seq2SeqRecognizer:
    """A seq2seq model as a `Recognizer` and a `BatchRecognizer`.

    Args:
        model: The model that generates.
        generation_config: Language, task, maximum length and beams.
        batching: From `plan_batching`.
        long: One of `LONG_FORM_ALGORITHMS`.
        buckets: Number of length buckets.
    """

    model: Seq2SeqGenerator
    generation_config: Generation
    batching: Batching
    long: str = "auto"
    buckets: int = 6

    @property
    def dtype(self) -> str:
        return self.model.dtype

    @property
    def longest_s(self) -> float:
        """Return the length of a window; longer audio is transcribed long-form."""
        frontend = self.model.frontend
        if isinstance(frontend, LogMel):
            return frontend.window_samples / SAMPLE_RATE_HZ
        return LONGEST_S

    def count_samples(self, padded_s: float) -> int:
        """Return the number of samples in a row padded to `padded_s` seconds."""
        return int(np.ceil(padded_s * SAMPLE_RATE_HZ - 1e-6))

    def prepare(self, batch: AudioBatch) -> PreparedBatch:
        """Extract features on the calling thread; for a CPU leave them to `start`.

        Torch would otherwise start a second set of threads, and the two would compete for cores.
        """
        is_async = self.model.device.is_async
        return PreparedBatch(batch, self.model.frontend.prepare(batch) if is_async else {})

    def start(self, prepared: PreparedBatch) -> CompletedOutput:
        """Generate a batch; a decoder waits for each of its tokens, so the output is complete."""
        inputs = prepared.inputs or self.model.frontend.prepare(prepared.batch)
        return CompletedOutput(self.model.generate_from(inputs, self.generation_config))

    def infer(self, samples: Samples, utterance: Utterance) -> Generated:
        """Generate the hypothesis of samples (T,) of any length; the output has one row."""
        if len(samples) <= self.longest_s * SAMPLE_RATE_HZ:
            inputs = self.model.frontend.prepare(batch_one(samples, utterance))
            return self.model.generate_from(inputs, self.generation_config)
        return Generated((self._generate_long(lambda: iter([samples])),))

    def transcribe_blocks(
        self, blocks: Blocks, decoder: Decoder, utterance: Utterance
    ) -> LongFormResult:
        """Transcribe audio that is read block by block while the network runs."""
        counter = _BlockCounter()

        def opened() -> Iterator[Samples]:
            counter.reset()
            with RunAhead(blocks(), lambda block: len(block.samples), 0, "read-blocks") as ahead:
                yield from counter.count(ahead)

        hypothesis = self._generate_long(opened)
        transcript = decoder.assemble([hypothesis], utterance)
        return LongFormResult(transcript, counter.samples / SAMPLE_RATE_HZ, counter.lost_s)

    def _generate_long(self, blocks: Callable[[], Iterator[Samples]]) -> Hypothesis:
        frontend = self.model.frontend
        if isinstance(frontend, LogMel) and self._is_sequential:
            loudest = find_loudest(frontend, blocks())
            mel_stream = MelStream(frontend, frontend.stream(blocks()), loudest)
            return generate_sequentially(mel_stream, self._generate_window, self.model.reader, None)
        return generate_overlapping(
            cut_overlapping(blocks(), self.longest_s),
            self._generate_batch,
            self._batch_size,
            self.longest_s,
        )

    @property
    def _is_sequential(self) -> bool:
        return self.long == "sequential" or (
            self.long == "auto" and predicts_timestamps(self.model.settings)
        )

    @property
    def _batch_size(self) -> int:
        return self.batching.utterances or 1

    def _generate_window(self, window: torch.Tensor, language: str | None) -> Hypothesis:
        language = self.generation_config.language or language
        generation_config = replace(self.generation_config, timestamps=True, language=language)
        return self._generate_finite({"input_features": window[None]}, generation_config)[0]

    def _generate_batch(self, windows: list[Samples]) -> tuple[Hypothesis, ...]:
        generation_config = replace(self.generation_config, timestamps=True)
        lengths = np.array([len(one) for one in windows], dtype=np.int64)
        samples = np.zeros((len(windows), int(lengths.max())), dtype=np.float32)  # (B, T)
        for row, window in enumerate(windows):
            samples[row, : len(window)] = window
        batch = AudioBatch((WINDOW_UTTERANCE,) * len(windows), samples, lengths)
        return self._generate_finite(self.model.frontend.prepare(batch), generation_config)

    def _generate_finite(
        self, inputs: Mapping[str, torch.Tensor], generation_config: Generation
    ) -> tuple[Hypothesis, ...]:
        hypotheses = self.model.generate_from(inputs, generation_config).rows
        if not all(one.finite for one in hypotheses):
            raise RuntimeError(NOT_FINITE)
        return hypotheses


class _BlockCounter:
    """Counts the samples of blocks that were read, and the seconds that were lost."""

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
    generation_config: Generation,
    long: str = "auto",
    batch_size: int | None = None,
) -> Seq2SeqRecognizer:
    """Open a seq2seq model for inference only.

    Args:
        name: A model folder, a run folder, or a hub id.
        device: Device to compute on.
        dtype: `auto`, `fp32`, `bf16` or `fp16`.
        generation_config: Language, task, maximum length and beams.
        long: One of `LONG_FORM_ALGORITHMS`.
        batch_size: Utterances per batch; None is `BATCH_SIZE` if the model is padding-invariant.

    Raises:
        UsageError: The model lacks the language, the task or the long-form algorithm.
        DataError: The folder holds no seq2seq model.
        UnreachableError: The hub id is neither cached nor reachable.
    """
    model = open_seq2seq_model(name, device=device, dtype=dtype)
    settled = resolve_generation(generation_config, model.settings, model.name)
    check_long(long, model.settings, model.name)
    if is_small(model):
        limit_threads(1)
    # Beam search is left to transformers.
    generator = (pack_whisper(model) if settled.greedy else None) or model.loaded()
    return Seq2SeqRecognizer(
        generator, generation_config, plan_batching(generator, batch_size), long
    )


def plan_batching(model: Seq2SeqGenerator, batch_size: int | None) -> Batching:
    """Plan batches of `batch_size` (None: `BATCH_SIZE`), or of 1 if padding changes the results."""
    utterances = (batch_size or BATCH_SIZE) if model.padding_invariant else 1
    window_s = LONGEST_S
    if isinstance(model.frontend, LogMel):
        window_s = model.frontend.window_samples / SAMPLE_RATE_HZ
    return Batching(
        edges_s=(window_s,),
        batch_s=window_s * utterances,
        utterances=utterances,
        static_shapes=model.device.recompiles_on_new_shapes,
    )


def check_long(long: str, settings: Any, name: str) -> None:
    """Check that the model supports a long-form algorithm.

    Raises:
        UsageError: It is unknown, or needs timestamps that the model does not generate.
    """
    if long not in LONG_FORM_ALGORITHMS:
        raise UsageError(
            f"There is no long-form algorithm '{long}'.",
            remedy=f"Choose one of {', '.join(LONG_FORM_ALGORITHMS)}.",
        )
    if long == "sequential" and not predicts_timestamps(settings):
        raise UsageError(
            f"{name} generates no timestamps, which sequential long-form transcription needs.",
            remedy="Pass --long batched.",
        )
