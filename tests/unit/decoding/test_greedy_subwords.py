"""Greedy decoding of subwords: transformers' text, words from their marks."""

from itertools import groupby, pairwise
from pathlib import Path

import numpy as np
import pytest
from helpers.subword_models import SENTENCES, train_tokenizer, write_subwords
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from gaudi_asr_cli.core.decoding.greedy import GreedyDecoder
from gaudi_asr_cli.core.decoding.known_text import make_known_text_decoder
from gaudi_asr_cli.core.records import AudioSpan, Emissions, Utterance
from gaudi_asr_cli.core.text.vocabulary import encode, read_vocabulary

FRAME_S = 0.08


def sentence_piece() -> Tokenizer:
    """Return a tokenizer with bytes for rare characters, as SentencePiece's are converted."""
    tokenizer = train_tokenizer()
    tokenizer.add_tokens([f"<0x{byte:02X}>" for byte in "é".encode()])
    tokenizer.decoder = decoders.Sequence(
        [
            decoders.Replace("▁", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(" ", 1, 0),
        ]
    )
    return tokenizer


def byte_level() -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel()
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=60, special_tokens=["<pad>", "<unk>"])
    tokenizer.train_from_iterator([*SENTENCES, "été à l'île"], trainer)
    return tokenizer


TOKENIZERS = {
    "bpe": train_tokenizer(),
    "unigram": train_tokenizer(unigram=True),
    "sentencepiece": sentence_piece(),
    "byte-level": byte_level(),
}


@pytest.fixture(params=TOKENIZERS)
def read(request, tmp_path):
    tokenizer = TOKENIZERS[request.param]
    return tokenizer, read_vocabulary(write_subwords(tmp_path, tokenizer))


def utterance(frames=0, text=None):
    return Utterance("u", AudioSpan(Path("u"), 10.0, frames * FRAME_S), text)


def emit(best, tokens, *, likely=0.75):
    """Return emissions whose argmax is `best`, each with the probability `likely`."""
    log_probs = np.full((1, len(best), tokens), np.log((1 - likely) / (tokens - 1)), np.float32)
    log_probs[0, np.arange(len(best)), best] = np.log(likely)
    return Emissions(log_probs, np.array([len(best)]), FRAME_S)


def test_the_text_of_random_frames_is_that_of_the_tokenizer(read):
    tokenizer, vocabulary = read
    random = np.random.default_rng(0)
    texts = set()
    for frames in range(60):
        best = random.integers(len(vocabulary.tokens), size=frames).repeat(random.integers(1, 3))

        transcript = GreedyDecoder(vocabulary).decode(
            emit(best, len(vocabulary.tokens)), 0, utterance(len(best))
        )

        kept = [one for one, _ in groupby(best.tolist()) if one not in vocabulary.special]
        assert transcript.text == tokenizer.decode(kept).strip()
        assert transcript.text.split() == [
            part for word in transcript.words for part in word.word.split()
        ]
        assert all(word.word for word in transcript.words)
        texts.add(transcript.text)
    assert len(texts) > 50


def test_the_text_is_that_of_the_tokenizer_of_parakeet(tmp_path):
    transformers = pytest.importorskip("transformers")
    if not hasattr(transformers, "ParakeetTokenizer"):
        pytest.skip(f"transformers {transformers.__version__} has no Parakeet")
    folder = write_subwords(tmp_path, TOKENIZERS["bpe"])
    theirs = transformers.AutoTokenizer.from_pretrained(folder)
    vocabulary = read_vocabulary(folder)
    best = np.random.default_rng(1).integers(len(vocabulary.tokens), size=(20, 50)).repeat(2, 1)

    found = [
        GreedyDecoder(vocabulary).decode(emit(row, len(vocabulary.tokens)), 0, utterance(100)).text
        for row in best
    ]

    assert type(theirs).__name__ == "ParakeetTokenizer"
    expected = theirs.batch_decode(best.tolist(), skip_special_tokens=True)
    assert found == [text.strip() for text in expected]


def columns(vocabulary, *tokens):
    return [vocabulary.blank if one is None else vocabulary.tokens.index(one) for one in tokens]


@pytest.fixture
def vocabulary(tmp_path):
    return read_vocabulary(write_subwords(tmp_path, TOKENIZERS["bpe"]))


def test_words_are_timed_from_mark_to_mark_and_share_the_pause_between_them(vocabulary):
    best = columns(
        vocabulary, None, "▁o", "n", "n", "e", None, None, "▁", "t", None, "w", None, None, None
    )
    emissions = emit(best, len(vocabulary.tokens))
    emissions.log_probs[0, 3] = np.log(1 / len(best))
    emissions.log_probs[0, 3, best[3]] = np.log(0.25)

    one, two = GreedyDecoder(vocabulary).decode(emissions, 0, utterance(len(best))).words

    assert (one.word, two.word) == ("one", "tw")
    assert one.start_s == pytest.approx(10 + (1 - 0.6) * FRAME_S)
    assert one.end_s == two.start_s == pytest.approx(10 + 6 * FRAME_S)
    assert two.end_s == pytest.approx(10 + (11 + 0.6 * 3) * FRAME_S)
    assert one.confidence == pytest.approx((3 * 0.75 + 0.25) / 4)
    assert two.confidence == pytest.approx(0.75)


def test_words_never_overlap(vocabulary):
    random = np.random.default_rng(2)
    best = np.where(random.random(400) < 0.6, vocabulary.blank, random.integers(44, size=400))

    words = GreedyDecoder(vocabulary).decode(emit(best, 45), 0, utterance(400)).words

    assert len(words) > 20
    assert all(a.start_s < a.end_s <= b.start_s + 1e-9 for a, b in pairwise(words))


def test_characters_of_a_word_are_its_subwords_without_marks(vocabulary):
    best = columns(vocabulary, "▁", "t", "w", "o", None)

    (word,) = (
        GreedyDecoder(vocabulary, characters=True)
        .decode(emit(best, len(vocabulary.tokens)), 0, utterance(len(best)))
        .words
    )

    assert [one.word for one in word.characters] == ["t", "w", "o"]
    assert [one.confidence for one in word.characters] == pytest.approx([0.75] * 3)
    assert word.characters[0].start_s == word.start_s
    assert word.characters[-1].end_s == word.end_s


def test_a_mark_alone_is_no_word(vocabulary):
    best = columns(vocabulary, "▁", None, "▁", None)

    transcript = GreedyDecoder(vocabulary).decode(
        emit(best, len(vocabulary.tokens)), 0, utterance(len(best))
    )

    assert transcript.text == ""
    assert transcript.words == ()


def test_a_known_text_is_aligned_to_its_subwords(vocabulary):
    one, two, blank = encode(vocabulary, "one"), encode(vocabulary, "two"), vocabulary.blank
    best = [blank, *one, blank, blank, *two, blank]
    decoder = make_known_text_decoder(vocabulary, ["One two"])

    found = decoder.decode(
        emit(best, len(vocabulary.tokens)), 0, utterance(len(best), text="One two")
    )

    assert [word.word for word in found.words] == ["One", "two"]
    assert found.words[0].end_s <= found.words[1].start_s
    assert found.words[1].start_s == pytest.approx(10 + (1 + len(one) + 1) * FRAME_S)
