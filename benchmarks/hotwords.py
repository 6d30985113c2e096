"""Recall of rare words with hotwords, and their false insertions, on drawn emissions.

    python benchmarks/hotwords.py

A random language of 2,000 words and a 3-gram model of it that has never seen 20 further words. Half
of 400 test utterances hold one of these. A letter is emitted with noise, so that others are often
as likely. Prints recall, insertions and the word error rate for weights of the hotwords.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from gaudi_asr_cli import score
from gaudi_asr_cli.core.decoding import make_decoder
from gaudi_asr_cli.core.decoding.lm.arpa import write_arpa
from gaudi_asr_cli.core.decoding.lm.kneser_ney import estimate_kneser_ney
from gaudi_asr_cli.core.records import AudioSpan, Emissions, Utterance, Vocabulary

LETTERS = "|abcdefghijklmnopqrstuvwxyz'"
BLANK = 28
NAMES = (*LETTERS, "_", "<s>", "</s>", "<unk>")
VOCABULARY = Vocabulary(NAMES, BLANK, 0, 31, frozenset({28, 29, 30, 31}))
RARE, TESTED, WORDS = 20, 400, 2000
WEIGHTS = (0.0, 2.0, 4.0, 8.0, 12.0)


def draw_words(random: np.random.Generator, count: int, shortest: int) -> list[str]:
    """Draw different words of random letters."""
    letters = list(LETTERS[1:27])
    words: dict[str, None] = {}
    while len(words) < count:
        words["".join(random.choice(letters, random.integers(shortest, 9)))] = None
    return list(words)


def draw_sentences(random: np.random.Generator, words: list[str], count: int) -> list[list[str]]:
    """Draw sentences in which eight words may follow each word."""
    follow = random.integers(0, len(words), (len(words), 8))
    sentences = []
    for _ in range(count):
        word = int(random.integers(len(words)))
        sentence = []
        for _ in range(int(random.integers(8, 20))):
            sentence.append(words[word])
            word = int(random.choice(follow[word]))
        sentences.append(sentence)
    return sentences


def emit(random: np.random.Generator, text: str) -> np.ndarray:
    """Draw log probabilities (F, V) of a text."""
    columns: list[int] = []
    for letter in text.replace(" ", "|"):
        columns += [LETTERS.index(letter)] + [BLANK] * int(random.integers(1, 5))
    logits = random.normal(0, 1.0, (len(columns), 32)) - 2
    logits[:, BLANK] += 2
    logits[:, 29:] -= 6
    logits[np.arange(len(columns)), columns] += random.normal(8, 3, len(columns))
    return (logits - np.logaddexp.reduce(logits, axis=1)[:, None]).astype("f4")


def decode_all(decoder: Any, emissions: list[np.ndarray]) -> list[str]:
    """Return the texts of all emissions."""
    clip = Utterance("u", AudioSpan(Path("u.wav")))
    return [
        decoder.decode(Emissions(one[None], np.array([len(one)]), 0.02), 0, clip).text
        for one in emissions
    ]


def count_rare(references: list[str], texts: list[str], rare: list[str]) -> tuple[int, int, int]:
    """Return how many rare words of the references were found and missed, and how many inserted."""
    found = missed = inserted = 0
    for text, reference in zip(texts, references, strict=True):
        spoken, recognised = (one.split() for one in (reference, text))
        for word in rare:
            said, given = spoken.count(word), recognised.count(word)
            found, missed = found + min(said, given), missed + max(said - given, 0)
            inserted += max(given - said, 0)
    return found, missed, inserted


def main() -> None:
    """Draw everything, decode with each weight, and print the table."""
    random = np.random.default_rng(0)
    drawn = draw_words(random, WORDS + RARE, 3)
    words, rare = drawn[:WORDS], drawn[WORDS:]
    sentences = draw_sentences(random, words, 4000 + TESTED)
    tested = sentences[4000:]
    for index in range(0, TESTED, 2):
        place = int(random.integers(1, len(tested[index])))
        tested[index].insert(place, rare[index // 2 % RARE])
    references = [" ".join(one) for one in tested]
    emissions = [emit(random, text) for text in references]
    with TemporaryDirectory() as folder:
        path = Path(folder) / "lm.arpa"
        write_arpa(estimate_kneser_ney(sentences[:4000], 3).model, path)
        decoder = make_decoder(
            "beam", VOCABULARY, lm=str(path), hotwords=tuple(rare), hotword_weight=8.0, untimed=True
        )
    print("| hotword weight | recall of rare words | false insertions | WER |\n|---|---|---|---|")
    for weight in WEIGHTS:
        scorer = replace(decoder.scorer, hotword_weight=weight)
        texts = decode_all(replace(decoder, scorer=scorer), emissions)
        found, missed, inserted = count_rare(references, texts, rare)
        wer = score(references, texts, normalizer="none").wer
        print(f"| {weight:g} | {found} of {found + missed} | {inserted} | {wer:.2%} |")


if __name__ == "__main__":
    main()
