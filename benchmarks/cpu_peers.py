"""CPU inference of CTC models compared with other engines, on the same clips, interleaved.

    pip install -e ".[peers]"
    OMP_NUM_THREADS=2 python benchmarks/cpu_peers.py --shapes base large --repeats 3

Models have random weights and clips are noise shaped like speech, because speed depends on neither;
"frames as fp32" only ranks precisions. In the first table all systems transcribe a clip before the
next clip, in rotating order, so that other load of the machine affects all systems equally. In the
second, each system in turn gets all clips at once and may transcribe them in parallel. A ratio is
that of the seconds of one repeat; the tables show the minimum, the median and the maximum. On a
shared machine, one thread and `--cpu-seconds` are more reliable than wall time.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import numpy as np
import torch
from machine import describe_machine, has_native_bf16
from numpy.typing import NDArray
from peers import (
    BASELINE,
    REFERENCE,
    SHAPES,
    Clip,
    Engine,
    draw_clips,
    list_openers,
    write_model,
)

from gaudi_asr_cli.core.records import SAMPLE_RATE_HZ


@dataclass
class System:
    """A system under test, its precision, and the seconds of each repeat."""

    name: str
    precision: str
    engine: Engine
    load_s: float
    repeat_s: list[float] = field(default_factory=list)
    all_repeat_s: list[float] = field(default_factory=list)
    frames: list[NDArray[np.int64] | None] = field(default_factory=list)


def open_systems(shape: str, folder: Path, threads: int, only: Sequence[str]) -> Iterator[System]:
    """Yield the systems that are installed and support the model; name the others."""
    always = (BASELINE, REFERENCE)
    for (name, precision), opener in list_openers(shape, threads).items():
        if only and name not in always and not any(part in name for part in only):
            continue
        started = time.perf_counter()
        try:
            engine = opener(folder)
        except Exception as error:  # noqa: BLE001 - a system that does not start is reported
            reason = str(error).partition("\n")[0]
            print(f"left out: {name} ({type(error).__name__}: {reason})", file=sys.stderr)
            continue
        yield System(name, precision, engine, time.perf_counter() - started)


def measure(
    systems: Sequence[System],
    clips: Sequence[Clip],
    repeats: int,
    clock: Callable[[], float],
) -> None:
    """Transcribe every clip with every system in every repeat; the first one only warms up."""
    for repeat in range(repeats + 1):
        for system in systems:
            system.repeat_s.append(0.0)
        for index, clip in enumerate(clips):
            turn = (index + repeat) % len(systems)
            for system in [*systems[turn:], *systems[:turn]]:
                started = clock()
                found = system.engine.transcribe_clips(clip)
                system.repeat_s[-1] += clock() - started
                if repeat == 0:
                    system.frames.append(found)
        took = ", ".join(f"{one.name} {one.repeat_s[-1]:.1f}" for one in systems)
        print(f"repeat {repeat} (s): {took}", file=sys.stderr, flush=True)
    for system in systems:
        del system.repeat_s[0]


def measure_all(
    systems: Sequence[System],
    clips: Sequence[Clip],
    repeats: int,
    clock: Callable[[], float],
) -> None:
    """Transcribe all clips at once with each system in turn."""
    for repeat in range(repeats + 1):
        turn = repeat % len(systems)
        for system in [*systems[turn:], *systems[:turn]]:
            started = clock()
            system.engine.transcribe_all(clips)
            system.all_repeat_s.append(clock() - started)
        took = ", ".join(f"{one.name} {one.all_repeat_s[-1]:.1f}" for one in systems)
        print(f"all at once, repeat {repeat} (s): {took}", file=sys.stderr, flush=True)
    for system in systems:
        del system.all_repeat_s[0]


def spread(first: Sequence[float], second: Sequence[float]) -> str:
    """Return minimum, median and maximum ratio of the seconds of two systems."""
    ratios = [one / other for one, other in zip(first, second, strict=True)]
    return f"{min(ratios):.2f} / {median(ratios):.2f} / {max(ratios):.2f}"


def agreement(system: System, reference: System) -> str:
    """Return the share of frames with the best token of transformers in fp32."""
    same = total = 0
    for found, expected in zip(system.frames, reference.frames, strict=True):
        if found is None or expected is None:
            return ""
        same += int((found == expected).sum())
        total += len(expected)
    return f"{same / total:.4f}"


def tabulate(systems: Sequence[System], audio_s: float) -> Iterator[str]:
    """Yield the Markdown table of one shape."""
    by_name = {one.name: one for one in systems}
    baseline, reference = by_name[BASELINE], by_name[REFERENCE]
    yield (
        "| system | RTFx | x pipeline (min / median / max) "
        "| ours in this precision / it (min / median / max) | frames as fp32 | opened in s |"
    )
    yield "|---|---|---|---|---|---|"
    for one in systems:
        ours = by_name.get(f"ours {one.precision}")
        against = spread(one.repeat_s, ours.repeat_s) if ours and ours is not one else ""
        yield (
            f"| {one.name} | {audio_s / median(one.repeat_s):.1f} "
            f"| {spread(baseline.repeat_s, one.repeat_s)} | {against} "
            f"| {agreement(one, reference)} | {one.load_s:.1f} |"
        )


def tabulate_all(systems: Sequence[System], audio_s: float) -> Iterator[str]:
    """Yield the Markdown table of one shape, all clips at once."""
    by_name = {one.name: one for one in systems}
    baseline = by_name[BASELINE]
    yield (
        "| all clips at once | RTFx | x pipeline (min / median / max) "
        "| ours in this precision / it (min / median / max) |"
    )
    yield "|---|---|---|---|"
    for one in systems:
        ours = by_name.get(f"ours {one.precision}")
        against = spread(one.all_repeat_s, ours.all_repeat_s) if ours and ours is not one else ""
        yield (
            f"| {one.name} | {audio_s / median(one.all_repeat_s):.1f} "
            f"| {spread(baseline.all_repeat_s, one.all_repeat_s)} | {against} |"
        )


def describe_run(arguments: argparse.Namespace, audio_s: float) -> Iterator[str]:
    """Yield the command, the machine, and how int8 was computed."""
    around = "bf16" if has_native_bf16() else "fp32"
    yield f"`python {' '.join(sys.argv)}`"
    yield ""
    yield (
        f"{describe_machine(threads=arguments.threads)}. "
        f"{'CPU' if arguments.cpu_seconds else 'Wall'} seconds; {arguments.clips} clips, "
        f"{audio_s:.0f} s, random weights; {arguments.repeats} repeats. Around int8: {around} "
        "(OpenVINO), int16 (ours), fp32 (ONNX Runtime, CTranslate2)."
    )


def read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--shapes", nargs="+", choices=SHAPES, default=list(SHAPES))
    parser.add_argument("--repeats", "--repeats", type=int, default=3)
    parser.add_argument("--clips", type=int, default=24)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument(
        "--cpu-seconds",
        action="store_true",
        help="CPU seconds of all threads instead of wall seconds",
    )
    parser.add_argument(
        "--only",
        nargs="*",
        default=[],
        help="parts of the names of systems to measure besides the pipeline",
    )
    parser.add_argument("--folder", type=Path, help="keep the models here for the next run")
    parser.add_argument("--output", type=Path, help="also append the table to this file")
    return parser.parse_args()


def run_shape(shape: str, arguments: argparse.Namespace, folder: Path) -> str:
    if not (folder / "config.json").exists():
        write_model(shape, folder)
    clips = draw_clips(arguments.clips)
    audio_s = sum(map(len, clips)) / SAMPLE_RATE_HZ
    systems = list(open_systems(shape, folder, arguments.threads, arguments.only))
    clock = time.process_time if arguments.cpu_seconds else time.perf_counter
    measure(systems, clips, arguments.repeats, clock)
    measure_all(systems, clips, arguments.repeats, clock)
    lines = [f"### {shape}", "", *describe_run(arguments, audio_s), ""]
    tables = [*tabulate(systems, audio_s), "", *tabulate_all(systems, audio_s), ""]
    return "\n".join([*lines, *tables])


def main() -> None:
    arguments = read_arguments()
    torch.set_num_threads(arguments.threads)
    with tempfile.TemporaryDirectory() as scratch:
        root = arguments.folder or Path(scratch)
        for shape in arguments.shapes:
            table = run_shape(shape, arguments, root / shape)
            print(table, flush=True)
            if arguments.output:
                with arguments.output.open("a", encoding="utf-8") as file:
                    file.write(table + "\n")


if __name__ == "__main__":
    main()
