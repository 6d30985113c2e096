"""Our CPU path against what a user would take instead, on the same clips in one interleaved run.

    pip install -e ".[peers]"
    OMP_NUM_THREADS=2 python benchmarks/cpu_peers.py --shapes base large --rounds 3

Models have random weights and clips are noise shaped like speech, for speed depends on neither;
"frames as fp32" only ranks precisions. In the first table every contestant hears every clip before
the next clip comes, in an order that turns, so that what else the machine does meets all alike; in
the second, each in its turn gets all clips at once and hears them as it likes, side by side where
it can. A ratio is that of one round's seconds; the tables show the smallest, the median and the
largest. On a machine that others use as well, one thread and `--cpu-seconds` tell more than the
clock on the wall.
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
    Peer,
    draw_clips,
    list_openers,
    write_model,
)

from gaudi_asr_cli.core.records import SAMPLE_RATE_HZ


@dataclass
class Contestant:
    """Who listens, in which precision, and what it took: seconds of each round."""

    name: str
    precision: str
    peer: Peer
    load_s: float
    round_s: list[float] = field(default_factory=list)
    all_round_s: list[float] = field(default_factory=list)
    frames: list[NDArray[np.int64] | None] = field(default_factory=list)


def open_contestants(
    shape: str, folder: Path, threads: int, only: Sequence[str]
) -> Iterator[Contestant]:
    """Those whose packages are installed and that take this model; the others are named."""
    always = (BASELINE, REFERENCE)
    for (name, precision), opener in list_openers(shape, threads).items():
        if only and name not in always and not any(part in name for part in only):
            continue
        started = time.perf_counter()
        try:
            peer = opener(folder)
        except Exception as error:  # noqa: BLE001 - a peer that does not start is told, not fatal
            reason = str(error).partition("\n")[0]
            print(f"left out: {name} ({type(error).__name__}: {reason})", file=sys.stderr)
            continue
        yield Contestant(name, precision, peer, time.perf_counter() - started)


def measure(
    contestants: Sequence[Contestant],
    clips: Sequence[Clip],
    rounds: int,
    clock: Callable[[], float],
) -> None:
    """Let everybody hear every clip in every round; the first, unmeasured one warms up."""
    for lap in range(rounds + 1):
        for contestant in contestants:
            contestant.round_s.append(0.0)
        for place, clip in enumerate(clips):
            turn = (place + lap) % len(contestants)
            for contestant in [*contestants[turn:], *contestants[:turn]]:
                started = clock()
                found = contestant.peer.transcribe_clips(clip)
                contestant.round_s[-1] += clock() - started
                if lap == 0:
                    contestant.frames.append(found)
        took = ", ".join(f"{one.name} {one.round_s[-1]:.1f}" for one in contestants)
        print(f"round {lap} (s): {took}", file=sys.stderr, flush=True)
    for contestant in contestants:
        del contestant.round_s[0]


def measure_all(
    contestants: Sequence[Contestant],
    clips: Sequence[Clip],
    rounds: int,
    clock: Callable[[], float],
) -> None:
    """Let everybody in turn hear all clips at once."""
    for lap in range(rounds + 1):
        turn = lap % len(contestants)
        for contestant in [*contestants[turn:], *contestants[:turn]]:
            started = clock()
            contestant.peer.transcribe_all(clips)
            contestant.all_round_s.append(clock() - started)
        took = ", ".join(f"{one.name} {one.all_round_s[-1]:.1f}" for one in contestants)
        print(f"all at once, round {lap} (s): {took}", file=sys.stderr, flush=True)
    for contestant in contestants:
        del contestant.all_round_s[0]


def spread(first: Sequence[float], second: Sequence[float]) -> str:
    """Smallest, median and largest ratio of two rounds' seconds."""
    ratios = [one / other for one, other in zip(first, second, strict=True)]
    return f"{min(ratios):.2f} / {median(ratios):.2f} / {max(ratios):.2f}"


def agreement(contestant: Contestant, reference: Contestant) -> str:
    """Share of frames whose best token is transformers' in fp32."""
    same = total = 0
    for found, expected in zip(contestant.frames, reference.frames, strict=True):
        if found is None or expected is None:
            return ""
        same += int((found == expected).sum())
        total += len(expected)
    return f"{same / total:.4f}"


def tabulate(contestants: Sequence[Contestant], audio_s: float) -> Iterator[str]:
    """The Markdown table of one shape."""
    by_name = {one.name: one for one in contestants}
    baseline, reference = by_name[BASELINE], by_name[REFERENCE]
    yield (
        "| contestant | x real time | x pipeline (min / median / max) "
        "| ours in this precision / it (min / median / max) | frames as fp32 | opened in s |"
    )
    yield "|---|---|---|---|---|---|"
    for one in contestants:
        ours = by_name.get(f"ours {one.precision}")
        against = spread(one.round_s, ours.round_s) if ours and ours is not one else ""
        yield (
            f"| {one.name} | {audio_s / median(one.round_s):.1f} "
            f"| {spread(baseline.round_s, one.round_s)} | {against} "
            f"| {agreement(one, reference)} | {one.load_s:.1f} |"
        )


def tabulate_all(contestants: Sequence[Contestant], audio_s: float) -> Iterator[str]:
    """The Markdown table of one shape, all clips at once."""
    by_name = {one.name: one for one in contestants}
    baseline = by_name[BASELINE]
    yield (
        "| all clips at once | x real time | x pipeline (min / median / max) "
        "| ours in this precision / it (min / median / max) |"
    )
    yield "|---|---|---|---|"
    for one in contestants:
        ours = by_name.get(f"ours {one.precision}")
        against = spread(one.all_round_s, ours.all_round_s) if ours and ours is not one else ""
        yield (
            f"| {one.name} | {audio_s / median(one.all_round_s):.1f} "
            f"| {spread(baseline.all_round_s, one.all_round_s)} | {against} |"
        )


def describe_run(arguments: argparse.Namespace, audio_s: float) -> Iterator[str]:
    """Yield the command, the machine, and how int8 was computed."""
    around = "bf16" if has_native_bf16() else "fp32"
    yield f"`python {' '.join(sys.argv)}`"
    yield ""
    yield (
        f"{describe_machine(threads=arguments.threads)}. "
        f"{'CPU' if arguments.cpu_seconds else 'Wall'} seconds; {arguments.clips} clips, "
        f"{audio_s:.0f} s, random weights; {arguments.rounds} rounds. Around int8: {around} (ours, "
        "OpenVINO), fp32 (ONNX Runtime, CTranslate2)."
    )


def read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--shapes", nargs="+", choices=SHAPES, default=list(SHAPES))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--clips", type=int, default=24)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--cpu-seconds", action="store_true", help="of all threads, not the wall's")
    parser.add_argument("--only", nargs="*", default=[], help="parts of names, beside the pipeline")
    parser.add_argument("--folder", type=Path, help="keep models here, for the next run")
    parser.add_argument("--output", type=Path, help="append the table to this file too")
    return parser.parse_args()


def run_shape(shape: str, arguments: argparse.Namespace, folder: Path) -> str:
    if not (folder / "config.json").exists():
        write_model(shape, folder)
    clips = draw_clips(arguments.clips)
    audio_s = sum(map(len, clips)) / SAMPLE_RATE_HZ
    contestants = list(open_contestants(shape, folder, arguments.threads, arguments.only))
    clock = time.process_time if arguments.cpu_seconds else time.perf_counter
    measure(contestants, clips, arguments.rounds, clock)
    measure_all(contestants, clips, arguments.rounds, clock)
    lines = [f"### {shape}", "", *describe_run(arguments, audio_s), ""]
    tables = [*tabulate(contestants, audio_s), "", *tabulate_all(contestants, audio_s), ""]
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
