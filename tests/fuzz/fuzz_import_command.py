"""Mutated lines of legacy commands: each is translated or rejected, and nothing in it is run.

    python tests/fuzz/fuzz_import_command.py --cases 5000 --seed 0

Prints each line with another outcome and its seed, and exits with 1 if there was one.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shlex
import sys
import tempfile
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import typer
import yaml

from gaudi_asr_cli.cli.app import app
from gaudi_asr_cli.cli.failures import as_user_error
from gaudi_asr_cli.cli.old_commands import import_line
from gaudi_asr_cli.core.errors import AsrError

GOLDEN = Path(__file__).parents[1] / "golden" / "old_commands.yaml"
MARK = "run-by-the-fuzzer"
"""A file that a command in a line would create if it were run."""
FRONTS = (
    "",
    "nohup ",
    "time ",
    "CUDA_VISIBLE_DEVICES=0 ",
    "env A=B ",
    "sudo -E ",
    "numactl -N 0 ",
    "torchrun --nproc_per_node 8 --nnodes 2 --node-rank 1 --master_addr a --master_port 1 ",
    "mpirun -np 8 -H a:4,b:4 -x PATH ",
    "deepspeed --num_gpus 8 ",
    "accelerate launch -m ",
    "python ../gaudi_spawn.py --world_size 8 --use_mpi ",
    "docker run -v /a:/b -e A=B img ",
    "srun -n 8 ",
    f"touch {MARK}; ",
    f"$(touch {MARK}) ",
    "cd x && ",
    "# ",
    "!",
    "$ ",
    "for i in 1; do ",
)
TAILS = (
    "",
    " > log 2>&1",
    " 2> e",
    " | tee log",
    " &",
    f" && touch {MARK}",
    f"; touch {MARK}",
    f" `touch {MARK}`",
    f" $(touch {MARK})",
    f" > >(touch {MARK})",
    " # comment",
    " <<EOF\nx\nEOF",
    " || true",
    " \\",
    "\n --bf16",
    " \\ \n --bf16",
)
SHELLS = ("bash -c", "sh -lc", "docker run img bash -c", "sbatch --wrap", "ssh host")
VALUES = (
    "",
    "''",
    '""',
    "$X",
    "${X:-3e-4}",
    f"$(touch {MARK})",
    "*.wav",
    "a b",
    "nan",
    "inf",
    "-1",
    "1e999",
    "9" * 5000,
    "٣",
    "\ud800",
    "\x00",
    "true",
    "{}",
    "[]",
    "null",
    "~/x",
    "../..",
    "'",
    '"',
    "$",
    "\\",
    "\u2013bf16",
    "é" * 300,
    "--",
    "-",
    "=",
    "a=b",
    "<pad>",
    "(",
    "\t",
    "\r\n",
    "😀",
    "hf_abcdefghijklmnop",
)


def read_lines() -> list[str]:
    listed = yaml.safe_load(GOLDEN.read_text(encoding="utf-8"))
    return [entry["command"] for entry in listed]


def mutate(line: str, lines: list[str], dice: random.Random) -> str:
    """Return the line after one to five random changes."""
    for _ in range(dice.randint(1, 5)):
        line = dice.choice(MUTATIONS)(line, lines, dice)
    return line


def _put_value(line: str, _: list[str], dice: random.Random) -> str:
    words = line.split(" ")
    index = dice.randrange(len(words))
    name, equals, _old = words[index].partition("=")
    words[index] = f"{name}={dice.choice(VALUES)}" if equals else dice.choice(VALUES)
    return " ".join(words)


def _insert_value(line: str, _: list[str], dice: random.Random) -> str:
    words = line.split(" ")
    words.insert(dice.randint(0, len(words)), dice.choice(VALUES))
    return " ".join(words)


def _drop_word(line: str, _: list[str], dice: random.Random) -> str:
    words = line.split(" ")
    del words[dice.randrange(len(words))]
    return " ".join(words) or "x"


def _swap_words(line: str, _: list[str], dice: random.Random) -> str:
    words = line.split(" ")
    first, second = dice.randrange(len(words)), dice.randrange(len(words))
    words[first], words[second] = words[second], words[first]
    return " ".join(words)


def _change_character(line: str, _: list[str], dice: random.Random) -> str:
    index = dice.randrange(len(line)) if line else 0
    return line[:index] + dice.choice("'\"\\$`(){}<>|&;# \n=-\u2013a0") + line[index + 1 :]


def _cut(line: str, _: list[str], dice: random.Random) -> str:
    return line[: dice.randint(0, len(line))] or "x"


def _splice(line: str, lines: list[str], dice: random.Random) -> str:
    other = dice.choice(lines)
    return line[: dice.randint(0, len(line))] + other[dice.randint(0, len(other)) :]


def _front(line: str, _: list[str], dice: random.Random) -> str:
    return dice.choice(FRONTS) + line


def _tail(line: str, _: list[str], dice: random.Random) -> str:
    return line + dice.choice(TAILS)


def _nest(line: str, _: list[str], dice: random.Random) -> str:
    quoted = shlex.quote(line) if dice.random() < 0.7 else f'"{line}"'
    return f"{dice.choice(SHELLS)} {quoted}"


def _hyphens(line: str, _: list[str], dice: random.Random) -> str:
    return line.replace("_", "-", dice.randint(1, 9)) if dice.random() < 0.7 else line.upper()


MUTATIONS: tuple[Callable[[str, list[str], random.Random], str], ...] = (
    _put_value,
    _put_value,
    _insert_value,
    _drop_word,
    _swap_words,
    _change_character,
    _cut,
    _splice,
    _front,
    _tail,
    _nest,
    _hyphens,
)


@contextmanager
def _guarded() -> Iterator[None]:
    """Run in an empty temporary folder, which must stay empty."""
    working_directory = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        try:
            yield
            assert not list(Path(folder).iterdir()), "something was run or written"
        finally:
            os.chdir(working_directory)


def try_line(line: str, program: Any) -> str:
    """Return `translated`, or the class name of the user error.

    Raises:
        Exception: Any other outcome.
    """
    try:
        imported = import_line([line], program)
        json.dumps(imported.to_json())
        words = shlex.split(imported.command)
        assert words[0] == "gaudi-asr", imported.command
    except AsrError as error:
        if not error.remedy.strip():
            raise RuntimeError("an error without a remedy") from error
        return type(error).__name__
    except Exception as error:
        known = as_user_error(error)
        if known is None:
            raise
        return type(known).__name__
    return "translated"


def run(cases: int, seed: int) -> tuple[Counter[str], list[str]]:
    """Translate a number of mutated lines.

    Returns:
        The count of each outcome, and a report of each line that ended in a bug.
    """
    lines = read_lines()
    program = typer.main.get_command(app)
    outcomes: Counter[str] = Counter()
    failures: list[str] = []
    with _guarded():
        for case in range(cases):
            dice = random.Random(f"{seed}/{case}")
            line = mutate(dice.choice(lines), lines, dice)
            try:
                outcomes[try_line(line, program)] += 1
            except Exception:  # noqa: BLE001 - each is reported
                outcomes["bug"] += 1
                failures.append(f"seed {seed}, case {case}: {line!r}\n{traceback.format_exc()}")
    return outcomes, failures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--cases", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    outcomes, failures = run(arguments.cases, arguments.seed)
    print("\n".join(failures[:10]))
    print(", ".join(f"{name} {count}" for name, count in outcomes.most_common()))
    sys.exit(bool(failures))


if __name__ == "__main__":
    main()
