"""A few seconds of synthetic audio with text, as a manifest: only enough to run training."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import soundfile

WORDS = ("one", "two", "three", "four", "see", "off")


def write_corpus(folder: Path, *, utterances: int = 12, seed: int = 0) -> Path:
    """Write wav files and `manifest.jsonl` into a folder; return the manifest's path."""
    folder.mkdir(parents=True, exist_ok=True)
    generator = np.random.default_rng(seed)
    lines = []
    for number in range(utterances):
        words = generator.choice(WORDS, size=1 + number % 3)
        duration_s = round(0.5 * len(words) + 0.1 * (number % 4), 4)
        time_s = np.arange(int(duration_s * 16_000)) / 16_000
        tone = 0.3 * np.sin(2 * np.pi * (200 + 50 * number) * time_s)
        noisy = tone + 0.01 * generator.standard_normal(len(time_s))
        soundfile.write(folder / f"u{number:02d}.wav", noisy, 16_000, subtype="PCM_16")
        lines.append(
            {
                "audio_filepath": f"u{number:02d}.wav",
                "duration": duration_s,
                "text": " ".join(words),
                "speaker": f"s{number % 2}",
            }
        )
    manifest = folder / "manifest.jsonl"
    manifest.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return manifest
