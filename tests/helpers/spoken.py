"""A few sentences in other languages, synthesised by espeak-ng, with a manifest."""

from __future__ import annotations

import json
from pathlib import Path

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
