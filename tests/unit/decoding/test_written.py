from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from gaudi_asr_cli.core.decoding.hypotheses import HypothesisDecoder, join_windows, share_time
from gaudi_asr_cli.core.records import (
    AudioSpan,
    Generated,
    Hypothesis,
    Segment,
    Utterance,
    WordTiming,
)


def say(text, from_s, to_s):
    return list(share_time(Segment(text, from_s, to_s)))


def texts(words):
    return " ".join(word.word for word in words)


def test_words_share_the_time_of_their_segment_by_letters():
    words = say("a bbb cc", 1.0, 4.0)

    assert [(one.word, one.start_s, one.end_s) for one in words] == [
        ("a", 1.0, 1.5),
        ("bbb", 1.5, 3.0),
        ("cc", 3.0, 4.0),
    ]
    assert {one.confidence for one in words} == {None}


@given(st.text(max_size=30), st.floats(0, 1e5), st.floats(0, 30))
def test_words_stay_in_order_and_in_their_segment(text, start_s, lasted_s):
    segment = Segment(text, round(start_s, 2), round(start_s + lasted_s, 2))

    words = list(share_time(segment))

    times = [time for one in words for time in (one.start_s, one.end_s)]
    assert times == sorted(times)
    assert all(segment.start_s - 1e-3 <= time <= segment.end_s + 1e-3 for time in times)
    assert [one.word for one in words] == text.split()


def test_a_transcript_lies_on_the_clock_of_its_file():
    row = Hypothesis((1,), "hello you", "en", True, (Segment("hello you", 0.5, 1.5),))
    utterance = Utterance("u", AudioSpan(Path("u.wav"), start_s=10.0))

    transcript = HypothesisDecoder().decode(Generated((row,)), 0, utterance)

    assert (transcript.text, transcript.language, transcript.truncated) == ("hello you", "en", True)
    assert transcript.words[0].start_s == 10.5
    assert transcript.words[-1].end_s == 11.5


def test_windows_are_joined_where_both_heard_the_same_words():
    left = say("we shall fight on the beaches we", 0, 30)
    right = say("on the beaches we shall never surrender", 20, 45)

    joined = join_windows(left, right, 20, 30)

    assert texts(joined) == "we shall fight on the beaches we shall never surrender"


def test_capitals_and_commas_do_not_hide_the_same_words():
    joined = join_windows(say("so it is, Then", 0, 30), say("then we go", 22, 40), 20, 30)

    assert texts(joined).lower() == "so it is, then we go"


def test_without_a_common_word_each_window_keeps_its_side_of_the_middle():
    left = [WordTiming("a", 10, 11, None), WordTiming("b", 26, 27, None)]
    right = [WordTiming("c", 21, 22, None), WordTiming("d", 28, 29, None)]

    assert texts(join_windows(left, right, 20, 30)) == "a d"


def test_a_silent_window_takes_nothing_from_its_neighbour():
    words = say("one two", 21, 29)

    assert join_windows(words, [], 20, 30) == words
    assert join_windows([], words, 20, 30) == words
