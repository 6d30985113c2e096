r"""Recall of rare words with hotwords, and their false insertions, on synthesised speech.

    python benchmarks/spoken_hotwords.py draw DIR
    gaudi-asr finetune-ctc --recipe digits --train DIR/train.jsonl --eval DIR/dev.jsonl \
        --run DIR/run --set network.mask_time_prob=0.05 \
        --set network.mask_feature_prob=0.05
    gaudi-asr lm DIR/train.txt --order 3 --out DIR/lm.arpa
    python benchmarks/spoken_hotwords.py score DIR

An invented language written as Italian is, so that letters follow from sounds: 1,500
words of two to four syllables, spoken by espeak-ng in noise. 20 further words stand in half of the
400 test sentences, and in no training text. Speakers of train, dev and test differ. Prints recall,
false insertions and the word error rate for weights of the hotwords.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import soundfile
import soxr
from hotwords import count_rare

from gaudi_asr_cli import score
from gaudi_asr_cli.core.data.espeak import ESPEAK_RATE_HZ, Espeak, open_espeak
from gaudi_asr_cli.core.data.layouts.manifest import read_manifest
from gaudi_asr_cli.core.data.layouts.options import ReadOptions
from gaudi_asr_cli.core.data.synthesis import (
    DEVELOPMENT_SPEAKERS,
    EVALUATION_SPEAKERS,
    TRAINING_SPEAKERS,
    Speakers,
)
from gaudi_asr_cli.core.devices import open_device
from gaudi_asr_cli.core.inference.options import InferenceOptions
from gaudi_asr_cli.core.inference.recognizer import open_recognizer
from gaudi_asr_cli.core.inference.transcribe import transcribe

WORDS, RARE = 1500, 20
SPLITS = (
    ("train", 3000, TRAINING_SPEAKERS),
    ("dev", 100, DEVELOPMENT_SPEAKERS),
    ("test", 400, EVALUATION_SPEAKERS),
)
NOISE = 10 ** (-46 / 20)
WEIGHTS = (0.0, 2.0, 4.0, 8.0, 12.0)


def draw_words(random: np.random.Generator, count: int) -> list[str]:
    """Draw different words of open syllables."""
    words: dict[str, None] = {}
    while len(words) < count:
        syllables = int(random.integers(2, 5))
        pairs = zip(
            random.choice(list("bdfglmnprstv"), syllables),
            random.choice(list("aeiou"), syllables),
            strict=True,
        )
        words["".join(map("".join, pairs))] = None
    return list(words)


def speak(espeak: Espeak, text: str, speakers: Speakers, random: np.random.Generator) -> np.ndarray:
    """Return noisy samples (T,) at 16 kHz of a text in an Italian voice."""
    speech = espeak.synthesise(
        text,
        voice=f"it+{random.choice(speakers.variants)}",
        rate_wpm=int(random.choice(speakers.rates_wpm)),
        pitch=int(random.choice(speakers.pitches)),
    )
    samples = np.pad(soxr.resample(speech, ESPEAK_RATE_HZ, 16_000), 2400)
    return np.clip(samples + random.standard_normal(len(samples)) * NOISE, -0.99, 0.99)


def draw(folder: Path) -> None:
    """Write the splits, the text of the training sentences, and the rare words."""
    random = np.random.default_rng(0)
    folder.mkdir(parents=True)
    drawn = draw_words(random, WORDS + RARE)
    words, rare = drawn[:WORDS], drawn[WORDS:]
    (folder / "rare.txt").write_text("\n".join(rare) + "\n")
    with open_espeak() as espeak:
        for name, utterances, speakers in SPLITS:
            lines, texts = [], []
            for index in range(utterances):
                sentence = list(random.choice(words, int(random.integers(2, 6))))
                if name == "test" and index % 2 == 0:
                    sentence.insert(int(random.integers(len(sentence) + 1)), rare[index // 2 % 20])
                text = " ".join(sentence)
                samples = speak(espeak, text, speakers, random)
                path = f"{name}-{index:04}.wav"
                soundfile.write(folder / path, samples, 16_000)
                line = {"audio_filepath": path, "duration": len(samples) / 16_000, "text": text}
                lines.append(json.dumps(line))
                texts.append(text)
            (folder / f"{name}.jsonl").write_text("\n".join(lines) + "\n")
            (folder / f"{name}.txt").write_text("\n".join(texts) + "\n")


def print_recall(folder: Path) -> None:
    """Transcribe the test split with each weight, and print the table."""
    utterances = list(read_manifest(folder / "test.jsonl", ReadOptions()))
    references = [one.text or "" for one in utterances]
    rare = (folder / "rare.txt").read_text().split()
    device = open_device("cpu")
    print("| language model | hotword weight | recall of rare words | false insertions | WER |")
    print("|---|---|---|---|---|")
    for lm in (None, str(folder / "lm.arpa")):
        for weight in WEIGHTS:
            options = InferenceOptions(
                kind="ctc", timestamps="none", decoder="beam", lm=lm,
                hotwords=tuple(rare), hotword_weight=weight,
            )  # fmt: skip
            recognizer = open_recognizer(str(folder / "run"), device, options)
            done = list(transcribe(recognizer, utterances))
            texts = ["" if one.transcript is None else one.transcript.text for one in done]
            found, missed, inserted = count_rare(references, texts, rare)
            wer = score(references, texts, normalizer="none").wer
            shown = "no" if lm is None else "3-gram"
            print(
                f"| {shown} | {weight:g} | {found} of {found + missed} | {inserted} | {wer:.2%} |"
            )


def main() -> None:
    """Draw the data, or score the trained model on it."""
    task, folder = sys.argv[1], Path(sys.argv[2])
    {"draw": draw, "score": print_recall}[task](folder)


if __name__ == "__main__":
    main()
