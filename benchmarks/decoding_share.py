"""CPU time of beam search as a share of that of a base-sized network, on the same length of audio.

    python benchmarks/decoding_share.py DIR

DIR holds what `beam_peers.py draw DIR` wrote. The emissions are decoded with the language model,
words timed; the network has the shape of wav2vec2-base and random weights, and computes noise of
the same lengths in the dtype of `infer`. Both in turns, three times.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from gaudi_asr_cli.core.benchmarking.shapes import SHAPES, open_random_model
from gaudi_asr_cli.core.decoding import make_decoder
from gaudi_asr_cli.core.devices import open_device
from gaudi_asr_cli.core.inference.options import InferenceOptions
from gaudi_asr_cli.core.records import AudioSpan, Emissions, Utterance, Vocabulary
from gaudi_asr_cli.core.runtime import configure

LETTERS = "|abcdefghijklmnopqrstuvwxyz'"
VOCABULARY = Vocabulary(
    (*LETTERS, "_", "<s>", "</s>", "<unk>"), 28, 0, 31, frozenset({28, 29, 30, 31})
)
CLIP = Utterance("u", AudioSpan(Path("u.wav")))
RUNS = 3


def cpu_s(work: Callable[[], object]) -> float:
    """Return the CPU seconds of all threads that some work takes."""
    started = time.process_time()
    work()
    return time.process_time() - started


def main() -> None:
    """Measure and print."""
    folder = Path(sys.argv[1])
    stored = np.load(folder / "emissions.npz")
    emissions = [stored[name] for name in stored.files]
    audio_s = sum(map(len, emissions)) * 0.02
    device = open_device("cpu")
    configure(device)
    recognizer = open_random_model(SHAPES["wav2vec2-base"], device, InferenceOptions(), seed=0)
    random = np.random.default_rng(0)
    clips = [(0.1 * random.standard_normal(len(one) * 320)).astype("f4") for one in emissions]

    def decode_all(beam_size: int) -> Callable[[], object]:
        lm = str(folder / "lm.arpa")
        decoder = make_decoder("beam", VOCABULARY, lm=lm, beam_size=beam_size)
        parts = [Emissions(one[None], np.array([len(one)]), 0.02) for one in emissions]
        decoder.decode(parts[0], 0, CLIP)
        return lambda: [decoder.decode(one, 0, CLIP) for one in parts]

    recognizer.infer(clips[0], CLIP)
    works = {
        f"wav2vec2-base, {recognizer.dtype}": lambda: [
            recognizer.infer(one, CLIP) for one in clips
        ],
        "greedy": None,
        "beam 50": decode_all(50),
        "beam 100": decode_all(100),
    }
    greedy = make_decoder("greedy", VOCABULARY)
    works["greedy"] = lambda: [
        greedy.decode(Emissions(one[None], np.array([len(one)]), 0.02), 0, CLIP)
        for one in emissions
    ]
    costs: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(RUNS):
        for name, work in works.items():
            costs[name].append(cpu_s(work))
    network_s = statistics.median(next(iter(costs.values())))
    print(f"| {audio_s:.0f} s of audio | CPU ms / s | of the network |\n|---|---|---|")
    for name, seconds in costs.items():
        median_s = statistics.median(seconds)
        print(f"| {name} | {1000 * median_s / audio_s:.2f} | {median_s / network_s:.1%} |")


if __name__ == "__main__":
    main()
