import html
import re
from datetime import timedelta
from itertools import pairwise

import pytest
import srt
import webvtt
from hypothesis import given
from hypothesis import strategies as st

from gaudi_asr_cli.core.events import UtteranceDone
from gaudi_asr_cli.core.formats import FORMATS
from gaudi_asr_cli.core.formats.cues import (
    LINE_CHARACTERS,
    LINES,
    LONGEST_MS,
    PAUSE_MS,
    group_cues,
)
from gaudi_asr_cli.core.formats.srt import format_time
from gaudi_asr_cli.core.records import Transcript, WordTiming
from gaudi_asr_cli.core.text.graphemes import columns, cut_columns, split_graphemes

TEXT = st.text(
    st.characters(codec="utf-8", exclude_categories=("C", "Zs", "Zl", "Zp"))
    | st.sampled_from("&<>-'5"),
    min_size=1,
    max_size=60,
)
SECONDS = st.floats(-1, 20_000) | st.sampled_from([0.0, 0.001, 5.0, 20_000.0])
WORDS = st.lists(st.builds(WordTiming, TEXT, SECONDS, SECONDS, st.floats(-0.1, 1.1)), max_size=40)


def hear(*words, duration_s=20.0, text=None):
    spelt = " ".join(word.word for word in words) if text is None else text
    return UtteranceDone("a", "a.wav", duration_s, Transcript("a", spelt, words))


def fits(line):
    """A character that is wider than a line may stand on one alone."""
    return columns(line) <= LINE_CHARACTERS or len(split_graphemes(line)) == 1


def speak(text, *, start_s=0.0, word_s=0.3, pause_s=0.1):
    """The words of a text one after another."""
    step_s = word_s + pause_s
    return [
        WordTiming(word, start_s + n * step_s, start_s + n * step_s + word_s, 0.9)
        for n, word in enumerate(text.split())
    ]


def write(name, done):
    return "".join(FORMATS[name].write([done]))


@given(WORDS, st.floats(1, 20_000))
def test_cues_are_in_order_apart_inside_the_file_and_readable(words, duration_s):
    cues = group_cues(hear(*words, duration_s=duration_s))

    assert all(0 <= cue.start_ms < cue.end_ms <= duration_s * 1000 for cue in cues)
    assert all(before.end_ms <= after.start_ms for before, after in pairwise(cues))
    assert all(1 <= len(cue.lines) <= LINES for cue in cues)
    assert all(cue.lines and all(cue.lines) for cue in cues)
    assert all(fits(line) for cue in cues for line in cue.lines)
    assert all(cue.end_ms - cue.start_ms <= LONGEST_MS for cue in cues)


@given(WORDS)
def test_cues_say_every_word_in_order(words):
    cues = group_cues(hear(*words))

    said = "".join("".join(cue.lines) for cue in cues)
    assert said.replace(" ", "") == "".join(word.word for word in words)


@given(WORDS)
def test_srt_is_parsed_strictly_and_composed_the_same(words):
    document = write("srt", hear(*words, duration_s=20_000))

    subtitles = list(srt.parse(document))

    assert srt.compose(subtitles) == document
    assert [subtitle.index for subtitle in subtitles] == list(range(1, len(subtitles) + 1))
    cues = group_cues(hear(*words, duration_s=20_000))
    assert [subtitle.content.split("\n") for subtitle in subtitles] == [
        list(cue.lines) for cue in cues
    ]
    assert [subtitle.start for subtitle in subtitles] == [
        timedelta(milliseconds=cue.start_ms) for cue in cues
    ]
    assert [subtitle.end for subtitle in subtitles] == [
        timedelta(milliseconds=cue.end_ms) for cue in cues
    ]


@given(WORDS)
def test_vtt_is_parsed_strictly_and_composed_the_same(words):
    document = write("vtt", hear(*words, duration_s=20_000))

    parsed = webvtt.from_string(document, strict=True)

    assert parsed.content == document
    cues = group_cues(hear(*words, duration_s=20_000))
    assert [html.unescape(line) for caption in parsed for line in caption.lines] == [
        html.unescape(html.escape(line)) for cue in cues for line in cue.lines
    ]
    assert [caption.start for caption in parsed] == [
        format_time(cue.start_ms, mark=".") for cue in cues
    ]


@given(WORDS)
def test_tsv_has_a_line_for_each_cue_in_milliseconds(words):
    head, *lines = write("tsv", hear(*words)).splitlines()

    assert head == "start\tend\ttext"
    rows = [line.split("\t") for line in lines]
    cues = group_cues(hear(*words))
    assert [(int(start), int(end), text) for start, end, text in rows] == [
        (cue.start_ms, cue.end_ms, " ".join(cue.lines)) for cue in cues
    ]


def test_a_pause_ends_a_cue():
    gap_s = PAUSE_MS / 1000 + 0.01
    words = [*speak("one two"), *speak("three", start_s=0.7 + gap_s)]

    assert [cue.lines for cue in group_cues(hear(*words))] == [("one two",), ("three",)]


def test_long_text_is_shown_in_two_lines_of_nearly_the_same_length():
    words = speak("a dozen words that fit on two lines of a screen quite well")

    (cue,) = group_cues(hear(*words))

    assert cue.lines == ("a dozen words that fit on two", "lines of a screen quite well")


def test_a_cue_lasts_seven_seconds_at_most():
    cues = group_cues(hear(*speak("one two three four five six", word_s=2.0)))

    assert [cue.lines for cue in cues] == [("one two three",), ("four five six",)]


def test_a_short_word_stays_to_be_read_where_nothing_follows():
    (cue,) = group_cues(hear(*speak("one", start_s=2.0)))
    (last,) = group_cues(hear(*speak("one", start_s=19.5)))

    assert (cue.start_ms, cue.end_ms) == (2_000, 3_000)
    assert (last.start_ms, last.end_ms) == (19_500, 20_000)


def test_text_without_spaces_is_cut_into_lines_and_shares_its_time():
    word = WordTiming("\u6f22" * 100, 0.0, 12.0, 0.9)

    cues = group_cues(hear(word))

    line = "\u6f22" * 20  # 40 columns: a fifth of the 200, so that no line is over 42
    assert [cue.lines for cue in cues] == [(line, line), (line, line), (line,)]
    assert [(cue.start_ms, cue.end_ms) for cue in cues] == [(0, 4800), (4800, 9600), (9600, 12000)]


def test_text_without_word_times_is_one_cue_as_long_as_the_file():
    (cue,) = group_cues(hear(text="one two", duration_s=3.25))

    assert (cue.start_ms, cue.end_ms, cue.lines) == (0, 3_250, ("one two",))


def test_hours_are_counted_beyond_a_day():
    words = speak("late", start_s=27 * 3600 + 61.001)
    document = write("srt", hear(*words, duration_s=28 * 3600))

    assert "27:01:01,001 --> 27:01:02,001" in document
    assert "27:01:01.001" in write("vtt", hear(*words, duration_s=28 * 3600))


def test_marks_of_vtt_are_escaped_and_those_of_srt_stay():
    words = speak("<i> &amp; -->")

    assert "\n&lt;i&gt; &amp;amp; --&gt;\n" in write("vtt", hear(*words))
    assert "\n<i> &amp; -->\n" in write("srt", hear(*words))


@pytest.mark.parametrize(
    ("name", "empty"),
    [("srt", ""), ("vtt", "WEBVTT\n"), ("tsv", "start\tend\ttext\n"), ("ctm", "")],
)
def test_silence_is_a_document_without_words_and_a_failure_none(name, empty):
    failed = UtteranceDone("b", "b.wav", 0.0, None, error="b.wav is not audio.")

    assert write(name, hear()) == empty
    assert list(FORMATS[name].write([failed])) == []


def test_each_utterance_is_a_document_of_its_own():
    first, second = hear(*speak("one")), hear(*speak("two"))

    documents = list(FORMATS["srt"].write([first, second]))

    assert documents == [write("srt", first), write("srt", second)]
    assert all(re.match(r"1\n00:00:00,000 --> 00:00:01,000\n", text) for text in documents)


CLUSTERS = {
    "Hindi": "नमस्तेक्षत्रियकृष्ण",
    "Thai": "สวัสดีครับที่นี่กำลัง",
    "emoji": "👨‍👩‍👧‍👦🏳️‍🌈👍🏽🇩🇪",
    "decomposed Vietnamese": "tie\u0302\u0301ngvie\u0323\u0302t",
    "Japanese": "日本語の字幕です",
}


@pytest.mark.parametrize("text", CLUSTERS.values(), ids=CLUSTERS)
def test_no_cut_goes_through_what_a_reader_sees_as_one_character(text):
    word = WordTiming(text * 12, 0.0, 18.0, 0.9)

    lines = [line for cue in group_cues(hear(word)) for line in cue.lines]

    assert "".join(lines) == text * 12
    assert [one for line in lines for one in split_graphemes(line)] == split_graphemes(text * 12)
    assert all(columns(line) <= LINE_CHARACTERS for line in lines)


def test_wide_characters_take_two_columns():
    words = speak("漢字" * 5 + " " + "仮名" * 6)

    (cue,) = group_cues(hear(*words))

    assert cue.lines == ("漢字" * 5, "仮名" * 6)  # 20 + 1 + 24 columns


@given(st.text(max_size=80), st.integers(1, 50))
def test_pieces_are_the_text_cut_at_borders_of_characters(text, most):
    pieces = cut_columns(text, most)

    assert "".join(pieces) == text
    assert [one for piece in pieces for one in split_graphemes(piece)] == split_graphemes(text)
