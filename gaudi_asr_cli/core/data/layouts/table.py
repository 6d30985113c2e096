"""The `table` layout: CSV or TSV with named columns, paths relative to the file."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

from gaudi_asr_cli.core.data.layouts.columns import Row, read_rows
from gaudi_asr_cli.core.data.layouts.lines import read_lines
from gaudi_asr_cli.core.data.layouts.options import ReadOptions
from gaudi_asr_cli.core.errors import DataError
from gaudi_asr_cli.core.records import Utterance

SUFFIXES = frozenset({".csv", ".tsv"})


def read_table(path: Path, options: ReadOptions) -> Iterator[Utterance]:
    """Columns are found by name: an audio file, its text, speaker, duration, offset.

    Raises:
        DataError: A column is missing or a line broken; both are named.
    """
    yield from read_rows(read_table_rows(path), path, path.parent, options)


def read_table_rows(path: Path, *, quoted: bool = True) -> Iterator[Row]:
    """Line numbers and cells by column; the first line names the columns.

    Args:
        path: The file; a TSV is cut at tabs, a CSV at what its first line uses most of `,;|`.
        quoted: False where quotation marks are part of the text.
    """
    lines = _Lines(path)
    quoting: Literal[0, 3] = csv.QUOTE_MINIMAL if quoted else csv.QUOTE_NONE
    # Strict: a quotation mark that never closes must not swallow the rest of the table.
    rows = csv.reader(lines, delimiter=_find_delimiter(path), quoting=quoting, strict=True)
    try:
        names = next(rows, None)
        for cells in rows:
            yield lines.number, _name_cells(names or [], cells, path, lines.number)
    except csv.Error as error:
        raise DataError(
            f"{path}, line {lines.number}: {error}.",
            remedy='Write a quotation mark inside a quoted cell twice: "He said ""yes""."',
        ) from error


class _Lines(Iterator[str]):
    """Lines for csv, remembering the number of the one that was taken last."""

    def __init__(self, path: Path) -> None:
        self.number = 0
        self._lines = read_lines(path)

    def __next__(self) -> str:
        self.number, line = next(self._lines)
        return f"{line}\n"


def _find_delimiter(path: Path) -> str:
    if path.suffix == ".tsv":
        return "\t"
    _, header = next(read_lines(path), (0, ""))
    return max(",;|\t", key=header.count)


def _name_cells(
    names: Sequence[str], cells: Sequence[str], path: Path, line: int
) -> dict[str, str]:
    if len(cells) == len(names):
        return dict(zip(names, cells, strict=True))
    raise DataError(
        f"{path}, line {line}: {len(cells)} cells, where the first line names {len(names)} "
        f"columns ({', '.join(names)}).",
        remedy="Mend the line: is a separator or a quotation mark missing, or one too many?",
    )
