"""Mutated lines of legacy commands: each is translated or rejected, and nothing in it is run."""

from __future__ import annotations

import json
import os
import random
import shlex
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import typer
import yaml
from fuzzing import main

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


@cache
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


@cache
def _program() -> Any:
    return typer.main.get_command(app)


def case(rng: random.Random, folder: Path) -> None:
    """Translate a mutated line in an empty folder, which must stay empty."""
    lines = read_lines()
    line = mutate(rng.choice(lines), lines, rng)
    working_directory = Path.cwd()
    os.chdir(folder)
    try:
        imported = import_line([line], _program())
    except AsrError:
        raise
    except Exception as error:
        known = as_user_error(error)
        if known is None:
            raise
        raise known from error
    finally:
        os.chdir(working_directory)
        assert not list(folder.iterdir()), f"something was run or written: {line!r}"
    json.dumps(imported.to_json())
    assert shlex.split(imported.command)[0] == "gaudi-asr", imported.command


if __name__ == "__main__":
    main(case)
