"""The house's look of a table: a title on the left, no frame; 80 columns are enough."""

from __future__ import annotations

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from gaudi_asr_cli.ui.console import CONSOLE


def new_table(*columns: str) -> Table:
    """An empty table; a column whose name starts with ">" stands flush right."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1), header_style="dim")
    for column in columns:
        table.add_column(
            column.lstrip(">"),
            overflow="fold",
            justify="right" if column.startswith(">") else "left",
        )
    return table


def show_table(title: str, table: Table, *, console: Console = CONSOLE) -> None:
    """A blank line, the title, the table."""
    console.print()
    console.print(Text(title, style="bold"))
    console.print(table)


def show_facts(*facts: tuple[str, str]) -> None:
    """Lines of a label and what it says, the labels in one column."""
    width = max((len(label) for label, _ in facts), default=0) + 2
    for label, fact in facts:
        CONSOLE.print(Text.assemble((f" {label:<{width}}", "dim"), fact), soft_wrap=True)
