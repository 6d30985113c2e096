import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from helpers.run import clean_environment, run

from gaudi_asr_cli.cli.app import app
from gaudi_asr_cli.cli.parsing import asked_for_help

GOLDEN = Path(__file__).parent.parent / "golden" / "help"
COMMANDS = {
    "": [],
    "vocab": ["vocab"],
    "check": ["check"],
    "finetune-ctc": ["finetune-ctc"],
    "finetune-seq2seq": ["finetune-seq2seq"],
    "create-seq2seq": ["create-seq2seq"],
    "eval-ctc": ["eval-ctc"],
    "eval-seq2seq": ["eval-seq2seq"],
    "infer": ["infer"],
    "bench": ["bench"],
    "import-command": ["import-command"],
    "recipes": ["recipes"],
    "recipes-list": ["recipes", "list"],
    "recipes-show": ["recipes", "show"],
    "recipes-copy": ["recipes", "copy"],
    "recipes-forecast": ["recipes", "forecast"],
    "results": ["results"],
    "doctor": ["doctor"],
}
HEAVY = ("torch", "transformers", "datasets", "pydantic", "numpy", "yaml", "accelerate", "jiwer")
TELL_MODULES = """
import json, sys
from gaudi_asr_cli.cli.app import main
try:
    main(sys.argv[1:])
except SystemExit as end:
    print(json.dumps([end.code, sorted(sys.modules)]), file=sys.stderr)
"""


@pytest.mark.parametrize("words", COMMANDS.values(), ids=lambda words: " ".join(words) or "bare")
def test_help_waits_for_no_heavy_import(words):
    done = subprocess.run(
        [sys.executable, "-c", TELL_MODULES, *words, "--help"],
        env=clean_environment(),
        capture_output=True,
        text=True,
        check=True,
    )

    code, modules = json.loads(done.stderr.splitlines()[-1])
    assert code == 0
    assert not [name for name in HEAVY if name in modules]


@pytest.mark.parametrize("name", COMMANDS)
def test_help_reads_as_agreed(name):
    golden = GOLDEN / f"{name or 'gaudi-asr'}.txt"

    shown = run(*COMMANDS[name], "--help").stdout

    if os.environ.get("UPDATE_GOLDEN"):
        golden.write_text(shown, encoding="utf-8")
    assert shown == golden.read_text(encoding="utf-8")


def test_every_command_has_its_golden_help():
    listed = run("--help").stdout.partition("Commands:\n")[2].splitlines()

    names = {line.split()[0] for line in listed if line.startswith("  ") and line[2] != " "}
    assert names == {words[0] for words in COMMANDS.values() if words}


def test_help_may_stand_anywhere_but_behind_two_hyphens():
    program = typer.main.get_command(app)

    assert asked_for_help(["infer", "a.wav", "-h"], program)[1] == "gaudi-asr infer"
    assert asked_for_help(["recipes", "show", "--help"], program)[1] == "gaudi-asr recipes show"
    assert asked_for_help(["infer", "--", "--help"], program) is None
    assert asked_for_help(["infer", "a.wav"], program) is None


def test_without_words_the_help_is_shown():
    result = run()

    assert result.exit_code == 0
    assert "Usage: gaudi-asr" in result.stdout


def test_the_version_is_a_result():
    from gaudi_asr_cli import __version__

    result = run("--version")

    assert (result.exit_code, result.stdout) == (0, f"gaudi-asr {__version__}\n")


def test_no_line_of_help_is_wider_than_the_terminal():
    widths = [len(line) for line in run("finetune-ctc", "--help").stdout.splitlines()]

    assert max(widths) <= 80
