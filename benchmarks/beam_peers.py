"""Emissions of a base-sized vocabulary with confusable letters, and their beam search timed.

    python benchmarks/beam_peers.py draw DIR                 # emissions, text, and an ARPA file
    python benchmarks/beam_peers.py ours DIR [--python]      # this package
    VENV/bin/python benchmarks/beam_peers.py pyctcdecode DIR # needs pyctcdecode 0.5, numpy 1, kenlm
    VENV/bin/python benchmarks/beam_peers.py flashlight DIR  # needs flashlight-text
    python benchmarks/beam_peers.py compare DIR              # mean score and WER of their texts

Prints CPU milliseconds for each second of audio, the median of five runs. The score of a text is
the same for all: the log probability of all its alignments, plus that of the language model and the
word bonus with the weights of the search. Peers are run in virtual environments of their own.
"""

from __future__ import annotations

import statistics
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

LETTERS = "|abcdefghijklmnopqrstuvwxyz'"
UTTERANCES, BEAM, RUNS = 40, 100, 5


def draw(folder: Path) -> None:
    """Write texts of a random language, emissions that confuse letters, and a 3-gram model."""
    from gaudi_asr_cli.core.decoding.lm.arpa import write_arpa
    from gaudi_asr_cli.core.decoding.lm.kneser_ney import estimate_kneser_ney

    random = np.random.default_rng(0)
    folder.mkdir(parents=True, exist_ok=True)
    words = [
        "".join(random.choice(list(LETTERS[1:27]), random.integers(2, 9))) for _ in range(2000)
    ]
    follow = random.integers(0, 2000, (2000, 8))
    sentences = []
    for _ in range(4000 + UTTERANCES):
        word = int(random.integers(2000))
        sentence = []
        for _ in range(int(random.integers(8, 20))):
            sentence.append(words[word])
            word = int(random.choice(follow[word]))
        sentences.append(sentence)
    write_arpa(estimate_kneser_ney(sentences[:4000], 3).model, folder / "lm.arpa")
    tested = sentences[4000:]
    (folder / "text.txt").write_text("\n".join(map(" ".join, tested)) + "\n")
    (folder / "words.txt").write_text("\n".join(words) + "\n")
    rows = {}
    for index, sentence in enumerate(tested):
        columns: list[int] = []
        for letter in "|".join(sentence):
            columns += [LETTERS.index(letter)] + [28] * int(random.integers(1, 5))
        logits = random.normal(0, 1.0, (len(columns), 32)) - 2
        logits[:, 28] += 2
        logits[:, 29:] -= 6
        logits[np.arange(len(columns)), columns] += random.normal(8, 3, len(columns))
        rows[f"e{index}"] = (logits - np.logaddexp.reduce(logits, axis=1)[:, None]).astype("f4")
    np.savez(folder / "emissions.npz", **rows)


def make_decoder_of_ours(folder: Path, *, python: bool = False) -> Any:
    """Return this package's decoder, compiled if numba is there, unless `python`."""
    from gaudi_asr_cli.core.decoding import beam, make_decoder
    from gaudi_asr_cli.core.decoding.prefix_search import search_prefixes
    from gaudi_asr_cli.core.records import Vocabulary

    names = (*LETTERS, "_", "<s>", "</s>", "<unk>")
    vocabulary = Vocabulary(names, 28, 0, 31, frozenset({28, 29, 30, 31}))
    if python:
        beam.choose_search = lambda: search_prefixes
    lm = str(folder / "lm.arpa")
    return make_decoder("beam", vocabulary, lm=lm, beam_size=BEAM, untimed=True)


def ours(folder: Path) -> Any:
    """Return the function that decodes with this package."""
    from gaudi_asr_cli.core.records import AudioSpan, Emissions, Utterance

    decoder = make_decoder_of_ours(folder, python="--python" in sys.argv)
    clip = Utterance("u", AudioSpan(Path("u.wav")))

    def decode(one: np.ndarray) -> str:
        return decoder.decode(Emissions(one[None], np.array([len(one)]), 0.02), 0, clip).text

    return decode


def compare(folder: Path, emissions: list) -> None:
    """Print the mean score and the word error rate of every engine's texts."""
    from gaudi_asr_cli import score

    decoder = make_decoder_of_ours(folder)
    references = (folder / "text.txt").read_text().splitlines()
    for path in [folder / "text.txt", *sorted(folder.glob("texts-*.txt"))]:
        texts = path.read_text().splitlines()
        scores = []
        for one, text in zip(emissions, texts, strict=True):
            tokens = [LETTERS.index(letter) for letter in text.replace(" ", "|")]
            scores.append(sum_alignments(one, tokens) + decoder.scorer.score_tokens(tokens))
        wer = score(references, texts, normalizer="none").wer
        print(f"{path.stem}: mean score {np.mean(scores):.3f}, WER {wer:.2%}")


def sum_alignments(log_probs: np.ndarray, tokens: list[int]) -> float:
    """Return the log probability of a text, summed over all alignments, by the forward recursion.

    A delimiter may also come before and after the text, and again next to itself.
    """
    blank, delimiter = np.logaddexp.reduce(log_probs[:, 28:], axis=1), log_probs[:, 0]
    silence = np.logaddexp(blank, delimiter)
    states = 2 * len(tokens) + 1
    spoken = np.array(tokens)
    is_delimiter = spoken == 0
    edges = np.append(True, is_delimiter) | np.append(is_delimiter, True)
    skips = np.zeros(states, bool)
    skips[3::2] = spoken[1:] != spoken[:-1]
    total = np.full(states, -np.inf)
    for frame, row in enumerate(log_probs):
        emitted = np.empty(states)
        emitted[0::2] = np.where(edges, silence[frame], blank[frame])
        emitted[1::2] = row[spoken]
        # Delimiters after the first are counted by the silence after it.
        if frame == 0:
            before = np.full(states, -np.inf)
            before[:2] = 0.0
        else:
            stay = total.copy()
            stay[1::2][is_delimiter] = -np.inf
            before = np.logaddexp(stay, np.append(-np.inf, total[:-1]))
            skip = np.where(skips, np.append([-np.inf, -np.inf], total[:-2]), -np.inf)
            before = np.logaddexp(before, skip)
        # Silence before a delimiter is a blank: the delimiter itself is the first of its run.
        emitted[0:-1:2] = np.where(is_delimiter, blank[frame], emitted[0:-1:2])
        total = before + emitted
    return float(np.logaddexp(total[-1], total[-2]))


def pyctcdecode(folder: Path) -> Any:
    """Return the function that decodes with pyctcdecode."""
    from pyctcdecode import build_ctcdecoder

    labels = [" ", *LETTERS[1:], "", "<s>", "</s>", "⁇"]
    unigrams = (folder / "words.txt").read_text().split()
    model = str(folder / "lm.arpa")
    try:
        import kenlm  # noqa: F401
    except ImportError:
        model = None
        unigrams = None
        print("without kenlm: no language model")
    decoder = build_ctcdecoder(labels, model, unigrams, alpha=0.5, beta=1.5)
    return lambda one: decoder.decode(one, beam_width=BEAM)


def flashlight(folder: Path) -> Any:
    """Return the function that decodes with flashlight's lexicon decoder."""
    from flashlight.lib.text import decoder as fl
    from flashlight.lib.text.dictionary import Dictionary

    listed = sorted(set((folder / "words.txt").read_text().split()))
    words = Dictionary([*listed, "<unk>"])
    lm = fl.KenLM(str(folder / "lm.arpa"), words)
    trie = fl.Trie(32, 0)
    start = lm.start(False)
    for word in listed:
        index = words.get_index(word)
        _, score = lm.score(start, index)
        trie.insert([LETTERS.index(one) for one in word] + [0], index, score)
    trie.smear(fl.SmearingMode.MAX)
    options = fl.LexiconDecoderOptions(
        beam_size=50, beam_size_token=32, beam_threshold=25, lm_weight=0.5 * np.log(10),
        word_score=1.5, unk_score=-np.inf, sil_score=0.0, log_add=True,
        criterion_type=fl.CriterionType.CTC,
    )  # fmt: skip
    decoder = fl.LexiconDecoder(options, trie, lm, 0, 28, words.get_index("<unk>"), [], False)

    def decode(one: np.ndarray) -> str:
        rows = np.ascontiguousarray(one)
        best = decoder.decode(rows.ctypes.data, *rows.shape)[0]
        return " ".join(words.get_entry(index) for index in best.words if index >= 0)

    return decode


def main() -> None:
    """Draw the data, time one engine, or compare the texts of all."""
    engine, folder = sys.argv[1], Path(sys.argv[2])
    if engine == "draw":
        draw(folder)
        return
    stored = np.load(folder / "emissions.npz")
    emissions = [stored[f"e{index}"] for index in range(len(stored.files))]
    if engine == "compare":
        compare(folder, emissions)
        return
    decode = {"ours": ours, "pyctcdecode": pyctcdecode, "flashlight": flashlight}[engine](folder)
    decode(emissions[0])
    audio_s = sum(map(len, emissions)) * 0.02
    costs = []
    for _ in range(RUNS):
        started = time.process_time()
        texts = [decode(one) for one in emissions]
        costs.append(1000 * (time.process_time() - started) / audio_s)
    (folder / f"texts-{engine}.txt").write_text("".join(f"{text}\n" for text in texts))
    print(f"{engine}: {statistics.median(costs):.2f} ms of CPU for each second of audio", costs)


if __name__ == "__main__":
    main()
