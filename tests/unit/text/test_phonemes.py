# ruff: noqa: RUF001 - phonemes look like letters
"""Phonemes as tokens: labelled, written for transformers, read back, decoded, and scored."""

import numpy as np
import pytest

from gaudi_asr_cli.core.data.phonemes import pronounce_texts
from gaudi_asr_cli.core.decoding.greedy import GreedyDecoder
from gaudi_asr_cli.core.errors import DataError
from gaudi_asr_cli.core.evaluation.comparison import compare_phonemes
from gaudi_asr_cli.core.evaluation.score import score_json, summarize
from gaudi_asr_cli.core.evaluation.utterances import score_utterance
from gaudi_asr_cli.core.models.quiet import quiet_transformers
from gaudi_asr_cli.core.records import AudioSpan, Emissions, Utterance
from gaudi_asr_cli.core.text.vocabulary import (
    build_vocabulary,
    count_units,
    encode,
    read_vocabulary,
    unknown_characters,
    vocabulary_hash,
    write_tokenizer_files,
)


def vocabulary(texts=("m ɛ r h a b a", "tʃ a tː i")):
    return build_vocabulary(count_units(texts, phonemes=True), phonemes_of="tr")


def utterance(text):
    return Utterance("one", AudioSpan("one.wav", duration_s=1.0), text=text)


@pytest.mark.parametrize(
    ("language", "text", "phonemes"),
    [
        ("tr", "Merhaba, çay!", "m ɛ r h a b a tʃ a j"),
        ("it", "ragazzo", "r a ɡ a tsː o"),
        ("sv", "sju", "sx ʉ"),
        ("en-us", "The church.", "ð ə tʃ ɜː tʃ"),
        ("tr", "", ""),
    ],
)
def test_text_is_pronounced_without_stress_punctuation_and_word_borders(language, text, phonemes):
    (spoken,) = pronounce_texts([utterance(text)], language, str)

    assert spoken.text == phonemes


def test_what_the_rules_remove_is_not_pronounced():
    (spoken,) = pronounce_texts([utterance("çay 2")], "tr", lambda text: text.replace("2", ""))

    assert spoken.text == "tʃ a j"


def test_an_utterance_without_text_stays_without():
    assert pronounce_texts([utterance(None)], "tr", str)[0].text is None


def test_a_language_unknown_to_espeak_gets_suggestions():
    with pytest.raises(DataError) as caught:
        pronounce_texts([utterance("x")], "svv", str)

    assert "sv" in caught.value.remedy


def test_labels_are_whole_phonemes_and_have_no_delimiter():
    found = vocabulary()

    assert found.delimiter is None
    assert [found.tokens[label] for label in encode(found, "tʃ a  m tː")] == ["tʃ", "a", "m", "tː"]
    # Parts of a phoneme are another phoneme: t alone never occurred.
    assert unknown_characters(found, "t tʃ") == {"t"}


def test_phonemes_of_another_language_are_another_vocabulary():
    counts = count_units(["a b"], phonemes=True)

    hashes = {
        vocabulary_hash(build_vocabulary(counts, phonemes_of=language)) for language in ("tr", "it")
    }

    assert len(hashes) == 2


def test_transformers_reads_and_decodes_what_was_written(tmp_path):
    from transformers import AutoTokenizer

    found = vocabulary()
    write_tokenizer_files(found, tmp_path)
    labels = list(encode(found, "m a tʃ tʃ a"))
    frames = [labels[0], labels[0], found.blank, labels[1], *labels[2:3], found.blank, *labels[3:]]

    with quiet_transformers():
        tokenizer = AutoTokenizer.from_pretrained(tmp_path)

    assert type(tokenizer).__name__ == "Wav2Vec2PhonemeCTCTokenizer"
    assert tokenizer.phonemizer_lang == "tr"
    assert tokenizer.decode(frames) == "m a tʃ tʃ a"
    assert tokenizer("m a tʃ").input_ids == labels[:3]
    assert read_vocabulary(tmp_path) == found


def test_a_phoneme_is_a_word_with_times_of_its_own():
    found = vocabulary()
    frames = [*encode(found, "m a"), found.blank, *encode(found, "a tʃ")]
    log_probs = np.full((1, len(frames), len(found.tokens)), -20.0, dtype=np.float32)
    log_probs[0, range(len(frames)), frames] = 0.0
    emissions = Emissions(log_probs, np.array([len(frames)]), 0.02)

    transcript = GreedyDecoder(found).decode(emissions, 0, utterance("m a a tʃ"))

    assert transcript.text == "m a a tʃ"
    assert [word.word for word in transcript.words] == ["m", "a", "a", "tʃ"]
    starts = [word.start_s for word in transcript.words]
    assert starts == sorted(starts)


def test_a_score_of_phonemes_is_a_phoneme_error_rate():
    one = score_utterance(utterance("m a tʃ a"), "m a t a", str, duration_s=1.0)

    account = score_json(
        summarize([one], compare_phonemes("x"), utterances_total=1, audio_s_total=1.0)
    )

    assert (account["unit"], account["per"], account["reference_phonemes"]) == ("phoneme", 0.25, 4)
    assert not [key for key in account if "wer" in key or "words" in key]
    assert account["raw"]["per"] == 0.25
    assert account["slices"]["duration"]["0-2 s"]["per"] == 0.25
