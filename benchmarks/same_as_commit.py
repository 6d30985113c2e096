"""Compare what the commands give with what they gave at an older commit.

    python benchmarks/same_as_commit.py 95bbfb8 [--model WHISPER_FOLDER] [--help-times]

Checks the commit out into a temporary worktree and runs each command in both trees with this
Python: texts, word times, scores, losses of training, final weights, and the keys of every JSON
result must be equal but for sentences, places, and the changes that `DECLARED` names; numbers that
measure time or memory only have to be there. Old run folders, killed ones too, and saved benches
must be read. Prints what differs; the exit code is then 1. With
`--help-times` the CPU seconds of every `--help` are compared too (interleaved, median of seven).
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
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent.parent
MEASURED = (
    *("_s", "_mb", "rtfx", "per_ms", "ms_per", "latency", "speed", "version", "percent", "hash"),
    *("wall", "seconds", "audio_s_per_s", "utterances_per_s", "run", "model", "environment"),
    *("rtf", "spread", "phases"),
)
"""Parts of the keys whose values depend on the moment, the folder or the machine."""
PLACES = ("start_s", "end_s", "duration_s", "audio_s")
"""Seconds in the audio: these are compared."""
PROSE = (
    *("about", "detail", "remedy", "message", "note", "requires", "path", "license", "title"),
    *("status", "reason", "why"),
)
"""Keys whose values are sentences or places: the words changed on purpose, and are not compared."""
DECLARED = {
    "normalizer: 'basic/1', now 'basic/2'": "the default normaliser keeps marks of every script",
    "loss: None, now": "evaluation during training has a loss",
    ("infer, Whisper.0.words", "_s: "): "words of a Whisper are timed by its alignment heads",
    ("infer, Whisper.0.words", "confidence: None, now"): "words of a Whisper have a confidence",
    ("infer, Whisper.0.words", "word: 'country.', now 'country'"): "windows are filled with zeros",
    ("infer, Whisper.0.text", "country.', now"): "windows are filled with zeros",
}
"""Differences that the changelog declares, by parts of their lines."""
COMMANDS = (
    *("infer", "eval-ctc", "eval-seq2seq", "finetune-ctc", "finetune-seq2seq", "create-seq2seq"),
    *("bench", "check", "vocab", "recipes", "results", "doctor", "import-command"),
)


def is_declared(line: str, parts: str | tuple[str, ...]) -> bool:
    """Return whether the line of a difference has all these parts."""
    return all(one in line for one in ([parts] if isinstance(parts, str) else parts))


def run(tree: Path, folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run a command of one tree, in `folder`."""
    environment = {**os.environ, "PYTHONPATH": str(tree), "HF_HUB_OFFLINE": "1", "COLUMNS": "100"}
    return subprocess.run(
        [sys.executable, "-m", "gaudi_asr_cli", *words],
        cwd=folder, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip


def compile_sources(tree: Path) -> None:
    """Write the bytecode of a tree, as an installer does, so that neither compiles at start."""
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": ""}
    words = ("-m", "compileall", "-q", str(tree / "gaudi_asr_cli"))
    subprocess.run([sys.executable, *words], env=environment, check=True)


def results(done: subprocess.CompletedProcess[str]) -> list[Any]:
    """Return the JSON lines of a command, or its failure."""
    if done.returncode not in (0, 4):
        return [{"exit": done.returncode, "stderr": done.stderr[-2000:]}]
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


def differences(old: Any, new: Any, path: str = "") -> Iterator[str]:
    """Yield where two JSON values differ; measured numbers only have to be there."""
    old, new = by_kind(old), by_kind(new)
    if isinstance(old, dict) and isinstance(new, dict):
        yield from (f"{path}.{missing}: gone" for missing in old.keys() - new.keys())
        for name in sorted(old.keys() & new.keys()):
            yield from differences(old[name], new[name], f"{path}.{name}")
    elif isinstance(old, list) and isinstance(new, list):
        if len(old) != len(new):
            yield f"{path}: {len(old)} entries, now {len(new)}"
        for number, (one, other) in enumerate(zip(old, new, strict=False)):
            yield from differences(one, other, f"{path}.{number}")
    elif not is_measured(path) and not is_equal(old, new):
        yield f"{path}: {old!r}, now {new!r}"


def by_kind(value: Any) -> Any:
    """Turn a list of findings into an object by their kinds, so that a new kind is an addition."""
    kinds = (
        [one.get("kind") for one in value if isinstance(one, dict)]
        if isinstance(value, list)
        else []
    )
    if kinds and None not in kinds and len(kinds) == len(value):
        return dict(zip(kinds, value, strict=True))
    return value


def is_measured(path: str) -> bool:
    """Return whether the value, or the object that holds it, depends on the moment or is prose."""
    *parents, key = [part for part in path.split(".") if not part.isdigit()]
    if key in PROSE or any(
        part in one for part in MEASURED for one in parents if one != "training"
    ):
        return True
    return any(part in key for part in MEASURED) and key not in PLACES


def is_equal(old: Any, new: Any) -> bool:
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
    """Train the demo for some steps in both trees: losses, weights, files."""
    found = []
    for name, tree in zip(("old", "new"), trees, strict=True):
        words = ("finetune-ctc", "--max-steps", "30", "--run", name, "--json", "--quiet")
        more = ("--set", "evaluation.log_every=5", "--set", "evaluation.save_every=10")
        done = run(tree, folder, *words, *more)
        if done.returncode:
            yield f"training, {name}: exit {done.returncode}: {done.stderr[-500:]}"
            return
        place = folder / name
        files = {str(p.relative_to(place)): True for p in place.rglob("*") if p.is_file()}
        found.append((hash_weights(place / "model"), losses(place), results(done), files))
    (old_hash, *old), (new_hash, *new) = found
    if old_hash != new_hash:
        yield "training: the final weights differ"
    yield from differences(old, new, "training")


def compare_commands(trees: tuple[Path, Path], folder: Path, whisper: str | None) -> Iterator[str]:
    """Compare the JSON of the commands that only read."""
    model = ("--model", "demo")
    cases: dict[str, tuple[str, ...]] = {
        "check": ("check", "demo#dev", *model, "--json"),
        "eval-ctc": ("eval-ctc", *model, "--data", "demo#dev", "--normalizer", "none", "--json"),
        "bench": ("bench", *model, "--limit", "6", "--buckets", "2", "--repeat", "1", "--json"),
        "recipes": ("recipes", "--json"),
        "doctor": ("doctor", "--json"),
        "import-command": ("import-command", "python wav2vec.py --buckets 5 -a", "--json"),
    }
    if whisper is not None:
        clips = [str(one) for one in sorted((HERE.parent / "shared/data/snippets").glob("*.flac"))]
        clips = clips or [str(one) for one in sorted((HERE.parent / "shared/data").rglob("*.wav"))]
        cases["infer, Whisper"] = ("infer", *clips[:6], "--model", whisper, "--json")
        cases["infer, demo"] = ("infer", *clips[:6], "--model", "demo", "--json")
    for name, words in cases.items():
        old, new = (results(run(tree, folder, *words)) for tree in trees)
        yield from differences(old, new, name)
        print(f"{name}: {len(old)} JSON lines", file=sys.stderr)


def compare_old_files(trees: tuple[Path, Path], folder: Path) -> Iterator[str]:
    """Read what the older commit wrote: a killed run, a finished one, a saved benchmark."""
    old, new = trees
    place = folder / "runs"
    words = ("finetune-ctc", "--max-steps", "30", "--json", "--quiet")
    more = ("--set", "evaluation.log_every=5", "--set", "evaluation.save_every=10")
    run(old, folder, *words, *more, "--run", str(place / "whole"))
    kill_at_checkpoint(old, folder, (*words, *more, "--run", str(place / "killed")))
    resumed = run(new, folder, "finetune-ctc", "--resume", "--run", str(place / "killed"), "--json")
    if resumed.returncode:
        yield f"a run of the older commit is not resumed: {resumed.stderr[-500:]}"
    elif hash_weights(place / "killed/model") != hash_weights(place / "whole/model"):
        yield "a run of the older commit, resumed, has other weights"
    saved = place / "bench.json"
    bench = ("bench", "--model", "demo", "--limit", "3", "--repeat", "1", "--save", str(saved))
    run(old, folder, *bench)
    for reading in (
        ("results", str(place), "--json"),
        ("bench", "--compare", str(saved), "--json"),
    ):
        done = run(new, folder, *reading)
        if done.returncode or not results(done):
            yield f"{' '.join(reading)}: exit {done.returncode}: {done.stderr[-500:]}"
    evaluated = [
        results(run(tree, folder, "eval-ctc", "--model", str(place / "whole"), "--data", "demo#dev",
                    "--normalizer", "none", "--json"))
        for tree in trees
    ]  # fmt: skip
    yield from differences(*evaluated, "eval-ctc of an old run")


def kill_at_checkpoint(tree: Path, folder: Path, words: tuple[str, ...]) -> None:
    """Kill a training run as soon as its first checkpoint is complete."""
    place = Path(words[-1])
    environment = {**os.environ, "PYTHONPATH": str(tree), "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, "-m", "gaudi_asr_cli", *words]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command, cwd=folder, env=environment, **quiet) as process:
        events = place / "events.jsonl"
        while process.poll() is None:
            if events.is_file() and '"CheckpointSaved"' in events.read_text():
                process.kill()
            time.sleep(0.05)


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
            for one in trees:
                compile_sources(one)
            found = [
                *compare_commands(trees, folder, given.model),
                *compare_training(trees, folder),
                *compare_old_files(trees, folder),
                *(help_times(trees, folder) if given.help_times else ()),
            ]
        finally:
            subprocess.run([*git, "remove", "--force", str(tree)], check=True)
    declared = [line for line in found if any(is_declared(line, one) for one in DECLARED)]
    others = [line for line in found if line not in declared]
    print(f"declared changes: {len(declared)}", *declared, sep="\n  ")
    print("\n".join(others) or "equal but for the declared changes")
    sys.exit(bool(others))


if __name__ == "__main__":
    main()
