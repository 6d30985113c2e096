"""Transcription of utterances in order, with audio decoded ahead of the network."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from functools import partial

from gaudi_asr_cli.core.data.audio import load_audio, read_duration_s
from gaudi_asr_cli.core.decoding.base import Decoder
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
"""Decoded audio queued in memory: 19 MB."""
READER_THREADS = 4
"""Decoding threads for a device with an RTFx of thousands."""


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
    """Transcribe each utterance: `transcribe_timed` without the timings."""
    results = transcribe_timed(
        model, utterances, decoder, observe=observe, channel=channel, clock=clock, load=load
    )
    with closing(results):
        for one in results:
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
    """Transcribe each utterance, yielding results in order as soon as they are known.

    Audio is decoded on threads ahead of the network; with a `BatchRecognizer` batches are prepared
    and decoded on other threads, while the network runs on the caller's. An utterance that fails
    has an `error` in its result and affects no other. Memory does not grow with the number or
    length of utterances. Closing the iterator, or an interrupt, ends the threads.

    Args:
        model: An `EmissionModel`, a `Recognizer` or a `BatchRecognizer`.
        utterances: Read lazily, on another thread.
        decoder: Turns the output of the model into text.
        observe: Receives a notice if audio is shorter than its header says.
        channel: Channel of the files, from 0; None downmixes to mono.
        clock: Adds up seconds by phase, to be read after the run.
        load: Loads audio; the default, `load_audio`, reads long files block by block.
    """
    phase_clock = PhaseClock() if clock is None else clock
    reader = ReadAhead(
        utterances,
        partial(load_audio, channel=channel) if load is None else load,
        phase_clock,
        int(READ_AHEAD_S * SAMPLE_RATE_HZ),
        readers=READER_THREADS if isinstance(model, BatchRecognizer) else 1,
        # Audio that does not come from files cannot be read in blocks.
        is_long=is_long if load is None else lambda span: False,
    )
    report_lost = partial(_report_lost, observe)
    unbatched = UnbatchedTranscriber(
        recognizer_of(model), decoder, phase_clock, report_lost, channel
    )
    if isinstance(model, BatchRecognizer):
        batch_decoder = BatchDecoder(decoder, phase_clock)
        yield from transcribe_batches(model, reader, batch_decoder, unbatched, report_lost)
        return
    with reader as loaded:
        clips = _report_losses(loaded, report_lost)
        parallel = count_parallel(model)
        if parallel == 1:
            yield from map(unbatched.transcribe, clips)
        else:
            yield from transcribe_in_parallel(clips, unbatched.transcribe, parallel)


def _report_losses(
    clips: Iterable[Clip], report_lost: Callable[[Utterance, float], None]
) -> Iterator[Clip]:
    for clip in clips:
        report_lost(clip.utterance, clip.lost_s)
        yield clip


def _report_lost(observe: Observer, utterance: Utterance, lost_s: float) -> None:
    if lost_s > 0:
        observe(
            Noticed(
                f"{utterance.audio.path}: {lost_s:.2f} s of the duration in its header "
                "could not be decoded.",
                remedy="Copy the file again if it should be complete.",
            )
        )


def is_long(span: AudioSpan) -> bool:
    """Return whether a span is read in blocks; one whose header cannot be read is not."""
    try:
        duration_s = read_duration_s(span) if span.duration_s is None else span.duration_s
    except DataError:
        return False
    return duration_s > LONG_S
