"""Subtitles in a style of the user's, and transcripts of each channel merged by time."""

import json

import pytest
import srt
import webvtt

from gaudi_asr_cli.core.errors import UsageError
from gaudi_asr_cli.core.events import UtteranceDone
from gaudi_asr_cli.core.formats import FORMATS
from gaudi_asr_cli.core.formats.cues import CueStyle, group_cues
from gaudi_asr_cli.core.formats.turns import merge_channels
from gaudi_asr_cli.core.records import Segment, Transcript, WordTiming


def spoken(text, start_s=0.0, step_s=0.5):
    words = [
        WordTiming(word, start_s + n * step_s, start_s + n * step_s + 0.4, 0.9)
        for n, word in enumerate(text.split())
    ]
    return Transcript("a", text, tuple(words))


def write(name, transcript, style=None):
    done = UtteranceDone("a", "talk.wav", 20.0, transcript)
    one = FORMATS[name] if style is None else FORMATS[name].in_style(style)
    return "".join(one.write([done]))


TEXT = "alpha bravo charlie delta echo foxtrot golf hotel india juliett"


@pytest.mark.parametrize(("width", "lines"), [(10, 1), (20, 1), (20, 3), (60, 2), (3, 1)])
def test_cues_keep_to_the_width_and_the_lines_that_are_asked_for(width, lines):
    cues = group_cues(UtteranceDone("a", "a", 20.0, spoken(TEXT)), CueStyle(width, lines))

    assert max(len(line) for cue in cues for line in cue.lines) <= width
    assert max(len(cue.lines) for cue in cues) <= lines
    assert "".join("".join(cue.lines) for cue in cues).replace(" ", "") == TEXT.replace(" ", "")


def test_a_highlighted_word_is_underlined_while_it_is_spoken():
    text = write("srt", spoken("one <two> three"), CueStyle(highlights=True))

    cues = [(cue.start.total_seconds(), cue.end.total_seconds(), cue.content)
            for cue in srt.parse(text)]  # fmt: skip
    assert cues == [
        (0.0, 0.4, "<u>one</u> <two> three"),
        (0.4, 0.5, "one <two> three"),
        (0.5, 0.9, "one <u><two></u> three"),
        (0.9, 1.0, "one <two> three"),
        (1.0, 1.4, "one <two> <u>three</u>"),
    ]


def test_highlights_in_webvtt_are_markup_and_text_is_not():
    text = write("vtt", spoken("a <b> c"), CueStyle(highlights=True))

    cues = [cue.raw_text for cue in webvtt.from_string(text)]
    assert cues[2] == "a <u>&lt;b&gt;</u> c"
    assert webvtt.from_string(text).captions[2].text == "a &lt;b&gt; c"


def test_highlights_follow_words_over_lines():
    style = CueStyle(line_characters=8, lines=2, highlights=True)

    cues = [cue.content for cue in srt.parse(write("srt", spoken("alpha bravo"), style))]

    assert cues[0] == "<u>alpha</u>\nbravo"
    assert cues[2:] == ["alpha\n<u>bravo</u>", "alpha\nbravo"]


def test_highlights_need_the_times_of_words():
    with pytest.raises(UsageError, match=r"--highlight-words: .* talk\.wav"):
        write("srt", Transcript("a", "text without times"), CueStyle(highlights=True))

    assert write("srt", Transcript("a", ""), CueStyle(highlights=True)) == ""


CALL = merge_channels(
    "a",
    [spoken("hello who is there", 0.0), spoken("it is me", 3.0), Transcript("a", "")],
)
OVERLAP = merge_channels("a", [spoken("one two three"), spoken("uno dos", 0.2)])


def test_channels_are_merged_by_time():
    late = spoken("fine thanks", 5.0)
    first = Transcript("a", "hello fine thanks", (*spoken("hello").words, *late.words))

    merged = merge_channels("a", [first, spoken("how are you", 2.0)])

    assert merged.text == "hello how are you fine thanks"
    assert [word.word for word in merged.words] == merged.text.split()
    assert write("txt", merged).splitlines() == [
        "[channel 0] hello", "[channel 1] how are you", "[channel 0] fine thanks"
    ]  # fmt: skip


def test_json_names_the_channel_of_each_word_and_text():
    line = json.loads(write("jsonl", CALL))

    assert [one["text"] for one in line["channels"]] == ["hello who is there", "it is me", ""]
    assert [word["channel"] for word in line["words"]] == [0, 0, 0, 0, 1, 1, 1]
    assert [(one["channel"], one["start_s"]) for one in line["turns"]] == [(0, 0.0), (1, 3.0)]


def test_subtitles_name_the_channel_and_may_overlap_those_of_another():
    cues = [*srt.parse(write("srt", OVERLAP))]

    assert [cue.content for cue in cues] == ["[channel 0] one two three", "[channel 1] uno dos"]
    assert cues[1].start < cues[0].end
    assert [cue.voice for cue in webvtt.from_string(write("vtt", OVERLAP))] == [
        "Channel 0", "Channel 1"
    ]  # fmt: skip
    assert "[channel 1] uno dos" in write("tsv", OVERLAP)


def test_times_of_one_channel_do_not_cut_those_of_another():
    lines = [line.split() for line in write("ctm", OVERLAP).splitlines()]

    assert [line[1] for line in lines] == ["1", "1", "1", "2", "2"]
    assert {line[3] for line in lines} == {"0.400"}


def test_a_textgrid_has_a_tier_for_each_channel():
    text = write("TextGrid", CALL)

    assert "size = 3" in text
    assert 'name = "words of channel 1"' in text


def test_texts_without_word_times_are_turns_by_segments_or_whole():
    timed = Transcript("a", "hi you", segments=(Segment("hi", 0, 1), Segment("you", 4, 5)))

    merged = merge_channels("a", [timed, Transcript("a", "all of it")])

    assert write("txt", merged).splitlines() == [
        "[channel 0] hi", "[channel 1] all of it", "[channel 0] you"
    ]  # fmt: skip


def test_silence_on_all_channels_is_an_empty_line():
    assert write("txt", merge_channels("a", [Transcript("a", ""), Transcript("a", "")])) == "\n"
