"""What a format is."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from gaudi_asr_cli.core.events import UtteranceDone


@dataclass(frozen=True, slots=True)
class Format:
    """How transcripts are written. The defaults are safe: nothing is lost, nothing is joined.

    Args:
        write: Yields the text of each utterance as soon as it is done.
        one_document: A file holds one utterance; False if documents may follow one another.
        needs_word_times: It cannot be written without word times (`--timestamps none`).
        uses_word_times: It shows words with times, so that they are computed.
        writes_failures: An utterance that failed gets a file too, with its error.
    """

    write: Callable[[Iterable[UtteranceDone]], Iterator[str]]
    one_document: bool = True
    needs_word_times: bool = True
    uses_word_times: bool = True
    writes_failures: bool = False
