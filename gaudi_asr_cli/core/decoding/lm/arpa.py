"""ARPA files of back-off n-gram models, plain or gzip.

Source: the format of the SRI Language Modeling Toolkit, ngram-format(5).
"""

from __future__ import annotations

import gzip
import math
import zlib
from array import array
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np

from gaudi_asr_cli.core.decoding.lm.ngram_model import (
    ROOT,
    NgramError,
    NgramModel,
    NgramTable,
    build_ngram_model,
)
from gaudi_asr_cli.core.errors import DataError, MachineError
from gaudi_asr_cli.core.whole_files import open_whole, open_whole_gzip

_GZIP = b"\x1f\x8b"
_KENLM = b"mmap lm http"
_REMEDY = (
    "Make it again, for example with `gaudi-asr lm TEXT --out FILE.arpa`, or take a whole copy."
)
_SHOWN = 60


def read_arpa(path: Path) -> NgramModel:
    """Read a model.

    Raises:
        DataError: It is not there, or is no whole ARPA file; the line is named.
        MachineError: It is a binary file of KenLM.
    """
    with _open(path) as file:
        reader = _ArpaReader(path, enumerate(file, 1))
        return reader.read()


@contextmanager
def _open(path: Path) -> Iterator[BinaryIO]:
    try:
        with path.open("rb") as plain:
            magic = plain.read(len(_KENLM))
            plain.seek(0)
            if magic == _KENLM:
                raise MachineError(
                    f"{path}: this is a binary file of KenLM, which only KenLM reads.",
                    remedy="Give the ARPA file that it was built from (plain or .gz).",
                )
            if magic.startswith(_GZIP):
                with gzip.open(plain) as unpacked:
                    yield cast(BinaryIO, unpacked)
            else:
                yield plain
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise DataError(
            f"{path}: its compressed data is broken: {error}.", remedy=_REMEDY
        ) from None
    except OSError as error:
        raise DataError(
            f"{path}: {error.strerror or error}.", remedy="Give the path of an ARPA file."
        ) from None


class _ArpaReader:
    def __init__(self, path: Path, lines: Iterator[tuple[int, bytes]]) -> None:
        self._path = path
        self._lines = lines
        self._number = 0
        self._ids: dict[bytes, int] = {}

    def read(self) -> NgramModel:
        counts = self._read_counts()
        tables, rows = [], []
        for order, count in enumerate(counts, 1):
            table, first_line = self._read_section(order, count)
            tables.append(table)
            rows.append(first_line)
        self._expect_end()
        words = [word.decode("utf-8", "replace") for word in self._ids]
        try:
            return build_ngram_model(words, tables)
        except NgramError as error:
            lines = rows[error.order - 1]
            raise self._broken(
                f"{error.order}-gram that cannot be used: {error.reason}", lines[error.row]
            ) from None

    def _next(self) -> bytes:
        """Return the next line that is not empty; an empty one at the end of the file."""
        for number, line in self._lines:
            self._number = number
            stripped = line.strip()
            if stripped:
                return stripped
        return b""

    def _read_counts(self) -> list[int]:
        line = self._next()
        # What stands before \data\ is comment.
        while line and line != b"\\data\\":
            line = self._next()
        if not line:
            raise DataError(
                f"{self._path}: this is no ARPA file: it has no line \\data\\.", remedy=_REMEDY
            )
        counts: list[int] = []
        while (line := self._next()).startswith(b"ngram "):
            order, _, count = line.removeprefix(b"ngram ").partition(b"=")
            if not (order.strip().isdigit() and count.strip().isdigit()):
                raise self._broken(f"no count of n-grams: {_show(line)}")
            if int(order) != len(counts) + 1:
                raise self._broken(f"orders must rise from 1: {_show(line)}")
            counts.append(int(count))
        if not counts:
            raise self._broken("there is no count of n-grams after \\data\\")
        self._require(line, b"\\1-grams:")
        return counts

    def _read_section(self, order: int, count: int) -> tuple[NgramTable, array[int]]:
        if order > 1:
            self._require(self._next(), b"\\%d-grams:" % order)
        ids, probs, backoffs = array("i"), array("f"), array("f")
        numbers = array("q")
        for _ in range(count):
            line = self._next()
            fields = line.split()
            if not order + 1 <= len(fields) <= order + 2 or line.startswith(b"\\"):
                raise self._not_an_ngram(line, order, len(probs), count)
            ids.extend(self._find_ids(fields[1 : order + 1], order, line))
            probs.append(self._number_of(fields[0], line))
            weight = fields[order + 1] if len(fields) == order + 2 else b"0"
            backoffs.append(self._number_of(weight, line))
            numbers.append(self._number)
        table = NgramTable(
            np.frombuffer(ids, np.int32).reshape(-1, order) if count else np.zeros((0, order), int),
            np.frombuffer(probs, np.float32) if count else np.zeros(0, np.float32),
            np.frombuffer(backoffs, np.float32) if count else np.zeros(0, np.float32),
        )
        return table, numbers

    def _find_ids(self, words: list[bytes], order: int, line: bytes) -> list[int]:
        if order == 1:
            index = self._ids.setdefault(words[0], len(self._ids))
            return [index]
        try:
            return [self._ids[word] for word in words]
        except KeyError as error:
            word = error.args[0].decode("utf-8", "replace")
            raise self._broken(f"{word!r} is not among the 1-grams: {_show(line)}") from None

    def _number_of(self, field: bytes, line: bytes) -> float:
        try:
            number = float(field)
        except ValueError:
            number = math.nan
        if math.isnan(number) or number == math.inf:
            raise self._broken(f"{_show(field)} is not a log10 probability: {_show(line)}")
        return max(number, -100.0)

    def _require(self, line: bytes, expected: bytes) -> None:
        if line == expected:
            return
        if not line:
            raise self._broken(f"the file ends before {expected.decode()}")
        raise self._broken(f"expected {expected.decode()}, found {_show(line)}")

    def _expect_end(self) -> None:
        self._require(self._next(), b"\\end\\")

    def _not_an_ngram(self, line: bytes, order: int, read: int, count: int) -> DataError:
        if not line or line.startswith(b"\\"):
            found = "the file ends" if not line else f"{_show(line)} follows"
            return self._broken(f"{found} after {read:,} of {count:,} {order}-grams")
        return self._broken(f"no {order}-gram with a probability: {_show(line)}")

    def _broken(self, what: str, line: int | None = None) -> DataError:
        number = self._number if line is None else line
        return DataError(f"{self._path}, line {number}: {what}.", remedy=_REMEDY)


def _show(text: bytes) -> str:
    shown = text[:_SHOWN].decode("utf-8", "replace")
    return repr(shown + ("..." if len(text) > _SHOWN else ""))


def write_arpa(model: NgramModel, path: Path) -> None:
    """Write a model, compressed if the name ends in `.gz`.

    Raises:
        OSError: It could not be written.
    """
    opened = open_whole_gzip(path) if path.suffix == ".gz" else open_whole(path)
    with opened as file:
        for text in format_arpa(model):
            file.write(text)


def format_arpa(model: NgramModel) -> Iterable[str]:
    """Yield the text of the ARPA file of a model."""
    counts = model.count_ngrams()
    yield "\\data\\\n"
    for order, count in enumerate(counts, 1):
        yield f"ngram {order}={count}\n"
    grams: list[str] = [""]
    parents = np.repeat(np.arange(len(model.words)), np.diff(model.first))
    starts = np.cumsum([1, *counts])
    for order, (start, end) in enumerate(pairwise(starts.tolist()), 1):
        yield f"\n\\{order}-grams:\n"
        context_from = ROOT if order == 1 else int(starts[order - 2])
        texts = []
        for node in range(start, end):
            word = model.vocabulary[int(model.words[node])]
            context = grams[int(parents[node - 1]) - context_from]
            texts.append(f"{context} {word}" if context else word)
            backoff = "" if order == len(counts) else f"\t{model.backoffs[node]:.7g}"
            yield f"{model.log10_probs[node]:.7g}\t{texts[-1]}{backoff}\n"
        grams = texts
    yield "\n\\end\\\n"
