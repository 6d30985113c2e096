import pytest

from gaudi_asr_cli.core.models.seq2seq.word_times import TextPiece, group_words, time_words
from gaudi_asr_cli.core.models.seq2seq.word_times import split_tokens as split
from gaudi_asr_cli.core.records import Segment, TokenTimes


def decode_bytes(tokens):
    return bytes(tokens).decode("utf-8", errors="replace")


def time_pieces(pieces, starts_s, segment):
    """Return the words of a segment with a token for each piece."""
    times = TokenTimes(tuple(starts_s), (0.5,) * len(pieces))
    (timed,) = time_words(
        [segment], [range(len(pieces))], times, lambda tokens: "".join(pieces[t] for t in tokens)
    )
    return [(word.word, word.start_s, word.end_s) for word in timed.words]


def test_tokens_that_together_are_a_character_stay_together():
    pieces = list(split([*" é".encode(), *b"t"], decode_bytes))

    assert pieces == [TextPiece(" ", 0, 1), TextPiece("é", 1, 3), TextPiece("t", 3, 4)]


def test_words_are_what_is_between_white_space():
    pieces = [TextPiece(one, i, i + 1) for i, one in enumerate([" mother", "-in", " law", "s a"])]

    words = ["".join(piece.text for piece in word) for word in group_words(pieces)]

    assert words == ["mother-in", "laws", "a"]


def test_the_time_of_a_word_excludes_its_punctuation():
    pieces = [' "', "Yes", ",", '"', " he", " said", "."]
    segment = Segment('"Yes," he said.', 0.0, 3.0)

    words = time_pieces(pieces, [0.0, 0.2, 0.6, 0.8, 1.0, 1.4, 1.8, 2.0], segment)

    assert words == [('"Yes,"', 0.2, 0.6), ("he", 1.0, 1.4), ("said.", 1.4, 1.8)]


def test_a_word_that_took_the_pause_before_its_segment_is_cut_at_the_timestamp():
    segment = Segment("one two three", 2.3, 4.0)

    words = time_pieces([" one", " two", " three"], [0.0, 2.4, 2.8, 3.2], segment)

    assert words == [("one", 2.0, 2.4), ("two", 2.4, 2.8), ("three", 2.8, 3.2)]


def test_a_last_word_is_cut_at_the_timestamp_of_its_segment():
    words = time_pieces([" one", " two"], [0.0, 0.4, 5.0], Segment("one two", 0.0, 0.9))

    assert words[0] == ("one", 0.0, 0.4)
    assert 0.8 <= words[1][2] <= 1.2


@pytest.mark.parametrize("text", ["other words", "one"])
def test_a_segment_whose_words_are_not_those_of_its_tokens_has_none(text):
    assert time_pieces([" one", " two"], [0.0, 0.4, 1.0], Segment(text, 0.0, 1.0)) == []
