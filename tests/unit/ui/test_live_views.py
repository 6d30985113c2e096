import io
import typing
from dataclasses import replace

import pytest
from rich.console import Console

from gaudi_asr_cli.core import events
from gaudi_asr_cli.core.events import (
    CheckpointSaved,
    Evaluated,
    Noticed,
    SamplePrediction,
    SegmentDone,
    StageAdvanced,
    StageFinished,
    StageStarted,
    StepLogged,
    TrainingStarted,
    UtteranceDone,
)
from gaudi_asr_cli.core.records import ErrorCounts, Score, Segment
from gaudi_asr_cli.ui.live import PlainView, TerminalView, both, opened_view
from gaudi_asr_cli.ui.training_view import TrainingView, mark_differences

SCORE = Score(
    wer=0.123,
    wer_low=0.1,
    wer_high=0.15,
    cer=0.05,
    words=ErrorCounts(880, 60, 40, 23),
    sentence_error_rate=0.4,
    utterances=200,
    utterances_total=203,
    audio_s=600.0,
    audio_s_total=612.0,
    normalizer="basic/1",
    raw_wer=0.3,
    raw_cer=0.2,
)
STARTED = TrainingStarted(0, 600, 10.0, 60, 1500, 4021.0, 1.041)
SAMPLES = (SamplePrediction("one two", "one to"), SamplePrediction("nine", ""))
EVALUATED = Evaluated(20, SCORE, 1.2, SAMPLES, best=True)
ALL = (
    StageStarted("measure", 203.0),
    StageAdvanced("measure", 50.0),
    SegmentDone("a", Segment("one two", 0.0, 0.5)),
    UtteranceDone("a", "a.wav", 1.0, None, "broken"),
    StageFinished("measure", 1.4),
    Noticed("3 utterances are too long.", "Raise --max-seconds."),
    STARTED,
    EVALUATED,
    CheckpointSaved(20, "run/checkpoints/checkpoint-20"),
)


class Clock:
    def __init__(self):
        self.time_s = 0.0

    def __call__(self):
        return self.time_s


def step(number, loss=1.5):
    return StepLogged(number, number / 60, loss, 3e-4, 1.0, 85.2, 40.0, 1.04, 0.12, 0.78)


def drawn(board, width=80):
    console = Console(file=io.StringIO(), width=width, no_color=True)
    console.print(board)
    return console.file.getvalue()


def test_these_tests_cover_every_event():
    assert {type(event) for event in [*ALL, step(1)]} == set(typing.get_args(events.Event))


@pytest.mark.parametrize("make_view", [PlainView, lambda: TerminalView(TrainingView())])
def test_a_view_takes_every_event(make_view, capsys):
    view = make_view()

    for event in [*ALL, step(10)]:
        view(event)

    shown = capsys.readouterr()
    assert shown.out == ""
    assert "3 utterances are too long." in shown.err
    assert "WER 12.3 % [10.0 % to 15.0 %]" in shown.err


def test_plain_lines_have_no_control_codes_and_come_every_few_seconds(capsys):
    clock = Clock()
    view = PlainView(clock)
    view(STARTED)
    for number in range(1, 101):
        clock.time_s += 0.1
        view(step(number))

    err = capsys.readouterr().err
    steps = [line for line in err.splitlines() if line.startswith("step ")]
    assert len(steps) == 2
    assert "\x1b" not in err
    assert "\r" not in err


def test_the_last_step_is_always_shown(capsys):
    view = PlainView(Clock())
    view(STARTED)
    view(step(1))
    view(step(600))

    assert "step 600/600" in capsys.readouterr().err


def test_time_left_follows_from_the_steps_of_this_session(capsys):
    clock = Clock()
    view = PlainView(clock)
    view(TrainingStarted(300, 600, 10.0, 60, 1500, 4021.0, 1.0))
    clock.time_s = 100.0
    view(step(400))

    assert "3:20 left" in capsys.readouterr().err


def test_the_board_shows_loss_speed_and_samples():
    clock = Clock()
    board = TrainingView(clock)
    view = TerminalView(board)
    for event in (STARTED, step(10), EVALUATED):
        view(event)
    clock.time_s = 60.0
    view(step(20, loss=0.9))

    shown = drawn(board)
    for part in (
        "0.900",
        "12.3 %",
        "3.00e-04",
        "85 RTFx",
        "4.0 %",
        "78.0 %",
        "compute",
        "29:00 left",
    ):
        assert part in shown
    assert "one to" in shown
    assert "(nothing)" in shown
    assert max(map(len, shown.splitlines())) == 80


@pytest.mark.parametrize("width", [60, 80, 200])
def test_the_curves_of_all_logs_fill_any_width(width):
    board = TrainingView(Clock())
    board.start_training(STARTED)
    for number in range(1, 501):
        board.log_step(step(number, loss=1000 - number))

    shown = drawn(board, width)

    (loss,) = [line for line in shown.splitlines() if line.startswith("│ loss")]
    bars = [character for character in loss if character in "▁▂▃▄▅▆▇█"]
    assert {len(line) for line in shown.splitlines()} == {width}
    assert len(bars) == width - 4 - 38
    assert (bars[0], bars[-1]) == ("█", "▁")  # from the first log to the last


def test_the_board_shows_elapsed_time_epochs_and_memory():
    clock = Clock()
    board = TrainingView(clock)
    board.start_training(STARTED)
    clock.time_s = 61.0
    board.log_step(replace(step(60), peak_memory_mb=2345.6))

    shown = drawn(board)

    for part in ("1:01, ", "1.00 of 10.00", "2.3 GB"):
        assert part in shown


def test_words_that_differ_are_marked():
    reference, hypothesis = mark_differences(SamplePrediction("one two three", "one to three oh"))

    assert marked(reference) == ["two"]
    assert marked(hypothesis) == ["to", "oh"]


def marked(text):
    return [
        text.plain[span.start : span.end] for span in text.spans if "underline" in str(span.style)
    ]


def test_the_board_shows_the_share_of_loading():
    board = TrainingView()
    board.start_training(STARTED)
    board.log_step(StepLogged(10, 0.1, 1.0, 3e-4, 1.0, 9.0, 4.0, 1.0, 0.62, 0.5))

    assert "loading, 62% of time" in drawn(board)


def test_a_stage_is_on_the_board_while_it_runs():
    board = TrainingView()
    board.follow_stage(StageStarted("transcribing", 4.0, "files"))
    board.follow_stage(UtteranceDone("a", "a.wav", 1.0, None, "x"))
    board.follow_stage(UtteranceDone("b", "b.wav", 1.0, None, "x"))
    running = drawn(board)
    board.follow_stage(StageFinished("transcribing", 1.0))

    assert "2 of 4 files" in running
    assert "transcribing" not in drawn(board)


def test_a_cleared_board_draws_nothing():
    board = TrainingView()
    board.start_training(STARTED)
    board.follow_stage(StageStarted("transcribing", 4.0, "files"))
    board.clear()

    assert drawn(board).strip() == ""


def test_a_loss_of_nan_does_not_break_the_board():
    board = TrainingView()
    board.start_training(STARTED)
    board.log_step(step(10, loss=float("nan")))

    assert "nan" in drawn(board)


def test_quiet_shows_nothing(capsys):
    with opened_view(quiet=True) as observe:
        for event in ALL:
            observe(event)

    assert capsys.readouterr().err == ""


def test_without_a_terminal_the_view_is_plain():
    with opened_view() as observe:
        assert isinstance(observe, PlainView)


def test_two_observers_receive_the_same_events():
    first, second = [], []

    both(first.append, second.append)(STARTED)

    assert first == second == [STARTED]
