"""Sentences for language models: the lines of text files, or the transcripts of data."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from gaudi_asr_cli.core.data.sources import ReadOptions, read_utterances
from gaudi_asr_cli.core.errors import DataError

TEXT_SUFFIXES = frozenset({".txt", ".text", ".gz", ""})
"""Suffixes of plain text, one sentence on each line."""
_GZIP = b"\x1f\x8b"


def read_sentences(sources: Sequence[str], options: ReadOptions) -> Iterator[str]:
    """Yield each line of a text file, and each transcript of other data; empty ones are left out.

    Raises:
        DataError: A source is missing or broken, or a file is not UTF-8; the line is named.
        UnreachableError: A hub dataset cannot be reached.
    """
    for source in sources:
        path = Path(source).expanduser()
        texts = _read_lines(path) if is_text_file(path) else _read_transcripts(source, options)
        yield from (text for text in texts if text.strip())


def is_text_file(path: Path) -> bool:
    """Return whether a path is a file of plain text by its suffix."""
    return path.is_file() and path.suffix.lower() in TEXT_SUFFIXES


def _read_transcripts(source: str, options: ReadOptions) -> Iterator[str]:
    for utterance in read_utterances(source, options):
        if utterance.text is not None:
            yield utterance.text


def _read_lines(path: Path) -> Iterator[str]:
    try:
        with path.open("rb") as file:
            packed = file.read(2) == _GZIP
        with gzip.open(path) if packed else path.open("rb") as lines:
            for number, line in enumerate(lines, 1):
                yield _decode(line, path, number)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(
            f"{path}: its compressed data is broken: {error}.", remedy="Take a whole copy of it."
        ) from None
    except OSError as error:
        raise DataError(
            f"{path}: {error.strerror or error}.", remedy="Give a text file that can be read."
        ) from None


def _decode(line: bytes, path: Path, number: int) -> str:
    try:
        return line.decode("utf-8-sig" if number == 1 else "utf-8")
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path}, line {number}: byte {error.start + 1} is not UTF-8.",
            remedy="Save the text as UTF-8 (iconv -f ENCODING -t utf-8).",
        ) from None
