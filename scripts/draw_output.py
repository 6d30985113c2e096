"""Draw the output of a command as an SVG, for the README.

gaudi-asr finetune-ctc 2> out.txt; python scripts/draw_output.py out.txt docs/images/demo.svg
"""

import io
import re
import sys
from pathlib import Path

from rich.console import Console
from rich.text import Text


def draw(source: Path, target: Path, lines: int = 34) -> None:
    """Write the last lines of a text file as a terminal window."""
    shown = source.read_text(encoding="utf-8").rstrip().splitlines()[-lines:]
    console = Console(record=True, width=84, file=io.StringIO())
    console.print("$ gaudi-asr finetune-ctc", style="bold")
    for line in shown:
        console.print(Text.from_ansi(line))
    target.parent.mkdir(parents=True, exist_ok=True)
    svg = console.export_svg(title="gaudi-asr")
    # A browser should not have to fetch a font.
    target.write_text(re.sub(r"@font-face \{.*?\}", "", svg, flags=re.DOTALL), encoding="utf-8")


if __name__ == "__main__":
    draw(Path(sys.argv[1]), Path(sys.argv[2]))
