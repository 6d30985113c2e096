"""Compare the results of the commands with those of an older commit.

    python benchmarks/same_as_commit.py 95bbfb8 [--model WHISPER_FOLDER] [--help-times]

The commit is checked out into a temporary worktree, and each command runs in both trees with this
Python. Texts, word times, scores, training losses, final weights and the keys of every JSON result
must be equal; numbers that measure time or memory only have to be present. Differences are printed,
and the exit code is then 1. With `--help-times` the CPU seconds of every `--help` are compared too
(interleaved, median of seven).
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import os
import resource
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent.parent
MEASURED = (
    *("_s", "_mb", "rtfx", "per_ms", "ms_per", "latency", "speed", "version", "percent", "hash"),
    *("wall", "seconds", "audio_s_per_s", "utterances_per_s", "run", "model", "environment"),
)
"""Parts of keys whose values depend on the time, the folder or the machine."""
COMMANDS = (
    *("infer", "eval-ctc", "eval-seq2seq", "finetune-ctc", "finetune-seq2seq", "create-seq2seq"),
    *("bench", "check", "vocab", "recipes", "results", "doctor", "import-command"),
)


def run(tree: Path, folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run a command of one tree, in `folder`."""
    environment = {**os.environ, "PYTHONPATH": str(tree), "HF_HUB_OFFLINE": "1", "COLUMNS": "100"}
    return subprocess.run(
        [sys.executable, "-m", "gaudi_asr_cli", *words],
        cwd=folder, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip


def results(done: subprocess.CompletedProcess[str]) -> list[Any]:
    """Return the JSON lines of a command, or its failure."""
    if done.returncode not in (0, 4):
        return [{"exit": done.returncode, "stderr": done.stderr[-2000:]}]
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


def differences(old: Any, new: Any, path: str = "") -> Iterator[str]:
    """Yield where two JSON values differ; measured numbers only have to be of the same kind."""
    if isinstance(old, dict) and isinstance(new, dict):
        for missing in old.keys() - new.keys():
            yield f"{path}.{missing}: gone"
        for name in sorted(old.keys() & new.keys()):
            yield from differences(old[name], new[name], f"{path}.{name}")
    elif isinstance(old, list) and isinstance(new, list):
        if len(old) != len(new):
            yield f"{path}: {len(old)} entries, now {len(new)}"
        for number, (one, other) in enumerate(zip(old, new, strict=False)):
            yield from differences(one, other, f"{path}.{number}")
    elif not is_measured(path.rpartition(".")[2]) and not are_equal(old, new):
        yield f"{path}: {old!r}, now {new!r}"


def is_measured(key: str) -> bool:
    """Return whether the value of a key depends on the time, the folder or the machine."""
    return any(part in key for part in MEASURED) and key not in ("duration_s", "audio_s")


def are_equal(old: Any, new: Any) -> bool:
    """Return whether two scalars are equal; floats up to a relative 1e-6."""
    if isinstance(old, float) and isinstance(new, float):
        return math.isclose(old, new, rel_tol=1e-6, abs_tol=1e-6)
    return bool(old == new)


def hash_weights(model: Path) -> str:
    return hashlib.sha256((model / "model.safetensors").read_bytes()).hexdigest()


def losses(run_folder: Path) -> list[Any]:
    events = [json.loads(line) for line in (run_folder / "events.jsonl").read_text().splitlines()]
    return [
        {"event": one["event"], "step": one.get("step"), "loss": one.get("loss")}
        for one in events
        if one["event"] in ("StepLogged", "Evaluated", "CheckpointSaved")
    ]


def compare_training(trees: tuple[Path, Path], folder: Path) -> Iterator[str]:
    """Train the demo for 30 steps in both trees; compare losses, weights and files."""
    found = []
    for name, tree in zip(("old", "new"), trees, strict=True):
        words = ("finetune-ctc", "--max-steps", "30", "--run", name, "--json", "--quiet")
        more = ("--set", "evaluation.log_every=5", "--set", "evaluation.save_every=10")
        done = run(tree, folder, *words, *more)
        if done.returncode:
            yield f"training, {name}: exit {done.returncode}: {done.stderr[-500:]}"
            return
        root = folder / name
        files = sorted(str(p.relative_to(root)) for p in root.rglob("*") if p.is_file())
        found.append((hash_weights(root / "model"), losses(root), results(done), files))
    (old_hash, *old), (new_hash, *new) = found
    if old_hash != new_hash:
        yield "training: the final weights differ"
    yield from differences(old, new, "training")


def compare_commands(trees: tuple[Path, Path], folder: Path, whisper: str | None) -> Iterator[str]:
    """Compare the JSON of the commands that do not train."""
    cases: dict[str, tuple[str, ...]] = {
        "check": ("check", "demo#dev", "--model", "demo", "--json"),
        "eval-ctc": (
            *("eval-ctc", "--model", "demo", "--data", "demo#dev", "--json"),
            *("--normalizer", "none"),
        ),
        "bench": (
            *("bench", "--model", "demo", "--limit", "6", "--buckets", "2", "--repeat", "1"),
            "--json",
        ),
        "recipes": ("recipes", "--json"),
        "doctor": ("doctor", "--json"),
        "import-command": ("import-command", "python wav2vec.py --buckets 5 -a", "--json"),
    }  # fmt: skip
    if whisper is not None:
        clips = [str(one) for one in sorted((HERE.parent / "shared/data/snippets").glob("*.flac"))]
        clips = clips or [str(one) for one in sorted((HERE.parent / "shared/data").rglob("*.wav"))]
        cases["infer, Whisper"] = ("infer", *clips[:6], "--model", whisper, "--json")
        cases["infer, demo"] = ("infer", *clips[:6], "--model", "demo", "--json")
    for name, words in cases.items():
        old, new = (results(run(tree, folder, *words)) for tree in trees)
        yield from differences(old, new, name)
        print(f"{name}: {len(old)} JSON lines", file=sys.stderr)


def help_times(trees: tuple[Path, Path], folder: Path) -> Iterator[str]:
    """Print CPU seconds of each `--help` in both trees, interleaved, median of seven."""
    for command in COMMANDS:
        times: tuple[list[float], list[float]] = ([], [])
        for _ in range(7):
            for tree, seconds in zip(trees, times, strict=True):
                before = resource.getrusage(resource.RUSAGE_CHILDREN)
                run(tree, folder, command, "--help")
                after = resource.getrusage(resource.RUSAGE_CHILDREN)
                seconds.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
        old, new = map(statistics.median, times)
        print(f"{command} --help: {old:.3f} s, now {new:.3f} s, {new / old:.2f} x")
        if new > 1.05 * old:
            yield f"{command} --help takes {new / old:.2f} times as long"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("commit")
    parser.add_argument("--model", help="A Whisper checkpoint to compare too.")
    parser.add_argument("--help-times", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        tree = folder / "tree"
        git = ("git", "-C", str(HERE), "worktree")
        subprocess.run([*git, "add", "--detach", "-q", str(tree), given.commit], check=True)
        try:
            trees = (tree, HERE)
            found = [
                *compare_commands(trees, folder, given.model),
                *compare_training(trees, folder),
                *(help_times(trees, folder) if given.help_times else ()),
            ]
        finally:
            subprocess.run([*git, "remove", "--force", str(tree)], check=True)
    print("\n".join(found) or "equal")
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
