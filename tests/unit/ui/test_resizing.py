"""A live view on a terminal that changes its width, as a terminal that reflows shows it."""

import io
import os
import shutil
import subprocess
import sys
import time

import pytest
from rich.console import Console
from rich.panel import Panel

from gaudi_asr_cli.ui.resizing import ResizingLive

PROGRAM = """
import time
from rich.console import Console
from rich.panel import Panel
from rich.text import Text
from gaudi_asr_cli.ui.resizing import ResizingLive

class Counted:
    shown = 0
    def __rich__(self):
        self.shown += 1
        return Panel(Text("line one\\nline two\\nline three"), title=f"frame {self.shown}")

with ResizingLive(Counted(), console=Console(), transient=True, refresh_per_second=10) as live:
    live.console.print("a lasting line")
    time.sleep(6)
print("the end")
time.sleep(30)
"""


def erased_rows(console, live):
    written = len(console.file.getvalue())
    live.refresh()
    return console.file.getvalue()[written:].count("\x1b[2K")


def test_a_frame_is_erased_as_high_as_a_narrower_terminal_shows_it():
    console = Console(file=io.StringIO(), force_terminal=True, width=100, height=30, _environ={})
    with ResizingLive(Panel("one\ntwo"), console=console, auto_refresh=False) as live:
        live.refresh()
        same = erased_rows(console, live)
        console.size = (60, 30)
        narrower = erased_rows(console, live)
        settled = erased_rows(console, live)
        console.size = (120, 30)
        wider = erased_rows(console, live)

    # Four lines of 100 columns take up eight rows of 60.
    assert (same, narrower, settled, wider) == (4, 8, 4, 4)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("tmux") is None, reason="needs tmux")
def test_no_part_of_a_frame_stays_on_a_terminal_made_narrower(tmp_path):
    program = tmp_path / "program.py"
    program.write_text(PROGRAM, encoding="utf-8")
    # A server of its own: no other session is touched.
    tmux = ["tmux", "-S", str(tmp_path / "server"), "-f", "/dev/null"]
    command = [sys.executable, str(program)]
    env = {name: one for name, one in os.environ.items() if name not in {"COLUMNS", "LINES"}}
    start = [*tmux, "new-session", "-d", "-x", "100", "-y", "30", *command]
    subprocess.run(start, check=True, env=env)
    try:
        wait_for(tmux, "frame 5")
        for width in (61, 47):
            subprocess.run([*tmux, "resize-window", "-x", str(width)], check=True)
            time.sleep(1)
        during = capture(tmux)
        wait_for(tmux, "the end")
        after = capture(tmux)
    finally:
        subprocess.run([*tmux, "kill-server"], check=False)

    shown = ("frame ", "line one", "line two", "line three")
    assert [during.count(text) for text in shown] == [1, 1, 1, 1]
    assert "frame" not in after
    assert "─" not in after


def capture(tmux):
    # The screen alone: what tmux pushes into the scroll-back as it reflows cannot be erased.
    shown = [*tmux, "capture-pane", "-p"]
    return subprocess.run(shown, check=True, capture_output=True, text=True).stdout


def wait_for(tmux, text, seconds=30):
    ends = time.monotonic() + seconds
    while text not in capture(tmux):
        assert time.monotonic() < ends, capture(tmux)
        time.sleep(0.1)
