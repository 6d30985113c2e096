import json
from pathlib import Path

import pytest

from gaudi_asr_cli.core.evaluation.comparison import plan_comparison
from gaudi_asr_cli.core.evaluation.score import find_worst, score_json, slice_scores, summarize
from gaudi_asr_cli.core.evaluation.utterances import score_utterance
from gaudi_asr_cli.core.records import AudioSpan, ErrorCounts, Utterance
from gaudi_asr_cli.core.text.normalizers import normalize_basic

CASES = [
    ("a", "One two", "one two", 1.0, "ann"),
    ("b", "three four five", "three for five six", 2.0, "bob"),
    ("c", "six", "", 12.0, None),
]
FIELDS = [
    *("schema", "unit", "wer", "wer_low", "wer_high", "cer"),
    *("hits", "substitutions", "deletions", "insertions", "reference_words"),
    *("sentence_error_rate", "utterances", "utterances_total", "audio_s", "audio_s_total"),
    *("normalizer", "raw", "rtfx", "phases_s", "slices", "notes"),
]


def make_scored():
    return [
        score_utterance(
            Utterance(id_, AudioSpan(Path(f"{id_}.wav"), 0.0, seconds), text, speaker),
            hypothesis,
            normalize_basic,
        )
        for id_, text, hypothesis, seconds, speaker in CASES
    ]


def make_score(**more):
    return summarize(
        make_scored(), plan_comparison("basic/1"), utterances_total=5, audio_s_total=40.0, **more
    )


def test_counts_are_added_before_they_are_divided():
    score = make_score()

    assert score.words == ErrorCounts(hits=4, substitutions=1, deletions=1, insertions=1)
    assert score.wer == pytest.approx(3 / 6)
    assert score.raw_wer == pytest.approx(4 / 6)
    assert score.sentence_error_rate == pytest.approx(2 / 3)
    assert score.cer == pytest.approx((1 + 4 + 3) / (7 + 15 + 3))


def test_scored_and_total_amounts_are_both_given():
    score = make_score()

    assert (score.utterances, score.utterances_total) == (3, 5)
    assert (score.audio_s, score.audio_s_total) == (15.0, 40.0)


def test_slices_leave_out_unknown_speakers_and_empty_durations():
    slices = slice_scores(make_scored())

    assert list(slices["duration"]) == ["0-2 s", "2-5 s", "10-20 s"]
    assert list(slices["speaker"]) == ["ann", "bob"]
    assert slices["speaker"]["bob"]["wer"] == pytest.approx(2 / 3)
    assert sum(part["utterances"] for part in slices["duration"].values()) == 3


def test_very_long_audio_has_its_slice():
    long = score_utterance(Utterance("x", AudioSpan(Path("x"), 0.0, 99.0), ""), "", normalize_basic)

    assert list(slice_scores([long])["duration"]) == ["30+ s"]


def test_without_speakers_there_is_no_speaker_slice():
    assert list(slice_scores(make_scored()[2:])) == ["duration"]


def test_the_worst_come_first_and_perfect_ones_are_left_out():
    assert [one.id for one in find_worst(make_scored())] == ["b", "c"]
    assert [one.id for one in find_worst(make_scored(), limit=1)] == ["b"]


def test_the_json_has_exactly_the_fields_of_the_contract():
    result = score_json(make_score(rtfx=2.5, phases_s={"compute": 1.0}))

    assert list(result) == FIELDS
    assert result["schema"] == "eval-ctc/1"
    assert result["reference_words"] == 6
    assert result["raw"] == {"wer": pytest.approx(4 / 6), "cer": pytest.approx(9 / 25)}
    assert json.loads(json.dumps(result, allow_nan=False)) == result


def test_the_score_of_no_utterances_is_empty():
    score = summarize([], plan_comparison("none"), utterances_total=2, audio_s_total=3.0)

    assert (score.wer, score.wer_low, score.wer_high, score.utterances) == (0.0, 0.0, 0.0, 0)
