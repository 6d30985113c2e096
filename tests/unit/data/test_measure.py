from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from gaudi_asr_cli.core.data.measure import measure
from gaudi_asr_cli.core.errors import DataError
from gaudi_asr_cli.core.events import Noticed, StageFinished, StageStarted
from gaudi_asr_cli.core.records import AudioSpan, Utterance


def make(path: Path, seconds: float) -> Path:
    soundfile.write(path, np.zeros(round(seconds * 16_000)), 16_000)
    return path


def test_durations_come_from_headers_in_the_order_of_the_source(tmp_path):
    lengths_s = [0.5, 0.1, 2.0, 0.25]
    paths = [make(tmp_path / f"{i}.wav", s) for i, s in enumerate(lengths_s)]

    measured = measure(Utterance(p.stem, AudioSpan(p)) for p in paths)

    assert [u.id for u in measured.utterances] == ["0", "1", "2", "3"]
    assert [u.audio.duration_s for u in measured.utterances] == pytest.approx(lengths_s)
    assert measured.audio_s == pytest.approx(2.85)
    assert measured.broken == ()


def test_files_that_cannot_be_used_are_reported_and_the_others_are_read(tmp_path):
    good = make(tmp_path / "good.wav", 1.0)
    (tmp_path / "empty.wav").write_bytes(b"")
    (tmp_path / "text.wav").write_text("no audio at all\n" * 20)
    spans = [
        AudioSpan(tmp_path / "gone.wav", duration_s=3.0),
        AudioSpan(tmp_path / "empty.wav", duration_s=3.0),
        AudioSpan(tmp_path / "text.wav"),
        AudioSpan(good),
        AudioSpan(good, start_s=7.0),
    ]

    measured = measure(Utterance(str(i), span) for i, span in enumerate(spans))

    assert [u.id for u in measured.utterances] == ["3"]
    assert [b.utterance.id for b in measured.broken] == ["0", "1", "2", "4"]
    expected = ["no such file", "empty", "neither libsndfile", "no audio from 7.00 s on"]
    assert all(s in b.reason for s, b in zip(expected, measured.broken, strict=True))


def test_a_header_is_read_once_for_all_segments_of_a_file(tmp_path, monkeypatch):
    path = make(tmp_path / "a.wav", 2.0)
    opened = []
    monkeypatch.setattr(
        "gaudi_asr_cli.core.data.measure.read_whole",
        lambda span: opened.append(span) or (2.0, ()),
    )

    measured = measure(Utterance(str(i), AudioSpan(path, i / 100, 0.5)) for i in range(60))

    assert len(measured.utterances) == 60
    assert len(opened) == 1


def test_a_declared_duration_is_kept_where_the_file_holds_it(tmp_path):
    path = make(tmp_path / "a.wav", 2.0)
    declared_s = [1.234, 2.0, 2.001]

    measured = measure(Utterance(f"{s}", AudioSpan(path, duration_s=s)) for s in declared_s)

    assert [u.audio.duration_s for u in measured.utterances] == declared_s
    assert measured.notes == ()


@pytest.mark.parametrize(
    ("start_s", "declared_s", "read_s", "expected"),
    [
        (0.0, 2000.0, 2.0, "the list says 2000 s, the file holds 2.000 s: milliseconds?"),
        (0.0, 32_000.0, 2.0, "the list says 32000 s, the file holds 2.000 s: samples?"),
        (0.0, 2.5, 2.0, "the list says 2.500 s, the file holds 2.000 s: read to its end"),
        (1.0, 1.5, 1.0, "1.500 s from 1.000 s on, the file holds 2.000 s: read to its end"),
        (0.0, 0.03, 0.03, "the file holds 2.000 s: only its first 0.030 s are read"),
    ],
)
def test_a_row_that_contradicts_its_file_is_read_by_the_file_with_a_note(
    tmp_path, start_s, declared_s, read_s, expected
):
    span = AudioSpan(make(tmp_path / "a.wav", 2.0), start_s, declared_s)
    events = []

    measured = measure([Utterance("a", span, origin="m.jsonl, line 7")], events.append)

    assert measured.audio_s == pytest.approx(read_s)
    (note,) = measured.notes
    assert note.startswith("m.jsonl, line 7: ")
    assert expected in note
    assert [e.message for e in events if isinstance(e, Noticed)] == [note]


def test_a_start_beyond_the_end_is_an_error_with_both_durations_and_a_guess(tmp_path):
    path = make(tmp_path / "a.wav", 4.0)
    spans = [AudioSpan(path, 9.0, 1.0), AudioSpan(path, 2464.0, 1000.0), AudioSpan(path, 4.0)]

    measured = measure(Utterance(str(i), s, origin="t.csv, line 2") for i, s in enumerate(spans))

    plain, unit, end = (b.reason for b in measured.broken)
    assert plain.startswith("t.csv, line 2: it starts at 9 s, the file holds 4.000 s")
    assert not plain.endswith("?")
    assert unit.endswith("milliseconds?")
    assert "it starts at 4 s" in end


def test_the_observer_sees_a_stage_begin_with_its_total_and_end(tmp_path):
    path = make(tmp_path / "a.wav", 0.1)
    events = []

    measure([Utterance(str(i), AudioSpan(path)) for i in range(3)], events.append)

    assert events[0] == StageStarted("measure", 3.0)
    assert isinstance(events[-1], StageFinished)


def test_a_broken_source_is_an_error_not_a_short_list(tmp_path):
    def broken():
        yield Utterance("a", AudioSpan(make(tmp_path / "a.wav", 0.1)))
        raise DataError("m.jsonl, line 2: broken JSON", remedy="Correct it.")

    with pytest.raises(DataError, match="line 2"):
        measure(broken())
