"""What a format is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any


@dataclass(frozen=True, slots=True)
class Format:
    """How transcripts are written. The defaults are safe: nothing is lost, nothing is joined.

    Args:
        write: Yields the text of each utterance as soon as it is done.
        one_document: A file holds one utterance; False if documents may follow one another.
        needs_word_times: It cannot be written without word times (`--timestamps none`).
        uses_word_times: It shows words with times, so that they are computed.
        writes_failures: An utterance that failed gets a file too, with its error.
        takes_style: `write` takes `style`, a `CueStyle`: these are subtitles.
    """

    write: Callable[..., Iterator[str]]
    one_document: bool = True
    needs_word_times: bool = True
    uses_word_times: bool = True
    writes_failures: bool = False
    takes_style: bool = False

    def in_style(self, style: Any) -> Format:
        """Return the format with subtitles in a `CueStyle`; itself if it has no subtitles."""
        return replace(self, write=partial(self.write, style=style)) if self.takes_style else self
