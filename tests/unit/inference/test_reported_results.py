"""What is reported of an utterance that was transcribed."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from helpers.fake_models import fake_recognizer

from gaudi_asr_cli.core.data.audio import LoadedAudio
from gaudi_asr_cli.core.inference.prefetch import Clip
from gaudi_asr_cli.core.inference.results import report_success
from gaudi_asr_cli.core.inference.timing import PhaseClock
from gaudi_asr_cli.core.inference.unbatched import UnbatchedTranscriber
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


class TwoWords:
    """A decoder of two words, the first of which begins in the silence before the audio."""

    def condense(self, output, index):
        return None

    def assemble(self, parts, utterance):
        words = (WordTiming("hi", 60.9, 61.3, 0.5), WordTiming("you", 61.5, 61.8, 0.5))
        return Transcript(utterance.id, "hi you", words)


@pytest.mark.parametrize("is_file", [True, False])
def test_the_first_word_of_long_audio_begins_no_earlier_than_the_audio(is_file):
    samples = np.full(70 * 16_000, 0.1, np.float32)
    samples[: 61 * 16_000 + 1_600] = 0
    blocks = [LoadedAudio(part) for part in np.array_split(samples, 3)]
    utterance = Utterance("a", AudioSpan(Path("a.wav")))
    transcriber = UnbatchedTranscriber(
        replace(fake_recognizer(), decoder=TwoWords()),
        PhaseClock(),
        lambda utterance, lost_s: None,
        lambda span: iter(blocks),
    )
    none = np.zeros(0, np.float32)

    done = transcriber.transcribe(
        Clip(utterance, none, is_long=True) if is_file else Clip(utterance, samples)
    ).done

    first, second = done.transcript.words
    assert (first.start_s, first.end_s) == (pytest.approx(61.1), 61.3)
    assert second.start_s == 61.5
