"""Mutated Kaldi data directories."""

from __future__ import annotations

import random
from pathlib import Path

from corpora import put_audio, read_everything
from fuzzing import main, mutate

FILES = {
    "wav.scp": "r1 a.wav\nr2 wav/é.wav\n",
    "segments": "u1 r1 0.01 0.05\nu2 r1 0.05 -1\nu3 r2 0 0.1\n",
    "text": "u1 ONE TWO\nu2 DREI\nu3 \n",
    "utt2spk": "u1 s1\nu2 s1\nu3 s2\n",
    "reco2dur": "r1 0.1\nr2 0.1\n",
    "reco2file_and_channel": "r1 a A\nr2 b A\n",
}


def case(rng: random.Random, folder: Path) -> None:
    """Read a data directory in which one or two files are mutated."""
    put_audio(folder)
    files = dict(FILES)
    if rng.random() < 0.3:
        del files["segments"]
        files["text"] = "r1 ONE\nr2 ZWEI\n"
    if rng.random() < 0.7:
        del files["reco2file_and_channel"]
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")
    for name in rng.sample(list(files), rng.choice((1, 1, 2))):
        (folder / name).write_bytes(mutate(rng, files[name]))
    read_everything(folder)


if __name__ == "__main__":
    main(case)
