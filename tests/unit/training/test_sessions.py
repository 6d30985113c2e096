"""Sessions of a run, from its events."""

import json

import pytest

from gaudi_asr_cli.core.training.meter import TrainingTotals
from gaudi_asr_cli.core.training.sessions import add_sessions


def write(path, *events):
    path.write_text("".join(json.dumps(one) + "\n" for one in events))
    return path


def started(time_s, elapsed_s):
    return {"event": "TrainingStarted", "time_s": time_s, "elapsed_s": elapsed_s}


def at(time_s):
    return {"event": "StepLogged", "time_s": time_s}


def test_each_session_lasts_from_its_command_to_its_last_event(tmp_path):
    events = write(
        tmp_path / "e", {"event": "Noticed", "time_s": 90}, started(100, 4), at(110), at(120.5),
        started(1_000, 3), started(2_000, 5), at(2_010),
    )  # fmt: skip

    found = add_sessions(TrainingTotals(audio_s=7.0, wall_s=20.0, sessions=1), events)

    assert (found.sessions, found.wall_s) == (3, 24.5 + 3 + 15)
    assert found.audio_s == 7.0


def test_what_the_checkpoint_knows_stays_where_events_are_of_an_earlier_version(tmp_path):
    events = write(tmp_path / "e", {"event": "TrainingStarted"}, {"event": "StepLogged"})
    totals = TrainingTotals(wall_s=20.0, sessions=2)

    assert add_sessions(totals, events) == totals
    assert add_sessions(totals, tmp_path / "none") == totals


@pytest.mark.parametrize("value", ["x", None, True, -1, 1e300, [1]])
def test_a_damaged_line_counts_for_nothing(tmp_path, value):
    events = write(tmp_path / "e", started(100, 4), at(value), [1], "x", at(110))
    with events.open("a") as file:
        file.write('{"event": "StepLogged", "time_s": 11')

    assert add_sessions(TrainingTotals(), events) == TrainingTotals(wall_s=14.0, sessions=1)
