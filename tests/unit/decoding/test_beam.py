from pathlib import Path

import numpy as np
import pytest

from gaudi_asr_cli.core.decoding import make_decoder
from gaudi_asr_cli.core.decoding.lm.arpa import write_arpa
from gaudi_asr_cli.core.decoding.lm.kneser_ney import estimate_kneser_ney
from gaudi_asr_cli.core.decoding.scorer_setup import find_language_model, read_hotwords
from gaudi_asr_cli.core.errors import DataError, MachineError, UsageError
from gaudi_asr_cli.core.records import AudioSpan, Emissions, Utterance, Vocabulary

LETTERS = "|abcdehlnortw"
VOCABULARY = Vocabulary(
    (*LETTERS, "[UNK]", "[PAD]"), len(LETTERS) + 1, 0, len(LETTERS), frozenset({13, 14})
)
CLIP = Utterance("u", AudioSpan(Path("u.wav"), 10.0))


def emit(text, *, doubts=()):
    """Return emissions of `text`, `_` the blank; `doubts` are (frame, letter, probability)."""
    columns = [14 if letter == "_" else LETTERS.index(letter) for letter in text]
    probabilities = np.full((1, len(text), 15), 0.001)
    probabilities[0, np.arange(len(text)), columns] = 0.9
    for frame, letter, probability in doubts:
        probabilities[0, frame, LETTERS.index(letter)] = probability
    log_probs = np.log(probabilities / probabilities.sum(axis=-1, keepdims=True))
    return Emissions(log_probs.astype(np.float32), np.array([len(text)]), 0.02)


@pytest.fixture
def arpa(tmp_path):
    path = tmp_path / "words.arpa"
    sentences = ["torch the lantern", "the lantern", "a torch"]
    write_arpa(estimate_kneser_ney([one.split() for one in sentences], 2).model, path)
    return path


def test_a_beam_without_a_language_model_agrees_with_greedy_where_it_is_sure():
    emissions = emit("__tt_ooll_l__|_wwo|__")

    beam = make_decoder("beam", VOCABULARY).decode(emissions, 0, CLIP)
    greedy = make_decoder("greedy", VOCABULARY).decode(emissions, 0, CLIP)

    assert beam.text == greedy.text == "toll wo"
    assert [one.word for one in beam.words] == ["toll", "wo"]
    for ours, theirs in zip(beam.words, greedy.words, strict=True):
        assert ours.start_s == pytest.approx(theirs.start_s, abs=0.03)
        assert ours.end_s == pytest.approx(theirs.end_s, abs=0.03)
        assert ours.confidence == pytest.approx(theirs.confidence, abs=0.02)


def test_a_language_model_decides_between_similar_letters(arpa):
    emissions = emit("the|lantern", doubts=[(0, "d", 1.2), (5, "b", 1.0)])

    without = make_decoder("beam", VOCABULARY).decode(emissions, 0, CLIP)
    with_lm = make_decoder("beam", VOCABULARY, lm=str(arpa)).decode(emissions, 0, CLIP)

    assert without.text != "the lantern"
    assert with_lm.text == "the lantern"


def test_a_weight_of_zero_is_no_missing_weight(arpa):
    emissions = emit("the|lantern", doubts=[(0, "d", 1.2)])
    options = {"lm": str(arpa), "lm_weight": 0.0, "word_bonus": 0.0}

    decoder = make_decoder("beam", VOCABULARY, **options)

    assert decoder.decode(emissions, 0, CLIP).text == "dhe lantern"


def test_hotwords_are_preferred_only_as_whole_words():
    emissions = emit("torn|toln", doubts=[(3, "h", 0.85), (8, "h", 0.5)])

    plain = make_decoder("beam", VOCABULARY).decode(emissions, 0, CLIP)
    with_hotword = make_decoder("beam", VOCABULARY, hotwords=("torh",)).decode(emissions, 0, CLIP)

    assert plain.text == "torn toln"
    assert with_hotword.text == "torh toln"


def test_n_best_texts_differ_and_fall_in_score():
    decoder = make_decoder("beam", VOCABULARY, n_best=4)

    transcript = decoder.decode(emit("torn", doubts=[(3, "h", 0.5)]), 0, CLIP)

    texts = [one.text for one in transcript.n_best]
    scores = [one.score for one in transcript.n_best]
    assert texts[:2] == ["torn", "torh"]
    assert transcript.text == texts[0]
    assert len(set(texts)) == 4
    assert scores == sorted(scores, reverse=True)


def test_parts_give_the_text_of_the_whole():
    text = "the|lll_lantern__|to"
    whole = emit(text)
    decoder = make_decoder("beam", VOCABULARY)
    cut = [
        Emissions(whole.log_probs[:, a:b], np.array([b - a]), 0.02) for a, b in [(0, 7), (7, 20)]
    ]

    parts = [decoder.condense(one, 0) for one in cut]

    assert decoder.assemble(parts, CLIP) == decoder.decode(whole, 0, CLIP)


def test_padding_is_not_decoded():
    emissions = emit("the|lantern")
    shorter = Emissions(emissions.log_probs, np.array([3]), 0.02)

    assert make_decoder("beam", VOCABULARY).decode(shorter, 0, CLIP).text == "the"


def test_silence_is_an_empty_text():
    transcript = make_decoder("beam", VOCABULARY).decode(emit("______"), 0, CLIP)

    assert transcript.text == ""
    assert transcript.words == ()


def test_a_language_model_in_the_other_case_is_folded(tmp_path):
    path = tmp_path / "upper.arpa"
    write_arpa(estimate_kneser_ney([["THE", "LANTERN"]], 2).model, path)
    emissions = emit("the|lantern", doubts=[(0, "d", 1.2), (5, "b", 1.0)])

    decoder = make_decoder("beam", VOCABULARY, lm=str(path))

    assert decoder.decode(emissions, 0, CLIP).text == "the lantern"
    assert decoder.notes == ()


def test_a_language_model_of_another_alphabet_is_reported_with_its_share(tmp_path):
    path = tmp_path / "mixed.arpa"
    write_arpa(estimate_kneser_ney([["the", "lantern", "фонарь"]], 2).model, path)

    decoder = make_decoder("beam", VOCABULARY, lm=str(path))

    assert "33% of the 3 words" in decoder.notes[0]
    assert "'фонарь'" in decoder.notes[0]


def test_a_language_model_without_a_word_of_the_alphabet_is_rejected(tmp_path):
    path = tmp_path / "other.arpa"
    write_arpa(estimate_kneser_ney([["фонарь", "факел"]], 2).model, path)

    with pytest.raises(DataError, match="not one of its 2 words"):
        make_decoder("beam", VOCABULARY, lm=str(path))


def test_a_language_model_is_found_in_a_models_folder_with_its_weights(tmp_path, arpa):
    folder = tmp_path / "model" / "language_model"
    folder.mkdir(parents=True)
    (folder / "3gram.arpa").write_bytes(arpa.read_bytes())
    (folder / "attrs.json").write_text('{"alpha": 0.7, "beta": 2.5}', encoding="utf-8")

    found = find_language_model(str(tmp_path / "model"))
    decoder = make_decoder("beam", VOCABULARY, lm=str(tmp_path / "model"))

    assert found.path == folder / "3gram.arpa"
    assert decoder.scorer.lm_weight == 0.7
    assert decoder.scorer.word_bonus == 2.5


@pytest.mark.parametrize(
    ("names", "error", "message"),
    [
        ([], DataError, "no ARPA file"),
        (["a.arpa", "b.arpa.gz"], DataError, "2 ARPA files: a.arpa, b.arpa.gz"),
        (["5gram.bin"], MachineError, "5gram.bin: this is a binary file of KenLM"),
    ],
)
def test_a_folder_without_one_model_says_what_it_holds(tmp_path, names, error, message):
    for name in names:
        (tmp_path / name).touch()

    with pytest.raises(error, match=message):
        find_language_model(str(tmp_path))


def test_hotwords_are_words_between_commas_or_lines_of_a_file(tmp_path):
    file = tmp_path / "words.txt"
    file.write_text("New  York\n\nGaudi\nGaudi\n", encoding="utf-8")

    assert read_hotwords("Habana, New  York,") == ("Habana", "New York")
    assert read_hotwords(str(file)) == ("New York", "Gaudi")


@pytest.mark.parametrize("words", ["", " , ", ","])
def test_no_hotword_at_all_is_an_error(words):
    with pytest.raises(UsageError, match="no hotword"):
        read_hotwords(words)


def test_hotwords_in_another_alphabet_are_an_error():
    with pytest.raises(UsageError, match="No hotword can be written"):
        make_decoder("beam", VOCABULARY, hotwords=("фонарь",))
