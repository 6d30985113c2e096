"""Small local replicas of data sets: their columns, splits and folders, with synthetic audio."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import soundfile

RATE_HZ = 16_000
TEXTS = {
    "english": ("ONE, TWO THREE", "DON'T GO", "FOUR SEE OFF"),
    "turkish": ("Merhaba dünya!", "Hava soğuk.", "Güzel bir gün."),
    "italian": ("Buongiorno a tutti.", "Come stai?", "Che bella giornata!"),
    "swedish": ("God morgon!", "Hur mår du?", "En vacker dag."),
    "german": ("guten morgen", "wie geht es dir", "ein schöner tag"),
    "hindi": ("नमस्ते दुनिया", "आप कैसे हैं?", "सुन्दर दिन।"),
}


def make_clip(number: int, *, form: str = "WAV", rate_hz: int = RATE_HZ) -> bytes:
    """Return one or two seconds of noise as an encoded file."""
    draw = np.random.default_rng(number)
    samples = 0.1 * draw.standard_normal(int(rate_hz * (1.2 + 0.3 * (number % 3))))
    file = io.BytesIO()
    soundfile.write(file, samples, rate_hz, format=form)
    return file.getvalue()


def write_librispeech(root: Path) -> Path:
    """Write the Parquet layout of openslr/librispeech_asr: config/split/NUMBER.parquet."""
    for split in ("train.100", "validation", "test"):
        rows = [
            {
                "file": f"1-2-{number:04}.flac",
                "audio": {"bytes": make_clip(number), "path": f"1-2-{number:04}.flac"},
                "text": text,
                "speaker_id": 1,
                "chapter_id": 2,
                "id": f"1-2-{number:04}",
            }
            for number, text in enumerate(TEXTS["english"])
        ]
        _write_parquet(root / "clean" / split / "0000.parquet", rows)
    return root


def write_multilingual_librispeech(root: Path) -> Path:
    """Write the layout of facebook/multilingual_librispeech: config/split-SHARD.parquet."""
    for split in ("train", "dev", "test", "9_hours", "1_hours"):
        rows = [
            {
                "audio": {"bytes": make_clip(number), "path": f"3-4-{number:06}.opus"},
                "original_path": "http://example.org/book.mp3",
                # Of the whole book, from which the audio was cut.
                "begin_time": 100.0,
                "end_time": 101.2 + 0.3 * number,
                "transcript": text,
                "audio_duration": 1.2 + 0.3 * number,
                "speaker_id": "3",
                "chapter_id": "4",
                "file": f"3-4-{number:06}.opus",
                "id": f"3-4-{number:06}",
            }
            for number, text in enumerate(TEXTS["german"])
        ]
        _write_parquet(root / "german" / f"{split}-00000-of-00001.parquet", rows)
    return root


def write_hub_common_voice(root: Path, language: str = "hindi") -> Path:
    """Write a Common Voice converted to Parquet, such as regisss/common_voice_11_0_hi."""
    for split in ("train", "validation", "test"):
        rows = [
            {
                "client_id": f"speaker-{number}",
                "path": f"common_voice_{number}.mp3",
                "audio": {"bytes": make_clip(number), "path": f"common_voice_{number}.mp3"},
                "sentence": text,
                "up_votes": 2,
                "down_votes": 0,
            }
            for number, text in enumerate(TEXTS[language])
        ]
        _write_parquet(root / "data" / f"{split}-00000-of-00001.parquet", rows)
    return root


def write_common_voice(root: Path, language: str) -> Path:
    """Write a release folder as downloaded: a TSV per split next to clips/ with mp3 files."""
    (root / "clips").mkdir(parents=True)
    head = ("client_id", "path", "sentence", "up_votes", "down_votes", "age", "gender", "accent")
    for position, split in enumerate(("train", "dev", "test", "validated")):
        with (root / f"{split}.tsv").open("w", encoding="utf-8", newline="") as file:
            lines = csv.writer(file, delimiter="\t", quoting=csv.QUOTE_NONE, quotechar=None)
            lines.writerow(head)
            for number, text in enumerate(TEXTS[language]):
                name = f"common_voice_{position}{number}.mp3"
                clip = make_clip(number, form="MP3", rate_hz=32_000)
                (root / "clips" / name).write_bytes(clip)
                lines.writerow((f"c{number}", name, text, 2, 0, "", "", ""))
    return root


def write_timit(root: Path) -> Path:
    """Write TIMIT (LDC93S1) as manifests; the path is that of the folder."""
    for part in ("TRAIN", "TEST"):
        (root / part).mkdir(parents=True)
        lines = []
        for number, text in enumerate(TEXTS["english"]):
            path = root / part / f"SA{number}.WAV"
            path.write_bytes(make_clip(number))
            lines.append(json.dumps({"audio_filepath": str(path), "text": text.capitalize()}))
        (root / f"{part}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return root


def _write_parquet(path: Path, rows: list[dict[str, object]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows), path)
