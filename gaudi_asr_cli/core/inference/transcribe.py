"""Transcription of utterances in order, with audio decoded ahead of the network."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import replace
from functools import partial

from gaudi_asr_cli.core.data.audio import LoadedAudio, load_audio, read_duration_s
from gaudi_asr_cli.core.data.remarks import describe_file, describe_loss
from gaudi_asr_cli.core.errors import DataError
from gaudi_asr_cli.core.events import Noticed, Observer, UtteranceDone, ignore
from gaudi_asr_cli.core.inference.long_form import LONG_S, open_blocks
from gaudi_asr_cli.core.inference.parallel import transcribe_in_parallel
from gaudi_asr_cli.core.inference.pipeline import transcribe_batches
from gaudi_asr_cli.core.inference.prefetch import Clip, Loader, ReadAhead
from gaudi_asr_cli.core.inference.recognizer import Recognizer
from gaudi_asr_cli.core.inference.results import TimedResult
from gaudi_asr_cli.core.inference.timing import PhaseClock
from gaudi_asr_cli.core.inference.unbatched import (
    ReportUtteranceSegment,
    UnbatchedTranscriber,
)
from gaudi_asr_cli.core.inference.vad import INSTALL
from gaudi_asr_cli.core.records import SAMPLE_RATE_HZ, AudioSpan, Utterance

READ_AHEAD_S = 300.0
"""Decoded audio queued in memory: 19 MB."""
READER_THREADS = 4
"""Decoding threads for a device with an RTFx of thousands."""


def transcribe(  # noqa: PLR0913 - the last five have defaults that callers keep
    recognizer: Recognizer,
    utterances: Iterable[Utterance],
    *,
    observe: Observer = ignore,
    channel: int | None = None,
    clock: PhaseClock | None = None,
    load: Loader | None = None,
    report_segment: ReportUtteranceSegment | None = None,
) -> Generator[UtteranceDone, None, None]:
    """Transcribe each utterance: `transcribe_timed` without the timings."""
    results = transcribe_timed(
        recognizer,
        utterances,
        observe=observe,
        channel=channel,
        clock=clock,
        load=load,
        report_segment=report_segment,
    )
    with closing(results):
        for one in results:
            yield one.done


def transcribe_timed(  # noqa: PLR0913 - the last five have defaults that callers keep
    recognizer: Recognizer,
    utterances: Iterable[Utterance],
    *,
    observe: Observer = ignore,
    channel: int | None = None,
    clock: PhaseClock | None = None,
    load: Loader | None = None,
    report_segment: ReportUtteranceSegment | None = None,
) -> Generator[TimedResult, None, None]:
    """Transcribe each utterance, yielding results in order as soon as they are known.

    Audio is decoded on threads ahead of the network; batches are prepared and decoded on other
    threads, while the network runs on the caller's. An utterance that fails has an `error` in its
    result and affects no other. Memory does not grow with the number or length of utterances.
    Closing the iterator, or an interrupt, ends the threads.

    Args:
        recognizer: Says whether and how utterances are batched.
        utterances: Read lazily, on another thread.
        observe: Receives a notice if audio is shorter than its header says.
        channel: Channel of the files, from 0; None downmixes to mono.
        clock: Adds up seconds by phase, to be read after the run.
        load: Loads audio; the default, `load_audio`, reads long files block by block.
        report_segment: Receives, from any thread, the parts of long audio as they come.
    """
    phase_clock = PhaseClock() if clock is None else clock
    batching = recognizer.batching
    reports = _AudioReports(observe, load, channel, recognizer)
    if recognizer.vad is not None and recognizer.vad.note:
        observe(Noticed(recognizer.vad.note, remedy=INSTALL))
    reader = ReadAhead(
        utterances,
        reports.load,
        phase_clock,
        int(READ_AHEAD_S * SAMPLE_RATE_HZ),
        readers=1 if batching is None else READER_THREADS,
        # Audio that does not come from files cannot be read in blocks.
        is_long=is_long if load is None else lambda span: False,
    )
    unbatched = UnbatchedTranscriber(
        recognizer, phase_clock, reports.report, reports.open_long, report_segment
    )
    if batching is not None:
        yield from transcribe_batches(recognizer, batching, reader, unbatched, reports.report)
        return
    with reader as loaded:
        clips = _report_losses(loaded, reports.report)
        if recognizer.parallel == 1:
            yield from map(unbatched.transcribe, clips)
        else:
            yield from transcribe_in_parallel(clips, unbatched.transcribe, recognizer.parallel)


def _report_losses(
    clips: Iterable[Clip], report_lost: Callable[[Utterance, float], None]
) -> Iterator[Clip]:
    for clip in clips:
        report_lost(clip.utterance, clip.lost_s)
        yield clip


class _AudioReports:
    """Reports what is unusual about audio, once for a file, on the thread of the consumer.

    Args:
        observe: Receives the notices.
        load: Loads audio; None for `load_audio`.
        channel: Channel of the files; None downmixes to mono.
        recognizer: Says whether speech is detected; in long audio it does so itself.
    """

    def __init__(
        self,
        observe: Observer,
        load: Loader | None,
        channel: int | None,
        recognizer: Recognizer,
    ) -> None:
        self._vad = recognizer.vad
        self._max_samples = recognizer.max_chunk_s * SAMPLE_RATE_HZ
        self._observe = observe
        self._load = partial(load_audio, channel=channel) if load is None else load
        self._channel = channel
        self._notes: dict[AudioSpan, tuple[str, ...]] = {}
        self._reported: set[str] = set()

    def load(self, span: AudioSpan) -> LoadedAudio:
        """Load audio, and keep its notes until it is reported."""
        loaded = self._load(span)
        self._notes[span] = (*describe_file(span), *loaded.notes)
        if self._vad is None or len(loaded.samples) > self._max_samples:
            return loaded
        return replace(loaded, speech=self._vad.find(loaded.samples))

    def open_long(self, span: AudioSpan) -> Iterator[LoadedAudio]:
        """Open long audio in blocks, and keep their notes until it is reported."""
        notes = dict.fromkeys(describe_file(span))
        try:
            for block in open_blocks(span, channel=self._channel):
                notes.update(dict.fromkeys(block.notes))
                yield block
        finally:
            self._notes[span] = tuple(notes)

    def report(self, utterance: Utterance, lost_s: float) -> None:
        """Report an utterance that was loaded, and the seconds of it that were lost."""
        for note in self._notes.pop(utterance.audio, ()):
            sentence = f"{utterance.audio.path}: {note}."
            if sentence not in self._reported:
                self._reported.add(sentence)
                self._observe(Noticed(sentence))
        if lost_s > 0:
            self._observe(
                Noticed(
                    describe_loss(utterance, lost_s),
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
