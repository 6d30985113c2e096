"""Mutated model folders, opened as `infer`, `check` and the evaluations do, both engines."""

from __future__ import annotations

import json
import os
import random
import resource
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from fuzzing import main, mutate
from helpers.tiny_models import make_batch, save_tiny_model
from helpers.tiny_seq2seq import save_tiny_seq2seq, save_tiny_whisper

from gaudi_asr_cli.core.devices import open_device
from gaudi_asr_cli.core.inference.options import InferenceOptions
from gaudi_asr_cli.core.inference.recognizer import batch_one, open_recognizer
from gaudi_asr_cli.core.models.folder import find_model
from gaudi_asr_cli.core.models.notes import notes_on
from gaudi_asr_cli.core.workflows.check.targets import find_target

MOST_MEMORY_KB = 1 << 20
VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 2, 3, 7, 10**7, 10**12, 10**40, 0.5, 1e300, "", "x", "16"),
    *([], {}, [0], [10**9], [None], {"a": 1}, "gelu", "wav2vec2", "whisper", "bert", [[1, None]]),
)
LINKS = ("/dev/zero", "/dev/null", "nowhere", "config.json", ".", "/")
EXTRA = (
    ("adapter_config.json", '{"base_model_name_or_path": "a/b", "peft_type": "LORA"}'),
    ("quantize_config.json", "{}"),
    ("added_tokens.json", '{"<s>": 99}'),
    ("model.safetensors.index.json", '{"weight_map": {"a": "model-00001-of-00002.safetensors"}}'),
    ("processor_config.json", '{"feature_extractor": {"sampling_rate": 8000}}'),
)
DEVICE = open_device("cpu")
BATCH = make_batch([4_000])


def write_templates(root: Path) -> list[Path]:
    """Write small models of several families."""
    save_tiny_model(root / "ctc")
    save_tiny_model(root / "mel", "wav2vec2-bert")
    save_tiny_whisper(root / "whisper")
    old = save_tiny_whisper(root / "old-whisper")
    (old / "generation_config.json").unlink()
    save_tiny_seq2seq(root / "joined", "speech-encoder-decoder")
    return sorted(root.iterdir())


# Here, not in the first case, which has a time limit.
_SCRATCH = tempfile.TemporaryDirectory(prefix="gaudi-asr-models-")
TEMPLATES = write_templates(Path(_SCRATCH.name))


def change_field(rng: random.Random, path: Path) -> None:
    """Set one field of a JSON file, nested ones too, to another value, or remove it."""
    content = json.loads(path.read_text())
    place = content
    while True:
        key = rng.choice(sorted(place)) if place else "x"
        inner = place.get(key)
        if not isinstance(inner, dict) or not inner or rng.random() < 0.3:
            break
        place = inner
    if rng.random() < 0.15:
        place.pop(key, None)
    elif isinstance(inner, list) and inner and rng.random() < 0.5:
        inner[rng.randrange(len(inner))] = rng.choice(VALUES)
    else:
        place[key] = rng.choice(VALUES)
    path.write_text(json.dumps(content))


def replace_file(rng: random.Random, path: Path) -> None:
    """Put something else in a file's place."""
    path.unlink()
    kind = rng.choice(("nothing", "empty", "folder", "pipe", "link", "link", "deep", "mark"))
    if kind == "empty":
        path.touch()
    elif kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "link":
        path.symlink_to(rng.choice(LINKS))
    elif kind == "deep":
        path.write_text('{"a": ' + "[" * 50_000 + "]" * 50_000 + "}")
    elif kind == "mark":
        path.write_text("\ufeff{}")


def damage(rng: random.Random, path: Path) -> None:
    """Change a field, bytes, or the kind of a file."""
    kind = rng.random()
    if kind < 0.55 and path.suffix == ".json":
        try:
            change_field(rng, path)
        except (ValueError, AttributeError, TypeError, RecursionError):
            replace_file(rng, path)
    elif kind < 0.85:
        path.write_bytes(mutate(rng, path.read_bytes().decode("utf-8", "surrogateescape")))
    else:
        replace_file(rng, path)


def open_and_transcribe(rng: random.Random, folder: Path) -> None:
    mode = rng.choice(("usual", "usual", "transformers"))
    options = InferenceOptions(mode=mode, dtype="fp32", max_tokens=None, language=None)
    recognizer = open_recognizer(str(folder), DEVICE, options)
    (utterance,) = BATCH.utterances
    output = recognizer.start(recognizer.prepare(batch_one(BATCH.samples[0], utterance))).wait()
    recognizer.decode(output, 0, utterance).text.encode("utf-8", "surrogateescape")


def case(rng: random.Random, folder: Path) -> None:
    """Damage a model folder in one to three places and open it."""
    model = Path(shutil.copytree(rng.choice(TEMPLATES), folder / "model"))
    files = sorted(path.name for path in model.iterdir())
    for _ in range(rng.choice((1, 1, 2, 3))):
        name = "config.json" if rng.random() < 0.4 else rng.choice(files)
        if (model / name).is_file() and not (model / name).is_symlink():
            damage(rng, model / name)
    if rng.random() < 0.05:
        name, text = rng.choice(EXTRA)
        (model / name).unlink(missing_ok=True) if (model / name).is_symlink() else None
        if not (model / name).exists():
            (model / name).write_text(text)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    try:
        if rng.random() < 0.3:
            find_target(str(model), None)
        list(notes_on(find_model(str(model), kind=None)))
        open_and_transcribe(rng, model)
    finally:
        used_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        assert used_kb < MOST_MEMORY_KB, f"{used_kb} kB"


if __name__ == "__main__":
    main(case)
