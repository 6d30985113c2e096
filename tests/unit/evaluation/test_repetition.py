from pathlib import Path

import pytest

from gaudi_asr_cli.core.evaluation.repetition import (
    RepetitionMonitor,
    compression_ratio,
    count_repeats,
)
from gaudi_asr_cli.core.events import UtteranceDone
from gaudi_asr_cli.core.records import AudioSpan, Transcript, Utterance

SPEECH = "the quick brown fox jumps over the lazy dog and nobody minds that it does so"


@pytest.mark.parametrize(
    ("text", "times"),
    [
        ("", 0),
        ("yes", 1),
        ("yes no", 1),
        ("no no", 2),
        ("a thank you thank you thank you b", 3),
        ("one two three one two three one two", 2),
        ("x " * 9, 9),
    ],
)
def test_repeats_of_a_phrase_are_counted_in_a_row(text, times):
    assert count_repeats(text.split()) == times


def test_repetitive_texts_compress_better_than_speech():
    assert compression_ratio(SPEECH) < 1.5
    assert compression_ratio("thank you for watching. " * 20) > 2.4
    assert compression_ratio("") == 0


def suspects(*cases):
    """Return the report on cases of (reference, hypothesis, truncated)."""
    monitor = RepetitionMonitor()
    utterances = []
    for index, (reference, text, truncated) in enumerate(cases):
        transcript = Transcript(str(index), text, truncated=truncated)
        monitor(UtteranceDone(str(index), f"{index}.wav", 1.0, transcript))
        utterances.append(Utterance(str(index), AudioSpan(Path(f"{index}.wav")), reference))
    return monitor.report(utterances)


def test_only_truncated_and_repetitive_texts_are_listed():
    report = suspects(
        (SPEECH, SPEECH, False),
        (SPEECH, "thank you " * 30, False),
        (SPEECH, SPEECH[:20], True),
        ("one one one one", "one one one one", False),
        ("one one one", "one one one one", False),
    )

    assert [one.id for one in report.suspects] == ["1", "2", "4"]
    assert (report.truncated, report.looping) == (1, 2)
    assert report.to_json()["suspects"][0]["repeats"] == 30


def test_a_failed_utterance_has_no_text():
    monitor = RepetitionMonitor()

    monitor(UtteranceDone("a", "a.wav", 1.0, None, "broken"))

    assert monitor.report([]).suspects == ()
