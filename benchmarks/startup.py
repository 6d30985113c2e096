"""Measure the start to the text of one file, against an older commit.

    OMP_NUM_THREADS=1 python benchmarks/startup.py OLD_TREE AUDIO [--whisper FOLDER] [--pairs 7]

OLD_TREE is a checkout of the older commit with its own `.venv`. Runs `infer AUDIO` of both trees in
turns for the demo model, for a folder of the size of wav2vec 2.0 base (random weights, made here)
and for a Whisper, with compiled bytecode. Prints the median CPU seconds (user and system) of the
whole process, the wall seconds, and the peak memory. The exit code is 1 if texts differ.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

NEW_TREE = Path(__file__).resolve().parent.parent
LETTERS = "abcdefghijklmnopqrstuvwxyz"
UNITS = ("CPU s", "wall s", "MiB")
TARGETS = {"demo": 0.45, "base": 0.65, "whisper": 0.8}
"""Largest share of the older commit's CPU seconds."""


@dataclass(frozen=True, slots=True)
class Run:
    """A process: its CPU and wall seconds, peak memory in MiB, and text."""

    cpu_s: float
    wall_s: float
    peak_mb: float
    text: str


def run_infer(tree: Path, audio: Path, model: str) -> Run:
    """Transcribe the audio with a tree's own Python."""
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    command = [str(tree / ".venv/bin/gaudi-asr"), "infer", str(audio), "--model", model, "--quiet"]
    started = time.perf_counter()
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(command, stdout=output, cwd=tree, env=environment)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        wall_s = time.perf_counter() - started
        output.seek(0)
        text = output.read().decode()
    if process.returncode:
        sys.exit(f"{' '.join(command)} failed with exit code {process.returncode}.")
    return Run(usage.ru_utime + usage.ru_stime, wall_s, usage.ru_maxrss / 1024, text)


def save_base(folder: Path) -> None:
    """Save a CTC model of the size of wav2vec 2.0 base with random weights.

    Only ever in a process of its own: a child's peak memory starts at that of its parent.
    """
    import torch
    import transformers

    from gaudi_asr_cli.core.text.vocabulary import (
        build_vocabulary,
        write_processor_files,
        write_tokenizer_files,
    )

    vocabulary = build_vocabulary(dict.fromkeys(LETTERS, 1))
    torch.manual_seed(0)
    config = transformers.Wav2Vec2Config(
        vocab_size=len(vocabulary.tokens), pad_token_id=vocabulary.blank
    )
    network = transformers.Wav2Vec2ForCTC(config)
    # Large weights, so that frames differ clearly and are not all blank.
    network.lm_head.weight.data.normal_(std=1.0)
    network.save_pretrained(folder)
    write_tokenizer_files(vocabulary, folder)
    write_processor_files(folder, return_attention_mask=False)


def compile_bytecode(tree: Path) -> None:
    """Compile the package, which imports would otherwise do in the first run."""
    python = str(tree / ".venv/bin/python")
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": ""}
    subprocess.run(
        [python, "-m", "compileall", "-q", str(tree / "gaudi_asr_cli")], env=environment, check=True
    )


def compare(title: str, pairs: list[tuple[Run, Run]]) -> bool:
    """Print a row of the table; return whether texts and memory are as they were."""
    old, new = zip(*pairs, strict=True)
    old_cpu_s, new_cpu_s = (statistics.median(run.cpu_s for run in runs) for runs in (old, new))
    old_wall_s, new_wall_s = (statistics.median(run.wall_s for run in runs) for runs in (old, new))
    old_mb, new_mb = (statistics.median(run.peak_mb for run in runs) for runs in (old, new))
    ratio = statistics.median(after.cpu_s / before.cpu_s for before, after in pairs)
    same = all(before.text == after.text and before.text.strip() for before, after in pairs)
    print(
        f"| {title} | {old_cpu_s:.2f} | {new_cpu_s:.2f} = {ratio:.2f} x (at most {TARGETS[title]}) "
        f"| {old_wall_s:.2f} | {new_wall_s:.2f} | {old_mb:.0f} | {new_mb:.0f} "
        f"| {'same' if same else 'DIFFERENT'} |",
        flush=True,
    )
    return same and new_mb <= old_mb


def main() -> None:
    """Measure every model."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("old_tree", type=Path, nargs="?", default=NEW_TREE)
    parser.add_argument("audio", type=Path, nargs="?")
    parser.add_argument("--whisper", type=Path)
    parser.add_argument("--pairs", type=int, default=7)
    parser.add_argument("--models", nargs="+", choices=TARGETS, default=list(TARGETS))
    parser.add_argument("--save-base", type=Path, help="only save the model of base size here")
    options = parser.parse_args()
    if options.save_base is not None:
        save_base(options.save_base)
        return
    if options.audio is None:
        parser.error("name the tree of the older commit and an audio file")
    trees = (options.old_tree.resolve(), NEW_TREE)
    for tree in trees:
        compile_bytecode(tree)
    columns = ("model", *(f"{which} {unit}" for unit in UNITS for which in ("old", "new")), "text")
    print("|" + "|".join(columns) + "|", "|" + "---|" * len(columns), sep="\n", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        if "base" in options.models:
            subprocess.run([sys.executable, __file__, "--save-base", folder], check=True)
        models = {"demo": "demo", "base": folder}
        if options.whisper is not None:
            models["whisper"] = str(options.whisper.resolve())
        passed = [
            compare(
                title,
                [measure(trees, options.audio.resolve(), model) for _ in range(options.pairs)],
            )
            for title, model in models.items()
            if title in options.models
        ]
    sys.exit(0 if all(passed) else 1)


def measure(trees: tuple[Path, Path], audio: Path, model: str) -> tuple[Run, Run]:
    """Run the old tree, then the new one."""
    return run_infer(trees[0], audio, model), run_infer(trees[1], audio, model)


if __name__ == "__main__":
    main()
