"""Turns of speakers, each on a channel of its own, merged by time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from gaudi_asr_cli.core.formats.cues import PAUSE_MS
from gaudi_asr_cli.core.records import Transcript, WordTiming, worst_stats


@dataclass(frozen=True, slots=True)
class Turn:
    """Speech of one channel without a long pause, from `start_s`."""

    channel: int
    start_s: float
    text: str


def merge_channels(utterance_id: str, channels: Sequence[Transcript]) -> Transcript:
    """Return one transcript of all channels: text, words and segments ordered by time."""
    turns = find_turns(channels)
    tokens = [one.tokens for one in channels if one.tokens is not None]
    spoken = [one for one in channels if one.text] or [*channels]
    return Transcript(
        utterance_id,
        " ".join(turn.text for turn in turns),
        words=tuple(sorted((w for one in channels for w in one.words), key=lambda w: w.start_s)),
        language=next((one.language for one in spoken if one.language), None),
        truncated=any(one.truncated for one in channels),
        tokens=sum(tokens) if tokens else None,
        segments=tuple(
            sorted((s for one in channels for s in one.segments), key=lambda s: s.start_s)
        ),
        channels=tuple(channels),
        stats=worst_stats(one.stats for one in spoken),
        language_probability=next((one.language_probability for one in spoken), None),
    )


def find_turns(channels: Sequence[Transcript]) -> list[Turn]:
    """Return the turns of all channels by their starts; those of a channel in a row are joined.

    A text whose words are not timed is a turn for each segment, or else one from the start.
    """
    turns = [turn for number, one in enumerate(channels) for turn in _turns_of(number, one)]
    turns.sort(key=lambda turn: turn.start_s)
    joined = []
    for channel, group in groupby(turns, key=lambda turn: turn.channel):
        members = list(group)
        joined.append(Turn(channel, members[0].start_s, " ".join(one.text for one in members)))
    return joined


def channel_lines(transcript: Transcript) -> list[str]:
    """Return the text of a transcript: a line, or with channels one for each turn, marked."""
    if not transcript.channels:
        return [transcript.text]
    turns = find_turns(transcript.channels)
    return [f"[channel {turn.channel}] {turn.text}" for turn in turns] or [""]


def _turns_of(channel: int, transcript: Transcript) -> Iterator[Turn]:
    groups = _split_at_pauses(transcript.words)
    if len(groups) > 1:
        for words in groups:
            yield Turn(channel, words[0].start_s, " ".join(word.word for word in words))
    elif groups:
        yield Turn(channel, groups[0][0].start_s, transcript.text)
    elif transcript.segments:
        for segment in transcript.segments:
            yield Turn(channel, segment.start_s, segment.text.strip())
    elif transcript.text:
        yield Turn(channel, 0.0, transcript.text)


def _split_at_pauses(words: Sequence[WordTiming]) -> list[list[WordTiming]]:
    groups: list[list[WordTiming]] = []
    for word in words:
        if groups and (word.start_s - groups[-1][-1].end_s) * 1000 <= PAUSE_MS:
            groups[-1].append(word)
        else:
            groups.append([word])
    return groups
