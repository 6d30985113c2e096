"""The style of tables: a title on the left, no frame, 80 columns wide."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from gaudi_asr_cli.ui.console import CONSOLE

WIDE_COLUMNS = 150
"""The width of a terminal that fits whole names next to the other columns."""

STACKED_COLUMNS = 46
"""Up to this width, lines below a name are not wrapped where there is too little room."""
_NO_CELL = frozenset({"", "-"})


@dataclass(frozen=True, slots=True)
class Grid:
    """The content of a table; columns in `numbers` are right-aligned, the others are text."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numbers: frozenset[str] = frozenset()


def show_grid(grid: Grid, *, console: Console = CONSOLE, whole: Collection[str] = ()) -> None:
    """Show a grid; on a narrow terminal other text is stacked below the first column.

    Args:
        grid: The table.
        console: The console to print on.
        whole: Columns that are not wrapped on a wide terminal.
    """
    wide = console.width >= WIDE_COLUMNS
    stacked = not wide and bool(grid.numbers)
    if stacked:
        grid = replace(grid, numbers=_fitting_numbers(grid, console.width))
    columns = [one for one in grid.columns if one in grid.numbers] if stacked else grid.columns[1:]
    names = (f">{one}" if one in grid.numbers else one for one in (grid.columns[0], *columns))
    table = new_table(*names)
    for column in table.columns:
        column.no_wrap = str(column.header) in (whole if wide else grid.numbers)
    for row in grid.rows:
        cells = dict(zip(grid.columns, row, strict=True))
        first = _stack(grid, row) if stacked else Text(row[0])
        table.add_row(first, *(Text(cells[one]) for one in columns))
    show_table(grid.title, table, console=console)


def _fitting_numbers(grid: Grid, width: int) -> frozenset[str]:
    """Return the first columns of numbers that fit next to whole names; the others are stacked.

    Lines stacked below a name are kept whole up to `STACKED_COLUMNS`; a column without any number
    is not one of them.
    """
    texts = [
        2 + _column_width(grid, column) + cell_len(column) - 1
        for column in grid.columns[1:]
        if column not in grid.numbers
    ]
    stacked = min(STACKED_COLUMNS, max(texts, default=0))
    left = width - max(_column_width(grid, grid.columns[0]), stacked)
    kept: list[str] = []
    for column in grid.columns:
        place = grid.columns.index(column)
        is_empty = all(row[place] in _NO_CELL for row in grid.rows)
        if column in grid.numbers and not is_empty:
            left -= _column_width(grid, column)
            if left < 0:
                break
            kept.append(column)
    return frozenset(kept)


def _column_width(grid: Grid, column: str) -> int:
    place = grid.columns.index(column)
    return 2 + max(map(cell_len, (column, *(row[place] for row in grid.rows))))


def _stack(grid: Grid, row: Sequence[str]) -> Text:
    """Return the first cell, and below it a line for each other column of text."""
    lines = (
        f"\n  {column} {cell}"
        for column, cell in zip(grid.columns[1:], row[1:], strict=True)
        if column not in grid.numbers and cell not in _NO_CELL
    )
    return Text.assemble(row[0], ("".join(lines), "dim"))


def new_table(*columns: str) -> Table:
    """Return an empty table; a column whose name starts with ">" is right-aligned."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1), header_style="dim")
    for column in columns:
        table.add_column(
            column.lstrip(">"),
            overflow="fold",
            justify="right" if column.startswith(">") else "left",
        )
    return table


def show_table(title: str, table: Table, *, console: Console = CONSOLE) -> None:
    """Print a blank line, the title and the table."""
    console.print()
    console.print(Text(title, style="bold"))
    console.print(table)


def show_facts(*facts: tuple[str, str]) -> None:
    """Show lines of a label and a value, aligned in two columns."""
    width = max((len(label) for label, _ in facts), default=0) + 2
    for label, fact in facts:
        CONSOLE.print(Text.assemble((f" {label:<{width}}", "dim"), fact), soft_wrap=True)
