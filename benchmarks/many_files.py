"""Memory and speed of `infer --out-dir` over tens of thousands of tiny files.

python benchmarks/many_files.py --files 20000 [--folder DIR] [--cards N]

Prints, for each part of the job, files a second of wall time and of CPU time, and the memory of the
process (of the starting one, with several cards). The speed should be that of the first part.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import soundfile

JOURNAL = ".infer-journal.jsonl"
PARTS = 10
SAMPLES = 1600
POLL_S = 0.05


def write_files(folder: Path, files: int) -> None:
    """Write what is missing of so many recordings of 0.1 s, a thousand a folder."""
    rng = np.random.default_rng(0)
    for number in range(files):
        path = folder / f"{number // 1000:03d}" / f"{number % 1000:03d}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            soundfile.write(path, 0.1 * rng.standard_normal(SAMPLES), 16_000)


def read_usage(pid: int) -> tuple[float, float]:
    """Return the CPU seconds and the memory in MiB of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    cpu_s = sum(map(int, fields[11:13])) / os.sysconf("SC_CLK_TCK")
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return cpu_s, pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def count_lines(path: Path) -> int:
    """Return the number of inputs in a journal."""
    return max(path.read_bytes().count(b"\n") - 1, 0) if path.exists() else 0


def describe(first: tuple[float, ...], last: tuple[float, ...]) -> str:
    """Return a line on the files between two moments: files, wall and CPU seconds, memory."""
    files, wall_s, cpu_s, _ = (after - before for before, after in zip(first, last, strict=True))
    return (
        f"{last[0]:>7,} files: {files / wall_s:7.1f} a second, {files / cpu_s:7.1f} a CPU second, "
        f"{last[3]:6.1f} MiB"
    )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--files", type=int, default=20_000)
    parser.add_argument("--folder", type=Path, help="Recordings are kept there.")
    parser.add_argument("--cards", type=int, default=1)
    given = parser.parse_args()
    root = Path(tempfile.mkdtemp(prefix="gaudi-asr-many-"))
    inputs = given.folder or root / "in"
    write_files(inputs, given.files)
    folders = [str(inputs / f"{number:03d}") for number in range(-(-given.files // 1000))]
    words = ["--model", "demo", "--device", "cpu", "--cards", str(given.cards), "--quiet"]
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "gaudi_asr_cli",
            "infer",
            *folders,
            *words,
            "--out-dir",
            root / "out",
        ]
    )
    marks = [given.files * part // PARTS for part in range(PARTS + 1)]
    seen: list[tuple[int, float, float, float]] = []
    while process.poll() is None:
        done = count_lines(root / "out" / JOURNAL)
        if done > 0 and len(seen) < len(marks) and done >= marks[len(seen)]:
            seen.append((done, time.monotonic(), *read_usage(process.pid)))
            if len(seen) > 1:
                print(describe(*seen[-2:]), flush=True)
        time.sleep(POLL_S)
    written = sum(1 for _ in (root / "out").rglob("*.txt"))
    print(f"exit code {process.returncode}, {written:,} transcripts of {given.files:,}")
    shutil.rmtree(root)


if __name__ == "__main__":
    main()
