"""Unbatched transcription: one clip at a time, long ones in pieces, failures isolated."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np

from gaudi_asr_cli.core.data.audio import LoadedAudio
from gaudi_asr_cli.core.decoding.base import Decoder
from gaudi_asr_cli.core.errors import AsrError
from gaudi_asr_cli.core.events import UtteranceDone
from gaudi_asr_cli.core.inference.ahead import RunAhead
from gaudi_asr_cli.core.inference.chunks import plan_chunks, stitch
from gaudi_asr_cli.core.inference.long_form import LongFormResult, transcribe_long
from gaudi_asr_cli.core.inference.prefetch import Clip
from gaudi_asr_cli.core.inference.results import (
    NOT_FINITE,
    TimedResult,
    report_failure,
    report_success,
)
from gaudi_asr_cli.core.inference.timing import PhaseClock, Timing
from gaudi_asr_cli.core.models.geometry import FrameGeometry
from gaudi_asr_cli.core.records import (
    SAMPLE_RATE_HZ,
    AudioBatch,
    AudioSpan,
    Emissions,
    Output,
    Utterance,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

Blocks = Callable[[], Iterator[LoadedAudio]]
"""Opens long audio from its start: its blocks, in order."""


class EmissionModel(Protocol):
    """The part of a `CtcModel` that inference needs."""

    @property
    def geometry(self) -> FrameGeometry: ...

    def emissions(self, batch: AudioBatch) -> Emissions: ...


@runtime_checkable
class Recognizer(Protocol):
    """A model for clips of any length, whose output a decoder turns into text."""

    def infer(self, samples: NDArray[np.float32], utterance: Utterance) -> Output:
        """Run the network on samples (T,); the output has one row."""

    def transcribe_blocks(
        self, blocks: Blocks, decoder: Decoder, utterance: Utterance
    ) -> LongFormResult:
        """Transcribe audio that is too long for the memory."""


@dataclass(frozen=True, slots=True)
class CtcRecognizer:
    """A `Recognizer` that runs a CTC model on long audio in overlapping chunks."""

    model: EmissionModel

    def infer(self, samples: NDArray[np.float32], utterance: Utterance) -> Emissions:
        return emit(self.model, samples, utterance)

    def transcribe_blocks(
        self, blocks: Blocks, decoder: Decoder, utterance: Utterance
    ) -> LongFormResult:
        """Transcribe blocks; the next is read on a thread while the network runs on one."""
        with RunAhead(blocks(), lambda block: len(block.samples), 0, "read-blocks") as ahead:
            return transcribe_long(
                partial(self._emit_finite, utterance=utterance),
                self.model.geometry,
                ahead,
                decoder,
                utterance,
            )

    def _emit_finite(self, samples: NDArray[np.float32], utterance: Utterance) -> Emissions:
        emissions = self.model.emissions(batch_one(samples, utterance))
        if not np.isfinite(emissions.log_probs).all():
            raise RuntimeError(NOT_FINITE)
        return emissions


def recognizer_of(model: Any) -> Recognizer:
    """Return the model itself if it is a `Recognizer`, else a `CtcRecognizer` around it."""
    return model if isinstance(model, Recognizer) else CtcRecognizer(model)


@dataclass(frozen=True, slots=True)
class UnbatchedTranscriber:
    """Transcribes one clip at a time.

    Args:
        recognizer: The model.
        decoder: Turns its output into text.
        clock: Adds up seconds by phase.
        report_lost: Receives the utterance and the seconds of a long file that were lost.
        open_long: Opens long audio as blocks, in order.
    """

    recognizer: Recognizer
    decoder: Decoder
    clock: PhaseClock
    report_lost: Callable[[Utterance, float], None]
    open_long: Callable[[AudioSpan], Iterator[LoadedAudio]]

    def transcribe(self, clip: Clip) -> TimedResult:
        """Transcribe a clip of any length; a failure becomes the error of its result."""
        if clip.error is not None:
            return TimedResult(report_failure(clip, clip.error))
        try:
            return self._transcribe_long(clip) if clip.is_long else self._transcribe_whole(clip)
        except AsrError as error:
            return TimedResult(report_failure(clip, error.message))
        except (RuntimeError, MemoryError) as error:
            # torch raises RuntimeError if memory runs out: this utterance was too long.
            first_line = str(error).partition("\n")[0]
            return TimedResult(report_failure(clip, first_line or type(error).__name__))

    def _transcribe_whole(self, clip: Clip) -> TimedResult:
        before_s = self.clock.read_thread("features")
        with self.clock.time("compute") as compute:
            output = self.recognizer.infer(clip.samples, clip.utterance)
        # If features are timed as well, they are not part of the time of the network.
        features_s = self.clock.read_thread("features") - before_s
        self.clock.add("compute", -features_s)
        if not output.is_finite(0):
            return TimedResult(report_failure(clip, NOT_FINITE))
        with self.clock.time("text") as text:
            transcript = self.decoder.decode(output, 0, clip.utterance)
        timing = Timing(
            decode_audio_s=clip.decode_s,
            features_s=features_s,
            compute_s=compute.seconds - features_s,
            text_s=text.seconds,
            padded_s=len(clip.samples) / SAMPLE_RATE_HZ,
        )
        return TimedResult(report_success(clip, transcript), timing)

    def _transcribe_long(self, clip: Clip) -> TimedResult:
        utterance = clip.utterance
        blocks = partial(self.open_long, utterance.audio)
        with self.clock.time("compute") as watch:
            result = self.recognizer.transcribe_blocks(blocks, self.decoder, utterance)
        self.report_lost(utterance, result.lost_s)
        done = UtteranceDone(
            utterance_id=utterance.id,
            path=str(utterance.audio.path),
            duration_s=result.duration_s,
            transcript=result.transcript,
        )
        return TimedResult(done, Timing(compute_s=watch.seconds, padded_s=result.duration_s))


def emit(model: EmissionModel, samples: NDArray[np.float32], utterance: Utterance) -> Emissions:
    """Compute emissions (1, F, V) of samples (T,) of any length, in chunks if they are long."""
    chunks = plan_chunks(len(samples), model.geometry)
    parts = [
        model.emissions(batch_one(samples[chunk.start : chunk.end], utterance)) for chunk in chunks
    ]
    return stitch(chunks, parts)


def batch_one(samples: NDArray[np.float32], utterance: Utterance) -> AudioBatch:
    """Return a batch of one clip (T,), without padding."""
    return AudioBatch((utterance,), samples[None, :], np.array([len(samples)], dtype=np.int64))
