"""Write a structured language, spoken: dates, amounts and phone numbers as digits, in noise.

    python benchmarks/structured_language.py DIR [--seed N] [--noise-db DB]

DIR gets train.txt (20,000 sentences, disjoint draws) and dev.jsonl, test.jsonl with audio from
speakers of their own. The demo model recognises clean digits; the noise gives it work.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import soundfile
import soxr

from gaudi_asr_cli.core.data.espeak import ESPEAK_RATE_HZ, open_espeak
from gaudi_asr_cli.core.data.synthesis import (
    ACCENTS,
    DEVELOPMENT_SPEAKERS,
    DIGITS,
    EVALUATION_SPEAKERS,
)

TRAIN, DEV, TEST = 20_000, 150, 300
MONTH_DAYS = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
PREFIXES = ("0176", "0151", "0800", "0030", "0211")


def speak(number: str) -> str:
    """Return a number as words."""
    return " ".join(DIGITS[int(digit)] for digit in number)


def draw_sentence(random: np.random.Generator) -> str:
    """Draw a date (day, month, year), an amount of a few prices, or a phone number."""
    kind = random.integers(3)
    if kind == 0:
        month = int(random.integers(1, 13))
        day = int(random.integers(1, MONTH_DAYS[month - 1] + 1))
        year = int(random.integers(1990, 2027))
        return speak(f"{day:02}{month:02}{year}")
    if kind == 1:
        return speak(f"{random.integers(1, 50)}{random.choice(['99', '95', '50', '00'])}")
    return speak(f"{random.choice(PREFIXES)}{random.integers(100, 1000)}")


def main() -> None:
    """Write the set."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--noise-db", type=float, default=-30.0)
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True)
    random = np.random.default_rng([arguments.seed, 1])
    lines = (draw_sentence(random) + "\n" for _ in range(TRAIN))
    (arguments.folder / "train.txt").write_text("".join(lines))
    noise = 10 ** (arguments.noise_db / 20)
    splits = (("dev", DEV, DEVELOPMENT_SPEAKERS), ("test", TEST, EVALUATION_SPEAKERS))
    with open_espeak() as espeak:
        for number, (name, utterances, speakers) in enumerate(splits, 2):
            random = np.random.default_rng([arguments.seed, number])
            manifest = []
            for index in range(utterances):
                text = draw_sentence(random)
                speech = espeak.synthesise(
                    text,
                    voice=f"{random.choice(ACCENTS)}+{random.choice(speakers.variants)}",
                    rate_wpm=int(random.choice(speakers.rates_wpm)),
                    pitch=int(random.choice(speakers.pitches)),
                )
                samples = np.pad(soxr.resample(speech, ESPEAK_RATE_HZ, 16_000), 2400)
                loudness = np.sqrt(np.mean(samples**2))
                samples = samples + random.standard_normal(len(samples)) * noise * loudness / 0.1
                path = f"{name}-{index:04}.wav"
                soundfile.write(arguments.folder / path, np.clip(samples, -0.99, 0.99), 16_000)
                manifest.append(
                    json.dumps({
                        "audio_filepath": path, "duration": len(samples) / 16_000, "text": text,
                    })
                )  # fmt: skip
            (arguments.folder / f"{name}.jsonl").write_text("\n".join(manifest) + "\n")


if __name__ == "__main__":
    main()
