import json
import wave
from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
from helpers.edit_distance import count_edits

from gaudi_asr_cli.core.decoding.greedy import GreedyDecoder
from gaudi_asr_cli.core.errors import DataError, UsageError
from gaudi_asr_cli.core.events import Noticed, StageFinished, UtteranceDone
from gaudi_asr_cli.core.inference.ctc import CtcRecognizer
from gaudi_asr_cli.core.models.geometry import geometry_from_config
from gaudi_asr_cli.core.records import Emissions
from gaudi_asr_cli.core.text.rules import TextRules
from gaudi_asr_cli.core.text.vocabulary import build_vocabulary, encode
from gaudi_asr_cli.core.workflows import evaluation as workflow
from gaudi_asr_cli.core.workflows.evaluation import EvalRequest

VOCABULARY = build_vocabulary(dict.fromkeys("ONETWHR ", 1))
DEVICE = SimpleNamespace(name="fake", peak_memory_mb=lambda: 123.0)


@dataclass(frozen=True)
class FakeModel:
    """A recogniser with a fixed hypothesis for each utterance id, whatever the audio."""

    hypotheses: dict
    vocabulary = VOCABULARY
    name = "fake-model"
    dtype = "fp32"
    geometry = geometry_from_config({"conv_kernel": [400], "conv_stride": [320]})

    def emissions(self, batch):
        columns = encode(VOCABULARY, self.hypotheses[batch.utterances[0].audio.path.stem])
        frames = [column for label in columns for column in (label, VOCABULARY.blank)]
        log_probs = np.full((1, len(frames), len(VOCABULARY.tokens)), -9, np.float32)
        log_probs[0, np.arange(len(frames)), frames] = -0.01
        return Emissions(log_probs, np.array([len(frames)]), 0.02)


@pytest.fixture
def evaluate(tmp_path, monkeypatch):
    """Evaluate {stem: (reference, hypothesis)}; None stands for a file that is not audio."""

    def run(cases, observe=lambda event: None, **request):
        lines = []
        for stem, (reference, hypothesis) in cases.items():
            path = tmp_path / f"{stem}.wav"
            if hypothesis is None:
                path.write_bytes(b"RIFF, but nothing else")
            else:
                with wave.open(str(path), "wb") as file:
                    file.setnchannels(1)
                    file.setsampwidth(2)
                    file.setframerate(16_000)
                    file.writeframes(bytes(16_000))
            lines.append(json.dumps({"audio_filepath": path.name, "text": reference}))
        (tmp_path / "data.jsonl").write_text("\n".join(lines) + "\n")
        model = FakeModel({stem: hypothesis for stem, (_, hypothesis) in cases.items()})
        recognizer = CtcRecognizer(model, GreedyDecoder(VOCABULARY))
        monkeypatch.setattr(workflow, "open_recognizer", lambda name, device, options: recognizer)
        monkeypatch.setattr(workflow, "has_languages", lambda name: False)
        monkeypatch.setattr(workflow, "report_notes", lambda *_, **__: None)
        wanted = {"run": tmp_path / "run", **request}
        return workflow.evaluate(
            EvalRequest("fake", (str(tmp_path / "data.jsonl"),), **wanted), DEVICE, observe
        )

    return run


def read_predictions(report):
    lines = (report.run / "predictions.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def test_case_is_no_error_after_normalising_and_one_in_the_raw_rate(evaluate):
    report = evaluate({"a": ("One, two.", "ONE TWO"), "b": ("three", "THREE")})

    assert (report.score.wer, report.score.raw_wer) == (0.0, 1.0)
    assert report.score.normalizer == "basic/2"


def test_a_turkic_language_decides_the_case_and_is_named(evaluate):
    report = evaluate({"a": ("IŞIK İL", "ONE")}, language="tr")

    assert report.score.normalizer == "basic/2 language='tr'"
    assert read_predictions(report)[0]["reference"] == "ışık il"
    assert report.to_json()["notes"] == []


def test_without_the_language_a_note_recommends_it(evaluate):
    report = evaluate({"a": ("IŞIK İL", "ONE")})

    assert read_predictions(report)[0]["reference"] == "işik i\u0307l"
    (note,) = report.to_json()["notes"]
    assert "--language tr" in note


def test_another_language_changes_neither_text_nor_label(evaluate):
    report = evaluate({"a": ("One", "ONE")}, language="deu")

    assert (report.score.normalizer, report.score.wer) == ("basic/2", 0.0)


def test_empty_references_are_named_in_notes_and_report(evaluate):
    report = evaluate({"a": ("...", "ONE"), "b": ("one", "ONE")})

    account = json.loads((report.run / "report.json").read_text())
    assert len(account["empty_references"]) == 1
    assert "1 reference is empty after normalising" in account["notes"][0]
    assert "1 in total" in account["notes"][0]


def test_utterances_that_are_not_scored_are_listed(evaluate):
    report = evaluate({"a": ("one", "TWO"), "b": (None, "ONE"), "c": ("one", None)})

    assert (report.score.utterances, report.score.utterances_total) == (1, 3)
    assert (report.score.audio_s, report.score.audio_s_total) == (0.5, 1.0)
    assert ["b.wav" in report.without_text[0].path, len(report.without_text)] == [True, 1]
    assert ["c.wav" in report.broken[0].path, len(report.broken)] == [True, 1]


def test_references_that_overlap_in_one_recording_are_noted(evaluate, tmp_path):
    evaluate({"a": ("one", "ONE")})
    rows = (
        '{"audio_filepath": "a.wav", "text": "one"}\n{"audio_filepath": "a.wav", "text": "two"}\n'
    )
    (tmp_path / "twice.jsonl").write_text(rows)

    report = workflow.evaluate(
        EvalRequest("fake", (str(tmp_path / "twice.jsonl"),), run=tmp_path / "again"), DEVICE
    )

    assert "1 of 2 utterances overlap another of their recording" in report.score.notes[0]


def test_the_word_error_rate_can_be_computed_from_the_predictions_alone(evaluate):
    report = evaluate({"a": ("one two", "ONE"), "b": ("three", "THREE TWO")})

    lines = read_predictions(report)
    errors = [one["substitutions"] + one["deletions"] + one["insertions"] for one in lines]
    distances = [count_edits(one["reference"].split(), one["hypothesis"].split()) for one in lines]
    assert errors == distances
    words = sum(len(one["reference"].split()) for one in lines)
    assert report.score.wer == sum(distances) / words == 2 / 3
    assert [one["hypothesis"] for one in lines] == ["one", "three two"]


def test_words_for_an_empty_reference_count_as_insertions(evaluate):
    report = evaluate({"a": ("", "ONE"), "b": ("one", "ONE")})

    assert report.score.words.insertions == 1
    assert report.score.utterances == 2


def test_the_report_is_the_score_and_what_the_tables_show(evaluate):
    report = evaluate({"a": ("one two", "ONE THREE")})

    account = json.loads((report.run / "report.json").read_text())
    assert account["wer"] == report.to_json()["wer"] == 0.5
    assert account["confusions"] == [
        {"kind": "substitution", "reference": "two", "hypothesis": "three", "count": 1}
    ]
    assert account["worst"][0]["hypothesis"] == "one three"
    assert account["peak_memory_mb"] == 123.0
    assert (account["model"], account["device"], account["dtype"]) == (
        "fake",
        "fake",
        "fp32",
    )


def test_progress_and_every_utterance_are_reported(evaluate):
    events = []

    evaluate({"a": ("one", "ONE"), "b": ("two", "TWO")}, events.append)

    assert sum(isinstance(event, UtteranceDone) for event in events) == 2
    assert isinstance(events[-1], StageFinished)


def test_a_limit_scores_the_first_utterances_and_keeps_the_totals(evaluate):
    report = evaluate({"a": ("one", "ONE"), "b": ("two", "ONE")}, limit=1)

    assert (report.score.utterances, report.score.utterances_total) == (1, 2)
    assert report.score.wer == 0.0


def test_rules_are_applied_to_both_sides_and_named_in_the_label(evaluate):
    report = evaluate({"a": ("one!", "ONE")}, normalizer="none", rules=TextRules("!", case="upper"))

    assert report.score.wer == 0.0
    assert report.score.normalizer == "none/1 strip_chars='!' case='upper'"


def test_without_normaliser_a_difference_of_case_is_reported(evaluate):
    events = []

    report = evaluate({"a": ("one two", "ONE TWO")}, events.append, normalizer="none")

    assert report.score.wer == 1.0
    assert any(isinstance(event, Noticed) and "upper-case" in event.message for event in events)


def test_a_run_folder_that_exists_is_rejected(evaluate, tmp_path):
    (tmp_path / "run").mkdir()

    with pytest.raises(UsageError):
        evaluate({"a": ("one", "ONE")})

    assert list((tmp_path / "run").iterdir()) == []


def test_a_run_that_fails_before_any_prediction_leaves_no_folder(evaluate, tmp_path):
    with pytest.raises(DataError, match="none of its 1 utterances has a text"):
        evaluate({"a": (None, "ONE")})

    assert not (tmp_path / "run").exists()


def test_an_unknown_normaliser_is_rejected_before_anything_is_read(evaluate, tmp_path):
    with pytest.raises(UsageError):
        evaluate({"a": ("one", "ONE")}, normalizer="basics")

    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(("language", "adapter"), [("tr", None), ("deu", "deu"), (None, None)])
def test_a_turkic_language_selects_no_adapter_of_a_model_without_adapters(
    language, adapter, monkeypatch, tmp_path
):
    class OpenedError(Exception): ...

    def open_recognizer(name, device, options):
        raise OpenedError(options.language)

    clip = tmp_path / "a.wav"
    soundfile.write(clip, np.zeros(16_000), 16_000)
    clip.with_suffix(".txt").write_text("one")
    monkeypatch.setattr(workflow, "open_recognizer", open_recognizer)

    with pytest.raises(OpenedError) as caught:
        workflow.evaluate(
            EvalRequest("demo", (str(tmp_path),), language=language, run=tmp_path / "run"), DEVICE
        )

    assert caught.value.args == (adapter,)
