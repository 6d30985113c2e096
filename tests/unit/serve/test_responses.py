"""Transcripts in the shapes of OpenAI's API."""

from gaudi_asr_cli.core.records import Segment, Transcript, WordTiming
from gaudi_asr_cli.serve.responses import timed_segments

WORDS = (
    WordTiming("new", 9.2, 9.5, 1.0),
    WordTiming("house.", 9.8, 10.2, 1.0),
    WordTiming("The", 11.3, 11.6, 1.0),
    WordTiming("water", 11.6, 11.9, 1.0),
)


def test_segments_begin_and_end_with_their_words():
    # Of the model's own times: a word before its segment looked like one of the segment before.
    segments = (
        Segment("new house.", 5.5, 11.56, words=WORDS[:2]),
        Segment("The water", 11.56, 17.4, words=WORDS[2:]),
    )

    timed = timed_segments(Transcript("u", "new house. The water", WORDS, segments=segments))

    assert [(one.start_s, one.end_s) for one in timed] == [(9.2, 10.2), (11.3, 11.9)]
    assert [one.text for one in timed] == ["new house.", "The water"]


def test_segments_without_word_times_keep_the_times_of_the_model():
    segments = (Segment("new house.", 5.5, 11.56), Segment("The water", 11.56, 17.4))

    assert timed_segments(Transcript("u", "text", (), segments=segments)) == segments
