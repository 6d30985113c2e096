import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from helpers.run import clean_environment, run, run_here

from gaudi_asr_cli.cli.app import app
from gaudi_asr_cli.cli.parsing import asked_for_help

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
GOLDEN = ROOT / "tests" / "golden" / "help"
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
    "lm": ["lm"],
    "align": ["align"],
    "serve": ["serve"],
    "bench": ["bench"],
    "push": ["push"],
    "import-command": ["import-command"],
    "recipes": ["recipes"],
    "recipes-list": ["recipes", "list"],
    "recipes-show": ["recipes", "show"],
    "recipes-copy": ["recipes", "copy"],
    "recipes-forecast": ["recipes", "forecast"],
    "compare": ["compare"],
    "report": ["report"],
    "results": ["results"],
    "doctor": ["doctor"],
    "help": ["help"],
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


def test_a_command_imports_no_other_command():
    done = subprocess.run(
        [sys.executable, "-c", TELL_MODULES, "infer", "--help"],
        env=clean_environment(),
        capture_output=True,
        text=True,
        check=True,
    )

    modules = json.loads(done.stderr.splitlines()[-1])[1]
    assert "gaudi_asr_cli.cli.infer" in modules
    assert not {"gaudi_asr_cli.cli.bench", "gaudi_asr_cli.cli.finetune_ctc"} & set(modules)


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


@pytest.mark.parametrize(
    ("words", "suggestion"),
    [(["infre", "--help"], "'infer'"), (["recipes", "shwo", "-h"], "'show'")],
)
def test_help_on_an_unknown_command_is_an_error_with_a_suggestion(words, suggestion):
    result = run_here(*words)

    assert (result.exit_code, result.stdout) == (2, "")
    assert f"Did you mean {suggestion}" in result.stderr


def test_help_on_a_command_ignores_its_other_words():
    program = typer.main.get_command(app)

    assert asked_for_help(["infer", "NONSENSE", "--help"], program)[1] == "gaudi-asr infer"


def test_help_shows_the_defaults_of_the_recipe_and_aliases_after_the_text():
    shown = " ".join(run_here("finetune-seq2seq", "--help").stdout.split())

    assert "--epochs N Passes over the training data. [default: 3.0]" in shown
    assert "--lr RATE Peak learning rate. [default: 0.0003]" in shown
    assert "--beam-size N" in shown
    assert "Also --beams, --beam-width. [default: 1]" in shown


@pytest.mark.parametrize(
    "topic",
    ["scoring", "devices", "recipes", "old-commands", "run-folder", "batching", "security"],
)
def test_a_topic_is_printed_as_plain_text(topic):
    result = run_here("help", topic)

    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.startswith("# ")
    assert "<!--" not in result.stdout


def test_help_alone_lists_every_topic_with_its_title():
    result = run_here("help")

    listed = [line.split()[0] for line in result.stdout.splitlines()[1:]]
    assert listed == sorted(path.stem for path in DOCS.glob("*.md"))
    assert "  devices       Devices\n" in result.stdout


@pytest.mark.parametrize("topic", ["run_folder", "Run-Folder", "run-folder.md"])
def test_a_topic_may_be_named_as_its_file(topic):
    assert run_here("help", topic).stdout == run_here("help", "run-folder").stdout


def test_a_command_is_a_topic_too():
    assert run_here("help", "vocab").stdout == run_here("vocab", "--help").stdout


def test_an_unknown_topic_is_an_error_with_a_suggestion():
    result = run_here("help", "glosary")

    assert (result.exit_code, result.stdout) == (2, "")
    assert "Did you mean glossary?" in result.stderr


def test_every_pointer_to_a_topic_leads_to_one():
    sources = (ROOT / "gaudi_asr_cli").rglob("*.py")
    named = {
        topic
        for source in sources
        for topic in re.findall(r"gaudi-asr help ([a-z][a-z-]+)", source.read_text("utf-8"))
    }

    assert named - {"lists"} <= {path.stem for path in DOCS.glob("*.md")}
    assert "recipes" in named


def test_completion_scripts_are_offered():
    script = run(env={"_GAUDI_ASR_COMPLETE": "source_bash"})

    assert script.exit_code == 0
    assert "_GAUDI_ASR_COMPLETE=complete_bash" in script.stdout


def test_a_shell_completes_commands_and_options():
    def complete(line, number):
        words = {"COMP_WORDS": line, "COMP_CWORD": str(number)}
        return run(env={"_GAUDI_ASR_COMPLETE": "complete_bash", **words}).stdout.split()

    assert complete("gaudi-asr inf", 1) == ["infer"]
    assert complete("gaudi-asr finetune-ctc --see", 2) == ["--seed"]


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
