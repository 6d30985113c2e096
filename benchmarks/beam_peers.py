"""Emissions of a base-sized vocabulary with confusable letters, and their beam search timed.

    python benchmarks/beam_peers.py draw DIR                 # emissions, text, and an ARPA file
    python benchmarks/beam_peers.py ours DIR [--python]      # this package
    VENV/bin/python benchmarks/beam_peers.py pyctcdecode DIR # needs pyctcdecode 0.5, numpy 1, kenlm
    VENV/bin/python benchmarks/beam_peers.py flashlight DIR  # needs flashlight-text

Prints CPU milliseconds for each second of audio, and the word error rate. Peers are run in virtual
environments of their own.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np

LETTERS = "|abcdefghijklmnopqrstuvwxyz'"
UTTERANCES, BEAM = 40, 100


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


def ours(emissions: list, folder: Path) -> object:
    """Return the function that decodes with this package."""
    from gaudi_asr_cli.core.decoding import fast_search, make_decoder
    from gaudi_asr_cli.core.decoding.prefix_search import search_prefixes
    from gaudi_asr_cli.core.records import AudioSpan, Emissions, Utterance, Vocabulary

    names = (*LETTERS, "_", "<s>", "</s>", "<unk>")
    vocabulary = Vocabulary(names, 28, 0, 31, frozenset({28, 29, 30, 31}))
    if "--python" in sys.argv:
        from gaudi_asr_cli.core.decoding import beam

        beam.choose_search = lambda: search_prefixes
    assert fast_search is not None
    decoder = make_decoder(
        "beam", vocabulary, lm=str(folder / "lm.arpa"), beam_size=BEAM, untimed=True
    )
    clip = Utterance("u", AudioSpan(Path("u.wav")))

    def decode(one: np.ndarray) -> str:
        return decoder.decode(Emissions(one[None], np.array([len(one)]), 0.02), 0, clip).text

    return decode


def pyctcdecode(emissions: list, folder: Path) -> object:
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


def flashlight(emissions: list, folder: Path) -> object:
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
    """Draw the data, or time one engine."""
    engine, folder = sys.argv[1], Path(sys.argv[2])
    if engine == "draw":
        draw(folder)
        return
    stored = np.load(folder / "emissions.npz")
    emissions = [stored[f"e{index}"] for index in range(len(stored.files))]
    decode = {"ours": ours, "pyctcdecode": pyctcdecode, "flashlight": flashlight}[engine](
        emissions, folder
    )
    decode(emissions[0])
    references = (folder / "text.txt").read_text().splitlines()
    started = time.process_time()
    texts = [decode(one) for one in emissions]
    seconds = time.process_time() - started
    audio_s = sum(map(len, emissions)) * 0.02
    wrong = sum(
        a != b
        for text, reference in zip(texts, references, strict=True)
        for a, b in zip([*text.split(), *[""] * 99], reference.split(), strict=False)
    )
    words = sum(len(one.split()) for one in references)
    print(
        f"{engine}: {1000 * seconds / audio_s:.2f} ms/s, words wrong by place {wrong / words:.3f}"
    )


if __name__ == "__main__":
    main()
