"""One utterance after another: long ones in pieces, failures that cost only themselves."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np

from gaudi_asr_cli.core.data.audio import LoadedAudio
from gaudi_asr_cli.core.decoding import Decoder
from gaudi_asr_cli.core.errors import AsrError
from gaudi_asr_cli.core.events import UtteranceDone
from gaudi_asr_cli.core.inference.ahead import RunAhead
from gaudi_asr_cli.core.inference.chunks import plan_chunks, stitch
from gaudi_asr_cli.core.inference.long_form import LongFormResult, open_blocks, transcribe_long
from gaudi_asr_cli.core.inference.prefetch import Clip
from gaudi_asr_cli.core.inference.results import (
    NOT_FINITE,
    TimedResult,
    name_failure,
    name_success,
)
from gaudi_asr_cli.core.inference.timing import PhaseClock, Timing
from gaudi_asr_cli.core.models.geometry import FrameGeometry
from gaudi_asr_cli.core.records import SAMPLE_RATE_HZ, AudioBatch, Emissions, Output, Utterance

if TYPE_CHECKING:
    from numpy.typing import NDArray

Blocks = Callable[[], Iterator[LoadedAudio]]
"""Opens a long sound anew: its blocks, in order."""


class EmissionModel(Protocol):
    """The part of a `CtcModel` that the engine needs."""

    @property
    def geometry(self) -> FrameGeometry: ...

    def emissions(self, batch: AudioBatch) -> Emissions: ...


@runtime_checkable
class Recognizer(Protocol):
    """Whoever hears one sound of any length; a decoder makes text of what comes out."""

    def hear(self, samples: NDArray[np.float32], utterance: Utterance) -> Output:
        """What is said of a sound (T,), as the only row of a batch."""

    def transcribe_blocks(
        self, blocks: Blocks, decoder: Decoder, utterance: Utterance
    ) -> LongFormResult:
        """The transcript of a sound that is too long for the memory."""


@dataclass(frozen=True, slots=True)
class CtcRecognizer:
    """See `Recognizer`: long sounds are heard in overlapping chunks."""

    model: EmissionModel

    def hear(self, samples: NDArray[np.float32], utterance: Utterance) -> Emissions:
        return emit(self.model, samples, utterance)

    def transcribe_blocks(
        self, blocks: Blocks, decoder: Decoder, utterance: Utterance
    ) -> LongFormResult:
        """Blocks are decoded on a thread while the one before is heard."""
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
    """Who listens with a model: the model itself where it can, else somebody who chunks."""
    return model if isinstance(model, Recognizer) else CtcRecognizer(model)


@dataclass(frozen=True, slots=True)
class UnbatchedTranscriber:
    """Who listens to one sound at a time; `noticed` is told of sound that is missing, in seconds.

    `channel` is the one that long files are read from.
    """

    recognizer: Recognizer
    decoder: Decoder
    clock: PhaseClock
    noticed: Callable[[Utterance, float], None]
    channel: int | None = None

    def hear(self, sound: Clip) -> TimedResult:
        """What became of a sound, whatever its length."""
        if sound.error is not None:
            return TimedResult(name_failure(sound, sound.error))
        try:
            return self._transcribe_long(sound) if sound.is_long else self._transcribe_whole(sound)
        except AsrError as error:
            return TimedResult(name_failure(sound, error.message))
        except (RuntimeError, MemoryError) as error:
            # torch says with RuntimeError that memory ran out: that is this utterance's fault.
            first_line = str(error).partition("\n")[0]
            return TimedResult(name_failure(sound, first_line or type(error).__name__))

    def _transcribe_whole(self, sound: Clip) -> TimedResult:
        before_s = self.clock.read_own("features")
        with self.clock.time("compute") as computing:
            output = self.recognizer.hear(sound.samples, sound.utterance)
        # Where somebody timed the features, they are no part of what the network took.
        features_s = self.clock.read_own("features") - before_s
        self.clock.add("compute", -features_s)
        if not output.is_finite(0):
            return TimedResult(name_failure(sound, NOT_FINITE))
        with self.clock.time("text") as writing:
            transcript = self.decoder.decode(output, 0, sound.utterance)
        timing = Timing(
            decode_audio_s=sound.decode_s,
            features_s=features_s,
            compute_s=computing.seconds - features_s,
            text_s=writing.seconds,
            padded_s=len(sound.samples) / SAMPLE_RATE_HZ,
        )
        return TimedResult(name_success(sound, transcript), timing)

    def _transcribe_long(self, sound: Clip) -> TimedResult:
        utterance = sound.utterance
        blocks = partial(open_blocks, utterance.audio, channel=self.channel)
        with self.clock.time("compute") as watch:
            heard = self.recognizer.transcribe_blocks(blocks, self.decoder, utterance)
        self.noticed(utterance, heard.lost_s)
        done = UtteranceDone(
            utterance_id=utterance.id,
            path=str(utterance.audio.path),
            duration_s=heard.duration_s,
            transcript=heard.transcript,
        )
        return TimedResult(done, Timing(compute_s=watch.seconds, padded_s=heard.duration_s))


def emit(model: EmissionModel, samples: NDArray[np.float32], utterance: Utterance) -> Emissions:
    """Emissions (1, F, V) of a sound (T,) of any length, long ones heard in chunks."""
    chunks = plan_chunks(len(samples), model.geometry)
    parts = [
        model.emissions(batch_one(samples[chunk.start : chunk.end], utterance)) for chunk in chunks
    ]
    return stitch(chunks, parts)


def batch_one(samples: NDArray[np.float32], utterance: Utterance) -> AudioBatch:
    """A batch of one sound, without padding."""
    return AudioBatch((utterance,), samples[None, :], np.array([len(samples)], dtype=np.int64))
