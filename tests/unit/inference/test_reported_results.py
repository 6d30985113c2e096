"""What is reported of an utterance that was transcribed."""

from pathlib import Path

import numpy as np
import pytest

from gaudi_asr_cli.core.inference.prefetch import Clip
from gaudi_asr_cli.core.inference.results import report_success
from gaudi_asr_cli.core.records import AudioSpan, Transcript, Utterance, WordTiming

LETTERS = (WordTiming("h", 10.9, 11.05, 0.5), WordTiming("i", 11.05, 11.3, 0.5))


def words_of(silent_s: float) -> tuple[WordTiming, ...]:
    """Return the words of two seconds of audio at 10 s of a file, after digital silence."""
    samples = np.full(32_000, 0.1, np.float32)
    samples[: round(silent_s * 16_000)] = 0
    utterance = Utterance("a", AudioSpan(Path("a.wav"), 10.0, 2.0))
    said = (WordTiming("hi", 10.9, 11.3, 0.5, LETTERS), WordTiming("you", 11.5, 11.8, 0.5))
    done = report_success(Clip(utterance, samples), Transcript("a", "hi you", said))
    assert done.transcript is not None
    return done.transcript.words


def test_the_first_word_begins_no_earlier_than_the_audio():
    first, second = words_of(silent_s=1.1)

    assert (first.start_s, first.end_s, first.confidence) == (pytest.approx(11.1), 11.3, 0.5)
    assert [(one.start_s, one.end_s) for one in first.characters] == [
        (pytest.approx(11.1), pytest.approx(11.1)), (pytest.approx(11.1), 11.3),
    ]  # fmt: skip
    assert second == WordTiming("you", 11.5, 11.8, 0.5)


@pytest.mark.parametrize("silent_s", [0.0, 0.5, 1.4, 2.0])
def test_a_word_that_lies_in_audio_or_wholly_in_silence_keeps_its_times(silent_s):
    first, _ = words_of(silent_s)

    assert (first.start_s, first.end_s, first.characters) == (10.9, 11.3, LETTERS)
