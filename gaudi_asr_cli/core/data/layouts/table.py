"""The `table` layout: CSV or TSV with named columns, paths relative to the file."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path

from gaudi_asr_cli.core.data.layouts.columns import Row, read_rows
from gaudi_asr_cli.core.data.layouts.lines import read_lines
from gaudi_asr_cli.core.data.layouts.options import Layout, ReadOptions
from gaudi_asr_cli.core.errors import DataError
from gaudi_asr_cli.core.records import Utterance

TABLE_SUFFIXES = frozenset({".csv", ".tsv"})


def read_table(path: Path, options: ReadOptions) -> Iterator[Utterance]:
    """Read a table; columns are found by name: audio file, text, speaker, duration, offset.

    Raises:
        DataError: A column is missing or a line is broken; the error names it.
    """
    yield from read_rows(read_table_rows(path), path, path.parent, options)


def read_table_rows(path: Path) -> Iterator[Row]:
    """Yield line numbers and cells by column; the first line names the columns.

    A TSV is split at tabs, each row is one line, and a quotation mark is a character of the text
    unless a cell begins and ends with it. A CSV is split at whichever of `,;|` and tab its first
    line uses most, and quoted as usual.
    """
    delimiter = _find_delimiter(path)
    rows = _read_tsv(path) if delimiter == "\t" else _read_csv(path, delimiter)
    _, header = next(rows, (0, []))
    names = [name.strip() for name in header]
    _reject_repeated_names(names, path)
    for line, cells in rows:
        yield line, _name_cells(names, cells, path, line)


def _read_tsv(path: Path) -> Iterator[tuple[int, list[str]]]:
    for number, line in read_lines(path):
        yield number, [_unquote(cell) for cell in line.split("\t")]


def _unquote(cell: str) -> str:
    """Return the content of a quoted cell; with undoubled quotes inside, it is not quoted."""
    inside = cell[1:-1].replace('""', "")
    if len(cell) > 1 and cell[0] == cell[-1] == '"' and '"' not in inside:
        return cell[1:-1].replace('""', '"')
    return cell


def _read_csv(path: Path, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    lines = _Lines(path)
    # Strict: an unclosed quotation mark must not swallow the rest of the table.
    rows = csv.reader(lines, delimiter=delimiter, strict=True)
    try:
        for cells in rows:
            yield lines.number, cells
            lines.taken.clear()
    except csv.Error as error:
        opened = _find_open_quote(lines.taken, delimiter)
        if opened is None:
            where, problem = lines.number, str(error)
        else:
            where = opened
            problem = (
                f"the quotation mark that opens here does not close before line {lines.number} "
                f"({error})"
            )
        raise DataError(
            f"{path}, line {where}: {problem}.",
            remedy='Write a quotation mark inside a quoted cell twice: "He said ""yes""."',
        ) from error


def _find_open_quote(taken: Sequence[tuple[int, str]], delimiter: str) -> int | None:
    """Return the line where the last quoted cell of a row begins."""
    opened, quoted, begins, closed = None, False, True, False
    for number, line in taken:
        for character in line:
            if character == '"' and (quoted or begins or closed):
                opened = number if begins and not quoted else opened
                quoted = not quoted
                # A second one directly after it would be a quotation mark of the text.
                closed = not quoted
            else:
                closed = False
            begins = not quoted and character in (delimiter, "\n")
    return opened


class _Lines(Iterator[str]):
    """Lines for csv; `taken` are those of the current row."""

    def __init__(self, path: Path) -> None:
        self.number = 0
        self.taken: list[tuple[int, str]] = []
        self._lines = read_lines(path)

    def __next__(self) -> str:
        self.number, line = next(self._lines)
        self.taken.append((self.number, f"{line}\n"))
        return f"{line}\n"


def _reject_repeated_names(names: Sequence[str], path: Path) -> None:
    repeated = next((name for name in names if name and names.count(name) > 1), None)
    if repeated is not None:
        raise DataError(
            f"{path}, line 1: two columns are named {repeated!r}.",
            remedy="Rename one of them, or remove it.",
        )


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
        remedy="Correct the line: look for a missing or extra separator or quotation mark.",
    )


def detect_table(path: Path) -> bool:
    """Return whether a file is called like a table; a directory of tables is not recognised."""
    return path.is_file() and path.suffix.lower() in TABLE_SUFFIXES


TABLE = Layout(read_table, detect_table, aliases=("csv", "tsv"))
