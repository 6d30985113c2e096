"""NIST's time-marked conversation file, for `sclite` and everything that reads what it reads.

A line a word: file, channel, start, duration, word, confidence. Source: NIST, "SCTK: infmts".
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import PurePath

from gaudi_asr_cli.core.events import UtteranceDone
from gaudi_asr_cli.core.formats.placing import PlacedWord, place_words, split_channels
from gaudi_asr_cli.core.formats.record import Format

FIRST_CHANNEL = 1
"""The channel of audio that is mixed down, or of which one channel was picked."""


def format_ctm(utterances: Iterable[UtteranceDone]) -> Iterator[str]:
    """The words of each utterance in rising time; the file by its name without the suffix."""
    for done in utterances:
        # The columns are parted by white space, so a name must not have any.
        name = "_".join(PurePath(done.path).stem.split()) or "-"
        for number, one in enumerate(split_channels(done), start=FIRST_CHANNEL):
            for word in place_words(one):
                yield _format_word(name, number, word)


def _format_word(name: str, channel: int, word: PlacedWord) -> str:
    start_s, length_s = word.start_ms / 1000, (word.end_ms - word.start_ms) / 1000
    # The column may be left out.
    sure = "" if word.confidence is None else f" {word.confidence:.4f}"
    return f"{name} {channel} {start_s:.3f} {length_s:.3f} {word.text}{sure}\n"


CTM = Format(format_ctm, one_document=False)
