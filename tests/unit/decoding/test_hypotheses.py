from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from gaudi_asr_cli.core.decoding.hypotheses import (
    HypothesisDecoder,
    in_order,
    join_windows,
    share_time,
)
from gaudi_asr_cli.core.records import (
    AudioSpan,
    Generated,
    Hypothesis,
    Segment,
    Utterance,
    WordTiming,
)


def time_words(text, from_s, to_s):
    return list(share_time(Segment(text, from_s, to_s)))


def texts(words):
    return " ".join(word.word for word in words)


def test_words_divide_the_time_of_their_segment_by_letters():
    words = time_words("a bbb cc", 1.0, 4.0)

    assert [(one.word, one.start_s, one.end_s) for one in words] == [
        ("a", 1.0, 1.5),
        ("bbb", 1.5, 3.0),
        ("cc", 3.0, 4.0),
    ]
    assert {one.confidence for one in words} == {None}


@given(st.text(max_size=30), st.floats(0, 1e5), st.floats(0, 30))
def test_words_stay_in_order_and_in_their_segment(text, start_s, length_s):
    segment = Segment(text, round(start_s, 2), round(start_s + length_s, 2))

    words = list(share_time(segment))

    times = [time for one in words for time in (one.start_s, one.end_s)]
    assert times == sorted(times)
    assert all(segment.start_s - 1e-3 <= time <= segment.end_s + 1e-3 for time in times)
    assert [one.word for one in words] == text.split()


def test_transcript_is_on_the_clock_of_its_file():
    row = Hypothesis((1,), "hello you", "en", True, (Segment("hello you", 0.5, 1.5),))
    utterance = Utterance("u", AudioSpan(Path("u.wav"), start_s=10.0))

    transcript = HypothesisDecoder().decode(Generated((row,)), 0, utterance)

    assert (transcript.text, transcript.language, transcript.truncated) == ("hello you", "en", True)
    assert transcript.words[0].start_s == 10.5
    assert transcript.words[-1].end_s == 11.5


def test_windows_are_joined_at_common_words():
    left = time_words("we shall fight on the beaches we", 0, 30)
    right = time_words("on the beaches we shall never surrender", 20, 45)

    joined = join_windows(left, right, 20, 30)

    assert texts(joined) == "we shall fight on the beaches we shall never surrender"


def test_common_words_may_differ_in_case_and_punctuation():
    joined = join_windows(
        time_words("so it is, Then", 0, 30), time_words("then we go", 22, 40), 20, 30
    )

    assert texts(joined).lower() == "so it is, then we go"


def test_windows_without_common_words_are_cut_in_the_middle():
    left = [WordTiming("a", 10, 11, None), WordTiming("b", 26, 27, None)]
    right = [WordTiming("c", 21, 22, None), WordTiming("d", 28, 29, None)]

    assert texts(join_windows(left, right, 20, 30)) == "a d"


def test_empty_window_keeps_all_words_of_the_other():
    words = time_words("one two", 21, 29)

    assert join_windows(words, [], 20, 30) == words
    assert join_windows([], words, 20, 30) == words


@given(st.lists(st.tuples(st.floats(0, 9), st.floats(0, 3)), max_size=9))
def test_words_in_order_do_not_overlap(places):
    words = [WordTiming("a", start_s, start_s + length_s, None) for start_s, length_s in places]

    placed = list(in_order(words))

    times = [time_s for word in placed for time_s in (word.start_s, word.end_s)]
    assert len(placed) == len(words)
    assert times == sorted(times)
