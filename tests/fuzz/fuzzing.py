"""Shared by the fuzzers: mutations, the check of a case, the time limit and the command line.

A case is determined by its seed and number, so that a failing one can be reproduced:
`python tests/fuzz/NAME.py --seed N --first CASE --cases 1`.
"""

from __future__ import annotations

import argparse
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from gaudi_asr_cli.core.errors import AsrError

CASE_LIMIT_S = 10
MAX_FAILURES = 5

Case = Callable[[random.Random, Path], None]
"""Make an input in an empty folder and read it; anything but success or an AsrError is a fault."""

HOSTILE = (
    *("", " ", "\t", "\n", "\r\n", "\0", "\ufeff", "\u2028", "\u200b", "e\u0301", "\udc80"),
    *('"', '""', "'", ",", ";", "|", "\\", "/", "..", "#", ":", "{", "}", "[", "]", "---", "&a *a"),
    *("nan", "NaN", "inf", "-Infinity", "1e300", "1e999", "-1", "0", "-0.0", "0x10", "1_000"),
    *("null", "true", "~", "!!python/object/apply:os.system [true]", "*a", "&a", "<<: *a", "? :"),
    *("\\ud800", "\\u0000", '{"a":' * 3, "[" * 5_000, "9" * 5_000, "x" * 70_000, "é" * 300),
    *("file:///etc/passwd", "http://x/y", "~root/a", "/dev/zero", "a.ark:12", "cat a |", "a#b"),
    *("start", "end", "duration", "offset", "channel", "id", "path", "text", "audio_filepath"),
)


@dataclass(slots=True)
class Tally:
    """Counts of outcomes; `faults` are the reports of cases that failed."""

    read: int = 0
    rejected: int = 0
    faults: list[str] = field(default_factory=list)

    @property
    def cases(self) -> int:
        return self.read + self.rejected + len(self.faults)


class TooSlowError(BaseException):
    """A case took longer than its limit; no code under test can catch it by chance."""


def fuzz(case: Case, *, seed: int, first: int = 0, cases: int | None, seconds: float) -> Tally:
    """Run cases until `cases` are done or the time is up."""
    tally, started_s = Tally(), time.monotonic()
    with tempfile.TemporaryDirectory(prefix="gaudi-asr-fuzz-") as scratch:
        number = first
        while (cases is None or number < first + cases) and len(tally.faults) < MAX_FAILURES:
            if time.monotonic() - started_s > seconds:
                break
            run_case(case, seed, number, Path(scratch), tally)
            number += 1
    return tally


def run_case(case: Case, seed: int, number: int, scratch: Path, tally: Tally) -> None:
    """Run one case in a folder of its own, and count its outcome."""
    folder = scratch / "case"
    folder.mkdir()
    rng = random.Random(f"{seed}:{number}")
    try:
        with warnings.catch_warnings(), _time_limit(CASE_LIMIT_S):
            warnings.simplefilter("ignore")
            case(rng, folder)
        tally.read += 1
    except AsrError as error:
        _check_message(error, number, tally)
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        tally.faults.append(f"case {number}: {traceback.format_exc(limit=-6)}")
    finally:
        shutil.rmtree(folder)


def _check_message(error: AsrError, number: int, tally: Tally) -> None:
    """Check that an error has a message and a remedy, and can be printed."""
    try:
        text = f"{error.message} {error.remedy}".encode()
    except UnicodeEncodeError:
        tally.faults.append(f"case {number}: cannot be printed: {error.message!r}")
        return
    if not error.message.strip() or not error.remedy.strip():
        tally.faults.append(f"case {number}: empty message: {text!r}")
    else:
        tally.rejected += 1


@contextmanager
def _time_limit(seconds: int) -> Iterator[None]:
    def stop(signum: int, frame: object) -> None:
        raise TooSlowError(f"more than {seconds} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def mutate(rng: random.Random, text: str) -> bytes:
    """Return `text` with one to six positions cut, doubled, swapped or replaced."""
    data = bytearray(text.encode("utf-8", "surrogateescape"))
    for _ in range(rng.choice((1, 1, 1, 2, 3, 6))):
        data = rng.choice(_MUTATIONS)(rng, data)
    return bytes(data)


def _insert(rng: random.Random, data: bytearray) -> bytearray:
    at = rng.randint(0, len(data))
    hostile = rng.choice(HOSTILE).encode("utf-8", "surrogateescape")
    return data[:at] + hostile + data[at:]


def _overwrite(rng: random.Random, data: bytearray) -> bytearray:
    at = rng.randint(0, len(data))
    hostile = rng.choice(HOSTILE).encode("utf-8", "surrogateescape")
    return data[:at] + hostile + data[at + rng.randint(0, 12) :]


def _flip(rng: random.Random, data: bytearray) -> bytearray:
    for _ in range(rng.randint(1, 4)):
        if data:
            data[rng.randrange(len(data))] = rng.randrange(256)
    return data


def _cut(rng: random.Random, data: bytearray) -> bytearray:
    at = rng.randint(0, len(data))
    return data[:at] if rng.random() < 0.4 else data[:at] + data[at + rng.randint(1, 40) :]


def _double(rng: random.Random, data: bytearray) -> bytearray:
    start = rng.randint(0, len(data))
    part = data[start : start + rng.randint(1, 80)]
    return data[:start] + part * rng.randint(2, 4) + data[start + len(part) :]


def _replace_value(rng: random.Random, data: bytearray) -> bytearray:
    """Replace one cell, key or value between two separators by a hostile one."""
    cuts = [i for i, byte in enumerate(data) if byte in b',;|\t\n":{}[] ']
    if len(cuts) < 2:
        return data
    place = rng.randrange(len(cuts) - 1)
    hostile = rng.choice(HOSTILE).encode("utf-8", "surrogateescape")
    return data[: cuts[place] + 1] + hostile + data[cuts[place + 1] :]


def _swap_lines(rng: random.Random, data: bytearray) -> bytearray:
    lines = data.split(b"\n")
    rng.shuffle(lines)
    return bytearray(b"\n".join(lines))


_MUTATIONS = (
    _insert,
    _overwrite,
    _flip,
    _cut,
    _double,
    _replace_value,
    _replace_value,
    _swap_lines,
)


def main(case: Case) -> None:
    """Run a fuzzer from the command line; exit with 1 if there was a fault."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0, help="number of the first case")
    parser.add_argument(
        "--cases", type=int, help="number of cases (default: as many as time allows)"
    )
    parser.add_argument("--seconds", type=float, help="time limit (default without --cases: 60)")
    given = parser.parse_args()
    seconds = given.seconds or (60.0 if given.cases is None else float("inf"))
    started_s = time.monotonic()
    tally = fuzz(case, seed=given.seed, first=given.first, cases=given.cases, seconds=seconds)
    print(
        f"{tally.cases} cases in {time.monotonic() - started_s:.0f} s: {tally.read} read, "
        f"{tally.rejected} rejected, {len(tally.faults)} faults"
    )
    for fault in tally.faults:
        print(fault, file=sys.stderr)
    sys.exit(1 if tally.faults else 0)
