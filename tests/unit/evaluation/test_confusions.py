from pathlib import Path

from gaudi_asr_cli.core.evaluation.confusions import Confusion, count_confusions
from gaudi_asr_cli.core.evaluation.utterances import score_utterance
from gaudi_asr_cli.core.records import AudioSpan, Utterance
from gaudi_asr_cli.core.text.normalizers import keep_text


def compare(reference, hypothesis):
    utterance = Utterance("u", AudioSpan(Path("u.wav")), reference)
    return score_utterance(utterance, hypothesis, keep_text)


def test_confusions_are_counted_by_kind_most_frequent_first():
    scored = [
        compare("two plus two", "too plus too"),
        compare("one two", "one"),
        compare("one", "oh one"),
    ]

    assert count_confusions(scored) == (
        Confusion("substitution", "two", "too", 2),
        Confusion("deletion", "two", None, 1),
        Confusion("insertion", None, "oh", 1),
    )


def test_a_limit_keeps_the_most_frequent():
    scored = [compare("a b", "x y"), compare("a", "x")]

    assert count_confusions(scored, limit=1) == (Confusion("substitution", "a", "x", 2),)


def test_no_errors_no_confusions():
    assert count_confusions([compare("a a", "a a"), compare("", "")]) == ()
