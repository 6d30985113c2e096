from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gaudi_asr_cli.core.events import UtteranceDone
from gaudi_asr_cli.core.formats import FORMATS
from gaudi_asr_cli.core.records import Transcript, WordTiming

SECONDS = st.floats(-1, 4_000) | st.sampled_from([0.0, 0.001, 4_000.0])
WORDS = st.lists(st.builds(WordTiming, st.text("ab\u00e9' \t"), SECONDS, SECONDS, st.floats(-1, 2)))


def write(*words, path="talk.wav", duration_s=10.0):
    text = " ".join(word.word for word in words)
    return list(
        FORMATS["ctm"].write([UtteranceDone("a", path, duration_s, Transcript("a", text, words))])
    )


def test_a_line_holds_file_channel_start_duration_word_and_confidence():
    lines = write(
        WordTiming("one", 0.1, 0.34, 0.98765),
        WordTiming("two", 0.5, 1.0, 1.0),
        path="some folder/a talk.tar.wav",
    )

    assert lines == [
        "a_talk.tar 1 0.100 0.240 one 0.9877\n",
        "a_talk.tar 1 0.500 0.500 two 1.0000\n",
    ]


@given(WORDS, st.floats(0.5, 4_000))
def test_times_rise_never_overlap_and_stay_inside_the_file(words, duration_s):
    rows = [line.split() for line in write(*words, duration_s=duration_s)]

    assert all(len(row) == 6 for row in rows)
    times = [(float(row[2]), float(row[3])) for row in rows]
    assert all(0 <= start <= start + length <= duration_s + 1e-9 for start, length in times)
    assert all(a + length <= b + 1e-9 for (a, length), (b, _) in pairwise(times))
    assert all(0 <= float(row[5]) <= 1 for row in rows)
    assert [row[4] for row in rows] == [
        spelt for word in words if (spelt := "".join(word.word.split()))
    ]


@pytest.mark.parametrize("path", ["-", "", "/"])
def test_standard_input_has_a_name_too(path):
    (line,) = write(WordTiming("one", 0.1, 0.34, 0.5), path=path)

    assert line == "- 1 0.100 0.240 one 0.5000\n"
