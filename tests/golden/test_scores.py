"""Cases counted by hand: [hits, substitutions, deletions, insertions]."""

import json
from pathlib import Path

import pytest

from gaudi_asr_cli.core.evaluation.comparison import plan_comparison
from gaudi_asr_cli.core.evaluation.score import summarize
from gaudi_asr_cli.core.evaluation.utterances import score_utterance
from gaudi_asr_cli.core.records import AudioSpan, ErrorCounts, Utterance
from gaudi_asr_cli.core.text.normalizers import open_normalizer

CASES = json.loads((Path(__file__).parent / "scores.json").read_text(encoding="utf-8"))


def score(case):
    utterance = Utterance(case["why"], AudioSpan(Path("x.wav"), 0.0, 1.0), case["reference"])
    return score_utterance(utterance, case["hypothesis"], open_normalizer(case["normalizer"]))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["why"])
def test_counts_are_those_counted_by_hand(case):
    scored = score(case)

    assert scored.words == ErrorCounts(*case["words"])
    if case["characters"] is not None:
        assert scored.characters == ErrorCounts(*case["characters"])


def test_rates_over_all_hand_counted_cases():
    scored = [score(case) for case in CASES if case["normalizer"].startswith("basic")]

    total = summarize(
        scored, plan_comparison("basic"), utterances_total=len(scored), audio_s_total=11.0
    )

    # By hand: 3+0+0+2+0+2+3+2+2+5+1+1 reference words; 4 substitutions, 4 deletions, 7 insertions.
    assert total.words.reference_length == 21
    assert total.wer == pytest.approx(15 / 21)
