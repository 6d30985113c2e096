"""Mutated manifests: JSON lines, and the metadata.jsonl of an audiofolder."""

from __future__ import annotations

import random
from pathlib import Path

from corpora import put_audio, read_everything
from fuzzing import main, mutate

LINES = (
    '{"audio_filepath": "a.wav", "duration": 0.1, "text": "one two", "speaker": "s"}\n'
    '{"audio_filepath": "wav/é.wav", "offset": 0.02, "end": 0.08, "text": "f\\u00fcnf", "id": 1}\n'
    '{"audio_filepath": "a.wav", "start_ms": 10, "duration_ms": 50, "text": "", "channel": null}\n'
    '{"audio": {"path": "a.wav", "start_time": 0.01}, "sentence": "x", "utt_id": "u-4"}\n'
)


def case(rng: random.Random, folder: Path) -> None:
    """Read a manifest of four lines, mutated."""
    put_audio(folder)
    audiofolder = rng.random() < 0.2
    text = LINES.replace("audio_filepath", "file_name") if audiofolder else LINES
    path = folder / ("metadata.jsonl" if audiofolder else "m.jsonl")
    path.write_bytes(mutate(rng, text))
    read_everything(folder if audiofolder else path)


if __name__ == "__main__":
    main(case)
