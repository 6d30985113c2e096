from itertools import groupby, pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gaudi_asr_cli.core.decoding import make_decoder
from gaudi_asr_cli.core.decoding.greedy import BOUNDARY, MAX_BOUNDARY_S, GreedyDecoder
from gaudi_asr_cli.core.records import AudioSpan, Emissions, Utterance, Vocabulary

VOCABULARY = Vocabulary(
    ("|", "h", "e", "l", "o", "<unk>", "_"),
    blank=6,
    delimiter=0,
    unknown=5,
    special=frozenset({5, 6}),
)
FRAME_S = 0.02


def tokenise(frames):
    """Return the columns of a string in which `?` is the unknown token and `_` the blank."""
    return ["|helo?_".index(letter) for letter in frames]


def emit(*rows, probability=0.9):
    """Return emissions whose argmax is the columns of each row, padded with frames of `h`."""
    width = max(map(len, rows))
    log_probs = np.full((len(rows), width + 3, 7), np.log((1 - probability) / 6), np.float32)
    log_probs[:, :, 1] = 0.0
    for index, row in enumerate(rows):
        log_probs[index, : len(row), 1] = log_probs[0, 0, 0]
        log_probs[index, np.arange(len(row)), row] = np.log(probability)
    lengths = np.array([len(row) for row in rows], dtype=np.int64)
    return Emissions(log_probs, lengths, FRAME_S)


def decode(frames, *, start_s=0.0, vocabulary=VOCABULARY):
    utterance = Utterance("u", AudioSpan(Path("u.wav"), start_s))
    return GreedyDecoder(vocabulary).decode(emit(tokenise(frames)), 0, utterance)


def decode_naively(columns):
    """Decode by the definition, run by run: return (text, [(word, start_s, end_s)])."""
    runs, frame = [], 0
    for column, group in groupby(columns):
        length = len(list(group))
        runs.append((column, frame, frame + length))
        frame += length
    kept = [run for run in runs if run[0] not in VOCABULARY.special]
    text = "".join(" " if c == 0 else VOCABULARY.tokens[c] for c, _, _ in kept).strip()
    words, reached = [], 0
    for is_delimiter, group in groupby(kept, key=lambda run: run[0] == 0):
        members = list(group)
        first, last = members[0][1], members[-1][2]
        if not is_delimiter:
            word = "".join(VOCABULARY.tokens[c] for c, _, _ in members)
            following = [start for c, start, _ in kept if c == 0 and start >= last]
            lead_s = (first - reached) * FRAME_S
            trail_s = (min(following, default=len(columns)) - last) * FRAME_S
            start_s = first * FRAME_S - min(lead_s * BOUNDARY, MAX_BOUNDARY_S)
            words.append((word, start_s, last * FRAME_S + min(trail_s * BOUNDARY, MAX_BOUNDARY_S)))
        reached = last
    return text, words


@given(st.lists(st.integers(0, 6), max_size=60))
def test_text_and_times_match_the_definition(columns):
    utterance = Utterance("u", AudioSpan(Path("u.wav")))

    transcript = GreedyDecoder(VOCABULARY).decode(emit(columns), 0, utterance)

    text, words = decode_naively(columns)
    assert transcript.text == text
    assert [word.word for word in transcript.words] == [word for word, _, _ in words]
    assert [word.start_s for word in transcript.words] == pytest.approx([s for _, s, _ in words])
    assert [word.end_s for word in transcript.words] == pytest.approx([e for _, _, e in words])
    assert all(word.confidence == pytest.approx(0.9) for word in transcript.words)


@given(
    st.lists(st.sampled_from([0, 1, 2, 6, 6, 6]), max_size=200),
    st.floats(0, 10_000),
    st.none() | st.floats(0.01, 10),
)
def test_word_times_are_ordered_disjoint_and_inside_the_span(columns, start_s, duration_s):
    utterance = Utterance("u", AudioSpan(Path("u.wav"), start_s, duration_s))

    words = GreedyDecoder(VOCABULARY).decode(emit(columns), 0, utterance).words

    rounding_s = 1e-9
    length_s = len(columns) * FRAME_S if duration_s is None else duration_s
    assert all(start_s <= word.start_s <= word.end_s for word in words)
    assert all(word.end_s <= start_s + length_s + rounding_s for word in words)
    assert all(a.end_s <= b.start_s + rounding_s for a, b in pairwise(words))


@given(st.lists(st.integers(0, 6), min_size=1, max_size=80), st.integers(0, 80))
def test_frames_decoded_in_parts_equal_those_decoded_at_once(columns, cut):
    utterance = Utterance("u", AudioSpan(Path("u.wav"), 5.0))
    decoder = GreedyDecoder(VOCABULARY)

    parts = [decoder.condense(emit(part), 0) for part in (columns[:cut], columns[cut:])]

    assert decoder.assemble(parts, utterance) == decoder.decode(emit(columns), 0, utterance)


def test_condensed_frames_take_12_bytes_each():
    condensed = GreedyDecoder(VOCABULARY).condense(emit(tokenise("_he_|" * 100)), 0)

    assert condensed.tokens.nbytes + condensed.probabilities.nbytes == 12 * 500


def test_word_boundaries_lie_between_its_spikes_and_the_adjacent_delimiters():
    (first, second) = decode("_____he_____|_____lo_____").words

    assert (first.start_s, first.end_s) == (pytest.approx(0.04), pytest.approx(0.2))
    assert (second.start_s, second.end_s) == (pytest.approx(0.3), pytest.approx(0.46))


def test_pause_before_a_word_is_not_part_of_it():
    (word,) = decode("_" * 100 + "he" + "_" * 100).words

    assert (word.start_s, word.end_s) == (pytest.approx(1.8), pytest.approx(2.24))


def test_blank_between_equal_letters_keeps_both():
    assert decode("hheelll_llo").text == "hello"
    assert decode("hheellllllo").text == "helo"


def test_delimiter_is_a_space_except_at_the_ends():
    assert decode("_||he_|_lo||").text == "he lo"


def test_special_tokens_are_dropped_but_separate_repeats():
    assert decode("he?l?l_o?").text == "hello"


def test_emissions_without_letters_give_an_empty_transcript():
    for frames in ("", "___", "|_|", "_?_"):
        transcript = decode(frames)

        assert (transcript.text, transcript.words) == ("", ())


def test_times_are_on_the_clock_of_the_file():
    (first, second) = decode("_hh_e_||__lo", start_s=10.0).words

    assert (first.word, first.start_s, first.end_s) == ("he", pytest.approx(10.008), 10.112)
    assert (second.word, second.start_s, second.end_s) == ("lo", pytest.approx(10.176), 10.24)


def test_confidence_is_the_mean_over_frames_of_letters_only():
    emissions = emit(tokenise("h_ee|o"))
    emissions.log_probs[0, [0, 1, 2, 3, 4, 5], tokenise("h_ee|o")] = np.log(
        [1, 0.5, 0.7, 0.4, 0.5, 0.6]
    )
    utterance = Utterance("u", AudioSpan(Path("u.wav")))

    first, second = GreedyDecoder(VOCABULARY).decode(emissions, 0, utterance).words

    assert first.confidence == pytest.approx((1 + 0.7 + 0.4) / 3)
    assert second.confidence == pytest.approx(0.6)


def test_padding_frames_are_ignored_and_rows_are_decoded_separately():
    emissions = emit(tokenise("he"), tokenise("lo_oo"))
    utterance = Utterance("u7", AudioSpan(Path("u.wav")))

    transcripts = [GreedyDecoder(VOCABULARY).decode(emissions, row, utterance) for row in (0, 1)]

    assert [one.text for one in transcripts] == ["he", "loo"]
    assert transcripts[0].utterance_id == "u7"


def test_vocabulary_without_delimiter_gives_one_word():
    characters = Vocabulary(VOCABULARY.tokens, blank=6, special=frozenset({0, 5, 6}))

    transcript = decode("h|e_l", vocabulary=characters)

    assert transcript.text == "hel"
    assert [word.word for word in transcript.words] == ["hel"]


def test_columns_beyond_the_vocabulary_are_dropped():
    short = Vocabulary(("|", "h", "e", "_"), blank=3, delimiter=0, special=frozenset({3}))

    assert decode("he?", vocabulary=short).text == "he"


@given(st.lists(st.integers(0, 6), min_size=1, max_size=40))
def test_characters_divide_the_time_of_their_word_in_order(columns):
    utterance = Utterance("u", AudioSpan(Path("u.wav"), 3.0))
    words = GreedyDecoder(VOCABULARY, characters=True).decode(emit(columns), 0, utterance).words
    plain = GreedyDecoder(VOCABULARY).decode(emit(columns), 0, utterance).words

    assert [(one.word, one.start_s, one.end_s) for one in words] == [
        (one.word, one.start_s, one.end_s) for one in plain
    ]
    for word in words:
        letters = word.characters
        assert "".join(one.word for one in letters) == word.word
        assert (letters[0].start_s, letters[-1].end_s) == (word.start_s, word.end_s)
        assert all(one.start_s <= one.end_s for one in letters)
        assert all(a.end_s == b.start_s for a, b in pairwise(letters))


def test_character_lasts_from_its_spike_to_the_next():
    utterance = Utterance("u", AudioSpan(Path("u.wav")))
    decoder = GreedyDecoder(VOCABULARY, characters=True)
    (word,) = decoder.decode(emit(tokenise("hh__e_ll")), 0, utterance).words

    assert [one.word for one in word.characters] == ["h", "e", "l"]
    assert [one.start_s for one in word.characters] == pytest.approx([0.0, 0.08, 0.12])


def test_greedy_decoder_is_registered():
    assert make_decoder("greedy", VOCABULARY) == GreedyDecoder(VOCABULARY)
