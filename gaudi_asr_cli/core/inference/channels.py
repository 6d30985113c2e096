"""Transcription of each channel of a file on its own: telephone calls, a microphone a speaker."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace

from gaudi_asr_cli.core.data.audio import count_channels
from gaudi_asr_cli.core.errors import DataError
from gaudi_asr_cli.core.events import UtteranceDone, sum_speech_s
from gaudi_asr_cli.core.formats.turns import merge_channels
from gaudi_asr_cli.core.records import Utterance

Results = Generator[UtteranceDone, None, None]
TranscribeInOrder = Callable[[Iterable[Utterance]], Results]
"""Transcribes utterances and yields the result of each, in order."""


def transcribe_channels(utterances: Iterable[Utterance], run: TranscribeInOrder) -> Results:
    """Yield the result of each utterance, its channels transcribed one by one and merged by time.

    An utterance of which one channel fails has failed. A file with one channel has one.
    """
    counts: deque[int] = deque()
    results = run(_split(utterances, counts))
    with closing(results):
        for first in results:
            rest = [next(results) for _ in range(counts.popleft() - 1)]
            yield _merge([first, *rest])


def _split(utterances: Iterable[Utterance], counts: deque[int]) -> Iterator[Utterance]:
    """Yield an utterance for each channel, and append the number of channels before the first."""
    for utterance in utterances:
        try:
            channels = count_channels(utterance.audio)
        except DataError:
            # Loading the file reports what is wrong with it.
            channels = 1
        counts.append(channels)
        for channel in range(channels):
            yield replace(utterance, audio=replace(utterance.audio, channel=channel))


def _merge(channels: Sequence[UtteranceDone]) -> UtteranceDone:
    first = channels[0]
    for number, done in enumerate(channels):
        if done.error is not None:
            several = f"channel {number}: " if len(channels) > 1 else ""
            return replace(first, transcript=None, error=f"{several}{done.error}")
    transcripts = [done.transcript for done in channels if done.transcript is not None]
    return replace(
        first,
        duration_s=max(done.duration_s for done in channels),
        transcript=merge_channels(first.utterance_id, transcripts),
        speech_s=sum_speech_s(channels),
    )
