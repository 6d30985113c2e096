"""Both rules, counted by hand: [hits, substitutions, deletions, insertions].

Words are separated by white space after the rule was applied by hand: `basic/1` replaces each
mark (category M) by a space, `basic/2` keeps it.
"""

import json
from pathlib import Path

import pytest

from gaudi_asr_cli.core.evaluation.utterances import score_utterance
from gaudi_asr_cli.core.records import AudioSpan, ErrorCounts, Utterance
from gaudi_asr_cli.core.text.normalizers import open_normalizer

CASES = json.loads((Path(__file__).parent / "scripts.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("rule", ["basic/1", "basic/2"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case['language']}: {case['why']}")
def test_counts_of_both_rules_are_those_counted_by_hand(case, rule):
    utterance = Utterance("x", AudioSpan(Path("x.wav"), 0.0, 1.0), case["reference"])

    scored = score_utterance(
        utterance, case["hypothesis"], open_normalizer(rule, case.get("spoken"))
    )

    assert scored.words == ErrorCounts(*case[rule]["words"])
    if "characters" in case[rule]:
        assert scored.characters == ErrorCounts(*case[rule]["characters"])
