"""Throughput of `infer --cards 2` on a CPU against the best run of one process, in turns.

    python benchmarks/several_devices.py --model demo --audio FOLDER [--files 1200] [--runs 3]

Runs the whole command on the first files of a folder: one process with the threads it chooses, one
process with one thread, and two devices. A run of two files is the start-up, in which torch and the
model are loaded. Prints wall and CPU seconds, RTFx with and without start-up, and whether all texts
are equal. `--device hpu` with the stand-in on PYTHONPATH compares devices instead.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import soundfile

WAYS = {
    "one process": ([], {}),
    "one process, one thread": ([], {"OMP_NUM_THREADS": "1"}),
    "--cards 2": (["--cards", "2"], {}),
}


@dataclass(frozen=True)
class Run:
    """The seconds of one command, and what it printed."""

    wall_s: float
    cpu_s: float
    text: str
    shares: str


def run_infer(listed: Path, words: list[str], variables: dict[str, str]) -> Run:
    """Run `infer` on a list of files."""
    env = {name: one for name, one in os.environ.items() if name != "OMP_NUM_THREADS"}
    command = [sys.executable, "-m", "gaudi_asr_cli", "infer", "--files-from", str(listed)]
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(
        [*command, *words], env={**env, **variables}, capture_output=True, text=True, check=True
    )
    wall_s = time.perf_counter() - started
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    shares = [line for line in done.stderr.splitlines() if "Audio by device" in line]
    return Run(wall_s, cpu_s, done.stdout, shares[-1] if shares else "")


def main() -> None:
    """Run all ways in turns, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="demo")
    parser.add_argument("--audio", type=Path, required=True)
    parser.add_argument("--files", type=int, default=1200)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="auto")
    asked = parser.parse_args()
    endings = {".wav", ".flac", ".mp3"}
    paths = sorted(one for one in asked.audio.rglob("*") if one.suffix in endings)[: asked.files]
    audio_s = sum(soundfile.info(one).duration for one in paths)
    words = ["--model", asked.model, "--device", asked.device, "--dtype", asked.dtype]
    with tempfile.TemporaryDirectory() as folder:
        lists = {}
        for name, some in (("all", paths), ("two", paths[:2])):
            lists[name] = Path(folder) / name
            lists[name].write_text("".join(f"{one.absolute()}\n" for one in some))
        starts = {way: [] for way in WAYS}
        runs = {way: [] for way in WAYS}
        for _ in range(asked.runs):
            for way, (more, variables) in WAYS.items():
                starts[way].append(run_infer(lists["two"], [*words, *more], variables))
                runs[way].append(run_infer(lists["all"], [*words, *more], variables))
    print(f"{len(paths)} files, {audio_s:.0f} s of audio; load {os.getloadavg()[0]:.1f}")
    print(
        "| way | wall s | CPU s | start-up: wall, CPU s | RTFx | without start-up |\n|" + "---|" * 6
    )
    rates = {}
    for way in WAYS:
        wall_s = statistics.median(one.wall_s for one in runs[way])
        cpu_s = statistics.median(one.cpu_s for one in runs[way])
        start_s = statistics.median(one.wall_s for one in starts[way])
        start_cpu_s = statistics.median(one.cpu_s for one in starts[way])
        rates[way] = audio_s / wall_s, audio_s / max(wall_s - start_s, 1e-3)
        print(
            f"| {way} | {wall_s:.2f} | {cpu_s:.2f} | {start_s:.2f}, {start_cpu_s:.2f} | "
            f"{rates[way][0]:.1f} | {rates[way][1]:.1f} |"
        )
    best = [max(rates[way][part] for way in list(WAYS)[:2]) for part in (0, 1)]
    shared = rates["--cards 2"]
    print(f"--cards 2 / best one process: {shared[0] / best[0]:.2f}, without start-up "
          f"{shared[1] / best[1]:.2f}")  # fmt: skip
    same = len({one.text for way in WAYS for one in runs[way]}) == 1
    print(f"texts {'equal' if same else 'differ'}; {runs['--cards 2'][-1].shares.strip()}")


if __name__ == "__main__":
    main()
