"""Detect likely hallucinations of seq2seq models: truncated and repetitive hypotheses.

A decoder that lost its alignment to the audio repeats the same words. Such a text compresses far
better than a transcript of speech (OpenAI's Whisper has its threshold at 2.4), or contains a
phrase many times in a row. It may still be correct: the utterances are listed, and scored like
all others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from gaudi_asr_cli.core.events import Event, UtteranceDone
from gaudi_asr_cli.core.records import Utterance
from gaudi_asr_cli.core.text.repetition import (
    MAX_COMPRESSION,
    REPETITIVE_REPEATS,
    compression_ratio,
    count_repeats,
)


@dataclass(frozen=True, slots=True)
class Suspect:
    """A suspicious hypothesis; `repeats` is how often its most repeated phrase occurs in a row."""

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
    """All suspicious hypotheses, in order."""

    suspects: tuple[Suspect, ...]

    @property
    def truncated(self) -> int:
        return sum(suspect.truncated for suspect in self.suspects)

    @property
    def looping(self) -> int:
        return sum(suspect.looping for suspect in self.suspects)

    def to_json(self) -> dict[str, Any]:
        """Return a JSON object: counts `capped` (truncated) and `looping`, and the `suspects`."""
        return {
            "capped": self.truncated,
            "looping": self.looping,
            "suspects": [one.to_json() for one in self.suspects],
        }


class RepetitionMonitor:
    """An observer that keeps the hypotheses which do not look like speech."""

    def __init__(self) -> None:
        self._texts: list[tuple[UtteranceDone, float, int]] = []

    def __call__(self, event: Event) -> None:
        if not isinstance(event, UtteranceDone) or event.transcript is None:
            return
        text = event.transcript.text
        compression, repeats = compression_ratio(text), count_repeats(text.split())
        if (
            event.transcript.truncated
            or compression > MAX_COMPRESSION
            or repeats >= REPETITIVE_REPEATS
        ):
            self._texts.append((event, compression, repeats))

    def report(self, utterances: Sequence[Utterance]) -> RepetitionReport:
        """Return the hypotheses that are suspicious in comparison with their references too."""
        references = {utterance.id: utterance.text or "" for utterance in utterances}
        suspects = (
            self._compare(done, compression, repeats, references.get(done.utterance_id, ""))
            for done, compression, repeats in self._texts
        )
        return RepetitionReport(tuple(s for s in suspects if s.truncated or s.looping))

    def _compare(
        self, done: UtteranceDone, compression: float, repeats: int, reference: str
    ) -> Suspect:
        assert done.transcript is not None  # noqa: S101 - only such are kept
        # The reference may be "one one one one" too.
        repeated = repeats >= REPETITIVE_REPEATS and repeats > count_repeats(reference.split())
        compressible = compression > max(MAX_COMPRESSION, compression_ratio(reference))
        return Suspect(
            id=done.utterance_id,
            path=done.path,
            text=done.transcript.text,
            truncated=done.transcript.truncated,
            looping=repeated or compressible,
            compression=round(compression, 2),
            repeats=repeats,
        )
