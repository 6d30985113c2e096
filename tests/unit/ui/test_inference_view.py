"""Progress of `infer`: seconds of audio, time left, segments; only on an interactive terminal."""

import io
import json
import os
import pty
import re
import subprocess
import sys

import numpy as np
import pytest
import soundfile
from helpers.run import clean_environment
from helpers.tiny_models import save_tiny_model
from rich.console import Console

from gaudi_asr_cli.core.events import SegmentDone, StageAdvanced, StageStarted, UtteranceDone
from gaudi_asr_cli.core.records import Segment, Transcript
from gaudi_asr_cli.ui.inference_view import InferenceBoard, PlainProgress


class Clock:
    time_s = 100.0

    def __call__(self):
        return self.time_s


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def board(clock):
    board = InferenceBoard(clock)
    board.follow(StageStarted("transcribing", 2, "files", 400.0))
    return board


def draw(board):
    console = Console(width=100, record=True, file=io.StringIO())
    console.print(board)
    return console.export_text()


def test_before_the_model_is_open_the_amount_of_audio_is_known(board):
    assert board.describe() == "0:00 of 6:40 of audio, file 0 of 2, opening the model"


def test_time_left_follows_from_the_audio_since_the_model_is_open(board, clock):
    clock.time_s += 50
    board.follow(StageAdvanced("transcribing", 0.0))
    clock.time_s += 10

    board.follow(SegmentDone("a", Segment("one two", 0.0, 40.0)))

    # 40 s of audio in 10 s, 360 s left.
    assert board.describe().endswith(
        "0:40 of 6:40 of audio, file 0 of 2, 0:10 elapsed, 1:30 left, RTFx 4.0"
    )


def test_without_a_terminal_a_line_comes_now_and_then(clock, capsys):
    show = PlainProgress(clock)
    show(StageStarted("transcribing", 90, "files", 400.0))
    show(StageAdvanced("transcribing", 0.0))
    for number in range(61):
        clock.time_s += 1
        show(UtteranceDone(f"{number}", f"{number}.wav", 4.0, None, "broken"))

    assert capsys.readouterr().err.splitlines() == [
        "2:00 of 6:40 of audio, file 30 of 90, 0:30 elapsed, 1:10 left, RTFx 4.0",
        "4:00 of 6:40 of audio, file 60 of 90, 1:00 elapsed, 0:40 left, RTFx 4.0",
    ]


def test_parts_of_several_files_add_up_and_end_with_their_file(board, clock):
    board.follow(StageAdvanced("transcribing", 0.0))
    clock.time_s += 10
    board.follow(SegmentDone("a", Segment("one", 0.0, 40.0)))
    board.follow(SegmentDone("b", Segment("two", 0.0, 20.0)))
    board.follow(SegmentDone("a", Segment("three", 40.0, 60.0)))
    shown = draw(board)

    board.follow(UtteranceDone("a", "a.wav", 100.0, Transcript("a", "one three")))

    assert "three" in shown
    assert "two" in shown
    assert board.done_s == 120.0
    assert "three" not in draw(board)


def test_more_audio_than_estimated_is_no_error(board, clock):
    board.follow(StageAdvanced("transcribing", 0.0))
    clock.time_s += 10

    board.follow(UtteranceDone("a", "a.wav", 500.0, Transcript("a", "one")))

    assert "8:20 of 8:20" in board.describe()
    assert "0:00 left" in draw(board)


@pytest.fixture(scope="module")
def case(tmp_path_factory):
    folder = tmp_path_factory.mktemp("case")
    save_tiny_model(folder / "model")
    noise = 0.1 * np.random.default_rng(0).standard_normal(100 * 16_000)
    soundfile.write(folder / "long.wav", noise, 16_000)
    return folder


def run_on_terminal(case, *arguments, results=None):
    """Run infer with standard error, and standard output unless given, on a terminal."""
    leader, follower = pty.openpty()
    done = subprocess.Popen(
        [sys.executable, "-m", "gaudi_asr_cli", "infer", case / "long.wav", "--model",
         case / "model", "--device", "cpu", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=follower if results is None else results,
        stderr=follower,
        env=clean_environment({"TERM": "xterm", "COLUMNS": "160"}),
    )  # fmt: skip
    os.close(follower)
    shown = b""
    while True:
        try:
            part = os.read(leader, 65_536)
        except OSError:  # the terminal is closed
            break
        if not part:
            break
        shown += part
    os.close(leader)
    assert done.wait() == 0
    return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", shown.decode())


def test_a_terminal_shows_progress_by_audio_and_the_text_once(case, tmp_path):
    shown = run_on_terminal(case)
    with (tmp_path / "text").open("wb") as results:
        beside = run_on_terminal(case, "--json", results=results)

    (line,) = (tmp_path / "text").read_text().splitlines()
    text = json.loads(line)["text"]
    assert re.search(r"0:00 of 1:40 of audio,\s+opening the model", shown)
    assert text in {one.strip() for one in shown.replace("\r", "\n").splitlines()}
    assert "of 1:40 of audio" in beside
    assert text not in beside


def test_quiet_and_pipes_show_no_progress(case):
    assert "of audio" not in run_on_terminal(case, "--quiet")

    done = subprocess.run(
        [sys.executable, "-m", "gaudi_asr_cli", "infer", case / "long.wav", "--model",
         case / "model", "--device", "cpu"],
        capture_output=True, check=True, env=clean_environment({"TERM": "xterm"}),
    )  # fmt: skip
    assert b"of audio" not in done.stderr
    assert b"\x1b" not in done.stdout + done.stderr
