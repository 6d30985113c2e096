"""Kill `infer --out-dir` at random moments, resume it, and compare with an uninterrupted run.

python tests/helpers/interrupted_jobs.py --files 300 --kills 20 --seed 1 [--cards 2] [--audio DIR]

Runs are forks of this process, which has imported everything; with several cards the workers are
real processes. `--audio` is a folder of recordings to take instead of noise.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
import soundfile
from helpers.interrupted import await_end, find_processes, start

JOURNAL = ".infer-journal.jsonl"
POLL_S = 0.002
STARTUP_S = 1.5
TOLERANCE = 1e-3


@dataclass
class Job:
    """A folder of inputs and the command that transcribes them."""

    root: Path
    cards: int

    def words(self, out: Path, *more: str) -> list[str]:
        model = ["--model", "demo", "--device", "cpu", "--cards", str(self.cards)]
        return ["infer", str(self.root / "in"), *model, "--format", "json", "--format", "srt",
                "--out-dir", str(out), *more]  # fmt: skip

    def run(self, out: Path, *more: str) -> int:
        return await_end(start(self.words(out, *more), self.root / "log"))[0]


def write_inputs(folder: Path, files: int, audio: Path | None) -> None:
    """Write or link inputs in a tree, of names that collide without it."""
    recordings = [] if audio is None else sorted(audio.rglob("*.wav"))
    rng = np.random.default_rng(0)
    for number in range(files):
        path = folder / f"day{number % 7}" / f"{number // 7:04d}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        if recordings:
            path.symlink_to(recordings[number % len(recordings)].resolve())
        else:
            soundfile.write(path, 0.1 * rng.standard_normal(rng.integers(4000, 24_000)), 16_000)


def journal_of(out: Path) -> list[dict[str, Any]]:
    """Return the whole lines of the journal, without heads."""
    path = out / JOURNAL
    lines = path.read_bytes().split(b"\n")[:-1] if path.exists() else []
    return [one for line in lines if "input" in (one := json.loads(line))]


def kill_once(job: Job, out: Path, rng: random.Random, average: float) -> int:
    """Start or resume the job and kill it at a random moment; return how many it added."""
    before = len(journal_of(out))
    wanted = before + round(rng.uniform(0, 2 * average))
    pid = start(job.words(out, "--resume"), job.root / "log")
    moment = time.monotonic() + rng.uniform(0, STARTUP_S) if wanted == before else None
    while os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
        due = len(journal_of(out)) >= wanted if moment is None else time.monotonic() >= moment
        if due:
            time.sleep(rng.uniform(0, 0.03))
            os.kill(pid, signal.SIGKILL)
            break
        time.sleep(POLL_S)
    await_end(pid)
    until_s = time.monotonic() + 5
    while find_processes(out, pid) and time.monotonic() < until_s:
        time.sleep(POLL_S)
    return len(journal_of(out)) - before


def result_of(path: Path) -> tuple[Any, list[float]]:
    """Return what must be equal, and the confidences."""
    line = json.loads(path.read_text())
    confidences = [word.pop("confidence") for word in line["words"]]
    return line, confidences


def compare(whole: Path, out: Path) -> list[str]:
    """Return what differs between the folders of two runs."""
    names = {
        root: {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}
        for root in (whole, out)
    }
    wrong = [f"another set of files: {names[whole] ^ names[out]}"] * (names[whole] != names[out])
    for name in sorted(names[whole] & names[out]):
        if name.endswith(".srt") and (whole / name).read_bytes() != (out / name).read_bytes():
            wrong.append(f"{name} differs")
        if name.endswith(".json"):
            (one, sure), (other, surer) = result_of(whole / name), result_of(out / name)
            near = all(abs(a - b) <= TOLERANCE for a, b in zip(sure, surer, strict=True))
            wrong += [f"{name} differs"] * (one != other or not near)
    return wrong


def interrupt(job: Job, files: int, kills: int, seed: int) -> list[str]:
    """Run the job whole and interrupted; return what is wrong."""
    rng = random.Random(seed)
    whole, out = job.root / "whole", job.root / "out"
    if code := job.run(whole):
        return [f"the uninterrupted run ended with {code}"]
    inodes: dict[str, int] = {}
    wrong: list[str] = []
    added = []
    for _ in range(kills):
        added.append(kill_once(job, out, rng, files / (kills + 2)))
        for one in journal_of(out):
            inode = (out / f"{one['name']}.json").stat().st_ino
            if inodes.setdefault(one["name"], inode) != inode:
                wrong.append(f"{one['name']} was written again")
    left = files - len(journal_of(out))
    if code := job.run(out, "--resume"):
        wrong.append(f"the last run ended with {code}")
    counts = Counter(one["input"] for one in journal_of(out))
    wrong += [f"{name} is in the journal {n} times" for name, n in counts.items() if n != 1]
    wrong += [f"{len(counts)} inputs in the journal"] * (len(counts) != files)
    wrong += compare(whole, out)
    print(f"{files} files, killed {kills} times after {added} files, {left} left for the last run")
    return wrong


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--files", type=int, default=300)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--cards", type=int, default=1)
    parser.add_argument("--audio", type=Path)
    given = parser.parse_args()
    from gaudi_asr_cli.core.inference import recognizer  # noqa: F401 - once for all forks
    from gaudi_asr_cli.core.workflows import infer  # noqa: F401

    root = Path(tempfile.mkdtemp(prefix="gaudi-asr-jobs-"))
    write_inputs(root / "in", given.files, given.audio)
    wrong = interrupt(Job(root, given.cards), given.files, given.kills, given.seed)
    if wrong:
        print(*wrong, f"in {root}", sep="\n", file=sys.stderr)
        sys.exit(1)
    shutil.rmtree(root)
    print("equal")


if __name__ == "__main__":
    main()
