"""Signs that a decoder network made something up: texts that did not end, texts that turn round.

A decoder that lost the sound writes the same words again and again. Such a text compresses far
better than speech does (OpenAI's Whisper draws the line at 2.4), or says a phrase many times in
a row. Nobody can know that it is wrong: the utterances are listed, and count as any other.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from gaudi_asr_cli.core.events import Event, UtteranceDone
from gaudi_asr_cli.core.records import Utterance

MOST_COMPRESSION = 2.4
"""Bytes of text over bytes compressed; speech stays below."""
LONGEST_PHRASE = 8
"""Words in a phrase that is looked for."""
MOST_REPEATS = 4
"""A phrase that is said so often in a row, and oftener than in the reference, is a loop."""


@dataclass(frozen=True, slots=True)
class Suspect:
    """A text to look at; `repeats` counts how often its most repeated phrase follows itself."""

    id: str
    path: str
    text: str
    truncated: bool
    looping: bool
    compression: float
    repeats: int

    def to_json(self) -> dict[str, Any]:
        """Return the fields as a JSON object; the promised key of `truncated` is `capped`."""
        values = asdict(self)
        return {"capped" if key == "truncated" else key: values[key] for key in values}


@dataclass(frozen=True, slots=True)
class RepetitionReport:
    """All suspects, in order."""

    suspects: tuple[Suspect, ...]

    @property
    def truncated(self) -> int:
        return sum(one.truncated for one in self.suspects)

    @property
    def looping(self) -> int:
        return sum(one.looping for one in self.suspects)

    def to_json(self) -> dict[str, Any]:
        """`truncated` and `looping` count utterances; `suspects` lists them."""
        return {
            "capped": self.truncated,
            "looping": self.looping,
            "suspects": [one.to_json() for one in self.suspects],
        }


class RepetitionMonitor:
    """An observer that remembers texts which do not look like speech."""

    def __init__(self) -> None:
        self._texts: list[tuple[UtteranceDone, float, int]] = []

    def __call__(self, event: Event) -> None:
        if not isinstance(event, UtteranceDone) or event.transcript is None:
            return
        text = event.transcript.text
        compression, repeats = compression_ratio(text), count_repeats(text.split())
        if event.transcript.truncated or compression > MOST_COMPRESSION or repeats >= MOST_REPEATS:
            self._texts.append((event, compression, repeats))

    def report(self, utterances: Sequence[Utterance]) -> RepetitionReport:
        """Those that remain suspicious beside their references."""
        said = {one.id: one.text or "" for one in utterances}
        suspects = (self._judge(*one, said.get(one[0].utterance_id, "")) for one in self._texts)
        return RepetitionReport(tuple(one for one in suspects if one.truncated or one.looping))

    def _judge(
        self, done: UtteranceDone, compression: float, repeats: int, reference: str
    ) -> Suspect:
        assert done.transcript is not None  # noqa: S101 - only such are remembered
        # Who said "one one one one" may be quoted so.
        repeating = repeats >= MOST_REPEATS and repeats > count_repeats(reference.split())
        squeezed = compression > max(MOST_COMPRESSION, compression_ratio(reference))
        return Suspect(
            id=done.utterance_id,
            path=done.path,
            text=done.transcript.text,
            truncated=done.transcript.truncated,
            looping=repeating or squeezed,
            compression=round(compression, 2),
            repeats=repeats,
        )


def compression_ratio(text: str) -> float:
    """Bytes of the text over its bytes compressed; 0 for no text."""
    written = text.encode()
    return len(written) / len(zlib.compress(written)) if written else 0.0


def count_repeats(words: Sequence[str]) -> int:
    """How often in a row the most repeated phrase of up to eight words is said; 1 if none is."""
    lengths = range(1, min(LONGEST_PHRASE, len(words) // 2) + 1)
    return max((_longest_chain(words, length) for length in lengths), default=min(len(words), 1))


def _longest_chain(words: Sequence[str], length: int) -> int:
    """The same for phrases of one length: a run of words that equal those `length` before."""
    run, longest = 0, 0
    for place in range(length, len(words)):
        run = run + 1 if words[place] == words[place - length] else 0
        longest = max(longest, run)
    return 1 + longest // length
