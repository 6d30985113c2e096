"""Sentences in other languages and numbers, synthesised by espeak-ng."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import soundfile

from gaudi_asr_cli.core.data.espeak import ESPEAK_RATE_HZ, open_espeak

SENTENCES = {
    "tr": ("Merhaba dünya!", "Hava bugün çok güzel.", "Üç çocuk okula gidiyor.", "Teşekkürler."),
    "it": ("Buongiorno a tutti.", "Il ragazzo mangia gli gnocchi.", "Che bella giornata!", "Sì."),
    "sv": ("God morgon!", "Sju sjuka sjuksköterskor.", "Hur mår du?", "En vacker dag."),
}


def speak_corpus(folder: Path, language: str) -> Path:
    """Write wav files and `manifest.jsonl` into a folder; return the path of the manifest."""
    folder.mkdir(parents=True)
    lines = []
    with open_espeak() as espeak:
        for number, text in enumerate(SENTENCES[language]):
            samples = espeak.synthesise(text, voice=language, rate_wpm=150, pitch=50)
            soundfile.write(folder / f"{number}.wav", samples, ESPEAK_RATE_HZ)
            lines.append(json.dumps({"audio_filepath": f"{number}.wav", "text": text}))
    manifest = folder / "manifest.jsonl"
    manifest.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return manifest


NUMBERS = ("four seven two", "nine one six", "three eight")


def speak_numbers(file: Path) -> Path:
    """Write a WAV file of three sequences of digits, each after a pause of 0.9 s."""
    silence = np.zeros(round(0.9 * ESPEAK_RATE_HZ), np.float32)
    parts = []
    with open_espeak() as espeak:
        for text in NUMBERS:
            spoken = espeak.synthesise(text, voice="en-us", rate_wpm=140, pitch=50)
            parts += [silence, spoken]
    soundfile.write(file, np.concatenate(parts), ESPEAK_RATE_HZ)
    return file
