from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from gaudi_asr_cli.core.data.measure import measure
from gaudi_asr_cli.core.errors import DataError
from gaudi_asr_cli.core.events import StageFinished, StageStarted
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


def test_files_that_cannot_be_used_are_told_and_cost_only_themselves(tmp_path):
    good = make(tmp_path / "good.wav", 1.0)
    (tmp_path / "empty.wav").write_bytes(b"")
    (tmp_path / "text.wav").write_text("no sound at all\n" * 20)
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
    says = ["no such file", "empty", "neither libsndfile", "no sound from 7.00 s"]
    assert all(s in b.reason for s, b in zip(says, measured.broken, strict=True))


def test_a_declared_duration_is_trusted_without_opening_the_file(tmp_path):
    path = tmp_path / "a.wav"
    path.write_text("never opened")

    measured = measure([Utterance("a", AudioSpan(path, duration_s=4.0))])

    assert measured.audio_s == 4.0


def test_the_observer_sees_a_stage_begin_with_its_total_and_end(tmp_path):
    path = make(tmp_path / "a.wav", 0.1)
    events = []

    measure([Utterance(str(i), AudioSpan(path)) for i in range(3)], events.append)

    assert events[0] == StageStarted("measure", 3.0)
    assert isinstance(events[-1], StageFinished)


def test_a_broken_source_is_an_error_not_a_short_list(tmp_path):
    def broken():
        yield Utterance("a", AudioSpan(make(tmp_path / "a.wav", 0.1)))
        raise DataError("m.jsonl, line 2: broken JSON", remedy="Mend it.")

    with pytest.raises(DataError, match="line 2"):
        measure(broken())
