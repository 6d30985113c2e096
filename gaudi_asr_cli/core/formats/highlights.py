"""Cues as they are shown: with `--highlight-words` a cue for each word, which is underlined."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from gaudi_asr_cli.core.errors import UsageError
from gaudi_asr_cli.core.events import UtteranceDone
from gaudi_asr_cli.core.formats.cues import Cue, CueStyle, group_cues
from gaudi_asr_cli.core.formats.placing import PlacedWord

UNDERLINED = "<u>{}</u>"
"""Markup of the spoken word in SRT and WebVTT, as openai-whisper writes it."""


def shown_cues(
    done: UtteranceDone, style: CueStyle, escape: Callable[[str], str] = str
) -> tuple[Cue, ...]:
    """Return the cues of a transcript, their text escaped; with highlights, one for each word.

    Raises:
        UsageError: Words are to be highlighted, and the model gave no times for them.
    """
    cues = group_cues(done, style)
    if style.highlights:
        _require_words(done, cues)
        cues = tuple(part for cue in cues for part in _highlight(cue, escape))
        return tuple(sorted(cues, key=lambda cue: cue.start_ms))
    return tuple(replace(cue, lines=tuple(map(escape, cue.lines))) for cue in cues)


def _require_words(done: UtteranceDone, cues: tuple[Cue, ...]) -> None:
    if any(not cue.words for cue in cues):
        raise UsageError(
            f"--highlight-words: the model gives no times for the words of {done.path}.",
            remedy="Leave --highlight-words out, or choose a model that times words (any CTC "
            "model does).",
        )


def _highlight(cue: Cue, escape: Callable[[str], str]) -> Iterator[Cue]:
    """Cut a cue at its words: each is underlined while it is spoken, none in between."""
    plain = tuple(map(escape, cue.lines))
    reached_ms = cue.start_ms
    spoken = [word for line in cue.words for word in line]
    for number, word in enumerate(spoken):
        start_ms = min(max(word.start_ms, reached_ms), cue.end_ms)
        end_ms = min(word.end_ms, cue.end_ms)
        if end_ms <= start_ms:
            continue
        if start_ms > reached_ms:
            yield replace(cue, start_ms=reached_ms, end_ms=start_ms, lines=plain)
        lines = _underline(cue.words, number, escape)
        yield replace(cue, start_ms=start_ms, end_ms=end_ms, lines=lines)
        reached_ms = end_ms
    if cue.end_ms > reached_ms:
        yield replace(cue, start_ms=reached_ms, lines=plain)


def _underline(
    lines: tuple[tuple[PlacedWord, ...], ...], spoken: int, escape: Callable[[str], str]
) -> tuple[str, ...]:
    """Return the text of lines of words with word number `spoken`, from 0, underlined."""
    texts: list[str] = []
    number = 0
    for line in lines:
        text = ""
        for word in line:
            shown = escape(word.text)
            marked = UNDERLINED.format(shown) if number == spoken else shown
            text += marked if word.is_continued or not text else f" {marked}"
            number += 1
        texts.append(text)
    return tuple(texts)
