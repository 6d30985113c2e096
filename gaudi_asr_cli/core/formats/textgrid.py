"""Praat's TextGrid in its long text form, with a tier of words and one of characters.

Source: the Praat manual, "TextGrid file formats".
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from gaudi_asr_cli.core.events import UtteranceDone
from gaudi_asr_cli.core.formats.record import Format
from gaudi_asr_cli.core.records import WordTiming

TextInterval = tuple[float, float, str]
Tier = tuple[str, Sequence[WordTiming]]


def format_textgrid(utterances: Iterable[UtteranceDone]) -> Iterator[str]:
    """Yield each utterance as a whole document; silence is an interval without text."""
    for done in utterances:
        if done.transcript is not None:
            channels = done.transcript.channels
            tiers = (
                [
                    tier
                    for number, one in enumerate(channels)
                    for tier in _tiers(one.words, f" of channel {number}")
                ]
                if channels
                else _tiers(done.transcript.words)
            )
            yield "".join(_format_document(tiers, done.duration_s))


def _tiers(words: Sequence[WordTiming], suffix: str = "") -> list[Tier]:
    characters = [one for word in words for one in word.characters]
    named = [(f"words{suffix}", words)]
    return [*named, (f"characters{suffix}", characters)] if characters else [*named]


def _format_document(tiers: Sequence[Tier], duration_s: float) -> Iterator[str]:
    end_s = max([duration_s, *(word.end_s for _, words in tiers for word in words)])
    yield 'File type = "ooTextFile"\nObject class = "TextGrid"\n\n'
    yield f"xmin = 0\nxmax = {end_s:.3f}\ntiers? <exists>\nsize = {len(tiers)}\nitem []:\n"
    for number, (name, timed) in enumerate(tiers, 1):
        intervals = list(fill_gaps(timed, end_s))
        yield f'    item [{number}]:\n        class = "IntervalTier"\n        name = "{name}"\n'
        yield f"        xmin = 0\n        xmax = {end_s:.3f}\n"
        yield f"        intervals: size = {len(intervals)}\n"
        for index, (start_s, stop_s, text) in enumerate(intervals, 1):
            quoted = text.replace('"', '""')
            yield (
                f"        intervals [{index}]:\n            xmin = {start_s:.3f}\n"
                f'            xmax = {stop_s:.3f}\n            text = "{quoted}"\n'
            )


def fill_gaps(timed: Iterable[WordTiming], end_s: float) -> Iterator[TextInterval]:
    """Yield intervals that touch from 0 to the end; an interval lasts at least a millisecond."""
    reached_s = 0.0
    for one in timed:
        start_s = max(round(one.start_s, 3), reached_s)
        stop_s = min(round(one.end_s, 3), end_s)
        if stop_s - start_s < 0.001:
            continue
        if start_s > reached_s:
            yield reached_s, start_s, ""
        yield start_s, stop_s, one.word
        reached_s = stop_s
    if end_s - reached_s >= 0.001 or not reached_s:
        yield reached_s, end_s, ""


TEXTGRID = Format(format_textgrid)
