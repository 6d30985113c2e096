"""From utterances to transcripts: read ahead, listen, write down; in order."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from functools import partial

from gaudi_asr_cli.core.data.audio import load_audio, read_duration_s
from gaudi_asr_cli.core.decoding import Decoder
from gaudi_asr_cli.core.errors import DataError
from gaudi_asr_cli.core.events import Noticed, Observer, UtteranceDone, ignore
from gaudi_asr_cli.core.inference.batched import BatchRecognizer
from gaudi_asr_cli.core.inference.long_form import LONG_S
from gaudi_asr_cli.core.inference.parallel import count_parallel, transcribe_in_parallel
from gaudi_asr_cli.core.inference.pipeline import transcribe_batches
from gaudi_asr_cli.core.inference.prefetch import Clip, Loader, ReadAhead
from gaudi_asr_cli.core.inference.results import BatchDecoder, TimedResult
from gaudi_asr_cli.core.inference.timing import PhaseClock
from gaudi_asr_cli.core.inference.unbatched import (
    EmissionModel,
    Recognizer,
    UnbatchedTranscriber,
    batch_one,
    emit,
    recognizer_of,
)
from gaudi_asr_cli.core.records import SAMPLE_RATE_HZ, AudioSpan, Utterance

__all__ = ["EmissionModel", "TimedResult", "batch_one", "emit", "transcribe", "transcribe_timed"]

READ_AHEAD_S = 300.0
"""Sound that waits decoded in memory: 19 MB."""
READER_THREADS = 4
"""Threads that decode for a device that hears thousands of seconds in a second."""


def transcribe(  # noqa: PLR0913 - the last four have defaults that callers keep
    model: EmissionModel | Recognizer,
    utterances: Iterable[Utterance],
    decoder: Decoder,
    *,
    observe: Observer = ignore,
    channel: int | None = None,
    clock: PhaseClock | None = None,
    load: Loader | None = None,
) -> Generator[UtteranceDone, None, None]:
    """What the model hears in each utterance: `transcribe_timed` without the timings."""
    heard = transcribe_timed(
        model, utterances, decoder, observe=observe, channel=channel, clock=clock, load=load
    )
    with closing(heard):
        for one in heard:
            yield one.done


def transcribe_timed(  # noqa: PLR0913 - the last four have defaults that callers keep
    model: EmissionModel | Recognizer,
    utterances: Iterable[Utterance],
    decoder: Decoder,
    *,
    observe: Observer = ignore,
    channel: int | None = None,
    clock: PhaseClock | None = None,
    load: Loader | None = None,
) -> Generator[TimedResult, None, None]:
    """What the model hears in each utterance, in their order, as soon as it is known.

    Audio is decoded on threads ahead of the network; with a `BatchRecognizer` batches are prepared
    and text is written on others, while the network runs on the caller's. An utterance that fails
    costs only itself: it comes with an `error`. Memory does not grow with their number or length.
    Closing the iterator, or an interrupt, ends the threads.

    Args:
        model: What listens.
        utterances: Whom to listen to; read lazily, on another thread.
        decoder: Turns what it says into text.
        observe: Told of audio that is shorter than its header promised.
        channel: Which channel of the files (from 0); all mixed down without it.
        clock: Adds up seconds by phase, to be read when the run is over.
        load: Loads audio; `load_audio` unless given, which reads long files block by block.
    """
    ticking = PhaseClock() if clock is None else clock
    reader = ReadAhead(
        utterances,
        partial(load_audio, channel=channel) if load is None else load,
        ticking,
        int(READ_AHEAD_S * SAMPLE_RATE_HZ),
        readers=READER_THREADS if isinstance(model, BatchRecognizer) else 1,
        # Sound that does not come from files has no blocks to be read in.
        is_long=is_long if load is None else lambda span: False,
    )
    noticed = partial(_notice_loss, observe)
    alone = UnbatchedTranscriber(recognizer_of(model), decoder, ticking, noticed, channel)
    if isinstance(model, BatchRecognizer):
        yield from transcribe_batches(model, reader, BatchDecoder(decoder, ticking), alone, noticed)
        return
    with reader as sounds:
        told = _report_losses(sounds, noticed)
        parallel = count_parallel(model)
        if parallel == 1:
            yield from map(alone.hear, told)
        else:
            yield from transcribe_in_parallel(told, alone.hear, parallel)


def _report_losses(
    sounds: Iterable[Clip], noticed: Callable[[Utterance, float], None]
) -> Iterator[Clip]:
    for sound in sounds:
        noticed(sound.utterance, sound.lost_s)
        yield sound


def _notice_loss(observe: Observer, utterance: Utterance, lost_s: float) -> None:
    if lost_s > 0:
        observe(
            Noticed(
                f"{utterance.audio.path}: {lost_s:.2f} s of what its header promises "
                "could not be decoded.",
                remedy="Copy the file again if it should be whole.",
            )
        )


def is_long(span: AudioSpan) -> bool:
    """Whether a sound is read in blocks; one whose header cannot be read is not."""
    try:
        duration_s = read_duration_s(span) if span.duration_s is None else span.duration_s
    except DataError:
        return False
    return duration_s > LONG_S
