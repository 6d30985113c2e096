"""Mutated vocabularies: vocab.json, tokenizer_config.json and the files next to them."""

from __future__ import annotations

import random
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from fuzzing import main, mutate

from gaudi_asr_cli.core.text.vocabulary import (
    build_vocabulary,
    encode,
    read_vocabulary,
    vocabulary_hash,
    write_tokenizer_files,
)


@cache
def whole_files() -> dict[str, str]:
    """Return the files that `vocab` writes for a few letters."""
    with TemporaryDirectory() as scratch:
        out = Path(scratch) / "v"
        write_tokenizer_files(build_vocabulary({"a": 3, "b": 2, "é": 1, "'": 1}), out)
        return {p.name: p.read_text(encoding="utf-8") for p in sorted(out.iterdir())}


def case(rng: random.Random, folder: Path) -> None:
    """Read a vocabulary in which one or two files are mutated, and encode with it."""
    files = whole_files()
    mutated = rng.sample(list(files), rng.choice((1, 1, 2)))
    for name, text in files.items():
        data = mutate(rng, text) if name in mutated else text.encode()
        if not (name in mutated and rng.random() < 0.05):
            (folder / name).write_bytes(data)
    vocabulary = read_vocabulary(folder)
    vocabulary_hash(vocabulary)
    encode(vocabulary, "ab é a")


if __name__ == "__main__":
    main(case)
