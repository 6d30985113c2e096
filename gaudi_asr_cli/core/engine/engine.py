"""From utterances to transcripts: read ahead, listen, write down; in order, one after another."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Protocol

import numpy as np

from gaudi_asr_cli.core.data.audio import load_audio
from gaudi_asr_cli.core.decoding import Decoder
from gaudi_asr_cli.core.engine.chunks import plan_chunks, stitch
from gaudi_asr_cli.core.engine.clock import PhaseClock, Timing
from gaudi_asr_cli.core.engine.read_ahead import Loader, ReadAhead, Sound
from gaudi_asr_cli.core.errors import AsrError
from gaudi_asr_cli.core.events import Noticed, Observer, UtteranceDone, ignore
from gaudi_asr_cli.core.models.geometry import FrameGeometry
from gaudi_asr_cli.core.records import (
    SAMPLE_RATE_HZ,
    AudioBatch,
    Emissions,
    Transcript,
    Utterance,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

READ_AHEAD_S = 300.0
"""Sound that waits decoded in memory: 19 MB."""
NOT_FINITE = "The network's numbers are not finite; try --dtype fp32."


class Listener(Protocol):
    """The part of a `CtcModel` that the engine needs."""

    @property
    def geometry(self) -> FrameGeometry: ...

    def emissions(self, batch: AudioBatch) -> Emissions: ...


@dataclass(frozen=True, slots=True)
class Heard:
    """What became of one utterance, and how long each part of it took."""

    done: UtteranceDone
    timing: Timing = Timing()


def transcribe(  # noqa: PLR0913 - the last four have defaults that callers keep
    model: Listener,
    utterances: Iterable[Utterance],
    decoder: Decoder,
    *,
    observe: Observer = ignore,
    channel: int | None = None,
    clock: PhaseClock | None = None,
    load: Loader | None = None,
) -> Iterator[UtteranceDone]:
    """What the model hears in each utterance: `hear` without the timings."""
    heard = hear(
        model, utterances, decoder, observe=observe, channel=channel, clock=clock, load=load
    )
    with closing(heard):
        for one in heard:
            yield one.done


def hear(  # noqa: PLR0913 - the last four have defaults that callers keep
    model: Listener,
    utterances: Iterable[Utterance],
    decoder: Decoder,
    *,
    observe: Observer = ignore,
    channel: int | None = None,
    clock: PhaseClock | None = None,
    load: Loader | None = None,
) -> Generator[Heard, None, None]:
    """What the model hears in each utterance, in their order, as soon as it is known.

    Audio is decoded on a thread ahead of the network. An utterance that fails costs only itself:
    it comes with an `error`. Memory does not grow with their number or length. Closing the
    iterator, or an interrupt, ends the thread.

    Args:
        model: What listens.
        utterances: Whom to listen to; read lazily, on the other thread.
        decoder: Turns emissions into text.
        observe: Told of audio that is shorter than its header promised.
        channel: Which channel of the files (from 0); all mixed down without it.
        clock: Adds up seconds by phase, to be read when the run is over.
        load: Loads audio; `load_audio` unless given.
    """
    ticking = PhaseClock() if clock is None else clock
    loading = partial(load_audio, channel=channel) if load is None else load
    budget = int(READ_AHEAD_S * SAMPLE_RATE_HZ)
    with ReadAhead(utterances, loading, ticking, budget) as sounds:
        for sound in sounds:
            _notice_loss(sound, observe)
            yield _hear(model, sound, decoder, ticking)


def _notice_loss(sound: Sound, observe: Observer) -> None:
    if sound.lost_s > 0:
        observe(
            Noticed(
                f"{sound.utterance.audio.path}: {sound.lost_s:.2f} s of what its header promises "
                "could not be decoded.",
                remedy="Copy the file again if it should be whole.",
            )
        )


def _hear(model: Listener, sound: Sound, decoder: Decoder, clock: PhaseClock) -> Heard:
    if sound.error is not None:
        return Heard(_failed(sound, sound.error))
    try:
        before_s = clock.read("features")
        with clock.time("compute") as computing:
            emissions = emit(model, sound.samples, sound.utterance)
        # Where somebody timed the features, they are no part of what the network took.
        features_s = clock.read("features") - before_s
        clock.add("compute", -features_s)
        if not np.isfinite(emissions.log_probs).all():
            return Heard(_failed(sound, NOT_FINITE))
        with clock.time("text") as writing:
            transcript = decoder.decode(emissions, 0, sound.utterance)
    except AsrError as error:
        return Heard(_failed(sound, error.message))
    except (RuntimeError, MemoryError) as error:
        # torch says with RuntimeError that memory ran out: that is this utterance's fault alone.
        first_line = str(error).partition("\n")[0]
        return Heard(_failed(sound, first_line or type(error).__name__))
    timing = Timing(
        decode_audio_s=sound.decode_s,
        features_s=features_s,
        compute_s=computing.seconds - features_s,
        text_s=writing.seconds,
    )
    return Heard(_done(sound, transcript), timing)


def emit(model: Listener, samples: NDArray[np.float32], utterance: Utterance) -> Emissions:
    """Emissions (1, F, V) of a sound (T,) of any length, long ones heard in chunks."""
    chunks = plan_chunks(len(samples), model.geometry)
    parts = [
        model.emissions(batch_one(samples[chunk.start : chunk.end], utterance)) for chunk in chunks
    ]
    return stitch(chunks, parts)


def batch_one(samples: NDArray[np.float32], utterance: Utterance) -> AudioBatch:
    """A batch of one sound, without padding."""
    return AudioBatch((utterance,), samples[None, :], np.array([len(samples)], dtype=np.int64))


def _done(sound: Sound, transcript: Transcript) -> UtteranceDone:
    return UtteranceDone(
        utterance_id=sound.utterance.id,
        path=str(sound.utterance.audio.path),
        duration_s=len(sound.samples) / SAMPLE_RATE_HZ,
        transcript=transcript,
    )


def _failed(sound: Sound, error: str) -> UtteranceDone:
    return UtteranceDone(
        utterance_id=sound.utterance.id,
        path=str(sound.utterance.audio.path),
        duration_s=sound.utterance.audio.duration_s or 0.0,
        transcript=None,
        error=error,
    )
