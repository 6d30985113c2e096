import contextlib
import io
import json
import re

import yaml
from helpers.run import run, run_here

from gaudi_asr_cli.core.workflows.recipes import list_recipes
from gaudi_asr_cli.ui.recipes import show_recipes


def test_recipes_are_listed_one_per_line():
    bare, listed = run_here("recipes"), run_here("recipes", "list")

    names = [line.split("\t")[0] for line in bare.stdout.splitlines()]
    assert bare == listed
    assert {"demo", "digits"} <= set(names)


def test_a_line_has_task_model_data_devices_and_published_rate():
    lines = run_here("recipes").stdout.splitlines()

    found = next(line.split("\t") for line in lines if line.startswith("ctc-wavlm-large-libri"))
    assert found[1:7] == [
        "finetune-ctc", "microsoft/wavlm-large", "openslr/librispeech_asr clean train.100",
        "8 x V100", "WER 4.9 %", "1:30:00",
    ]  # fmt: skip


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_on_a_terminal_the_recipes_are_tables_by_task(monkeypatch):
    monkeypatch.setenv("COLUMNS", "150")
    screen = Terminal()
    with contextlib.redirect_stdout(screen):
        show_recipes(list_recipes())

    shown = screen.getvalue()
    assert "finetune-ctc" in shown
    assert re.search(r"ctc-unispeech-large-timit .*timit_asr.* 1 x TITAN RTX +WER 22.0 % ", shown)


def test_on_a_narrow_terminal_names_are_not_wrapped(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    screen = Terminal()
    with contextlib.redirect_stdout(screen):
        show_recipes(list_recipes())

    lines = re.sub(r"\x1b\[\d*m", "", screen.getvalue()).splitlines()
    assert max(map(len, lines)) == 80
    for one in list_recipes().recipes:
        (place,) = [number for number, line in enumerate(lines) if line.startswith(f" {one.name} ")]
        assert lines[place + 1].strip() == f"model {one.model}"


def test_recipes_as_json():
    answer = json.loads(run_here("recipes", "--json").stdout)

    assert answer["schema"] == "recipes/1"
    assert all(recipe["about"] for recipe in answer["recipes"])
    found = {recipe["name"]: recipe for recipe in answer["recipes"]}
    assert found["ctc-hubert-large-librispeech100"]["published"]["wer"] == 0.088
    assert found["demo"]["published"] is None


def test_a_recipe_is_shown_with_what_it_extends_and_the_defaults():
    shown = yaml.safe_load(run_here("recipes", "show", "demo", "--whole").stdout)
    lacking = yaml.safe_load(run_here("recipes", "show", "ctc-sew-mid-timit", "--whole").stdout)

    assert (shown["max_steps"], shown["freeze"], shown["seed"]) == (2500, "none", 42)
    assert "extends" not in shown
    assert lacking["train"]["data"] == "YOURS"
    assert "batching" in lacking["published"]["unknown"]


def test_a_whole_recipe_marks_unpublished_values():
    lines = run_here("recipes", "show", "ctc-xls-r-300m-cv-tr-phonemes", "--whole").stdout

    marked = [line.split(":")[0] for line in lines.splitlines() if "# unknown: never" in line]
    assert marked == [
        "freeze", "  split", "test", "  strip_chars", "batching", "optimizer", "evaluation",
        "epochs", "gradient_checkpointing", "dtype", "vocab", "network",
    ]  # fmt: skip


def test_a_recipe_is_shown_as_it_is_written():
    shown = run_here("recipes", "show", "digits").stdout

    assert shown.startswith("#")
    assert yaml.safe_load(shown)["kind"] == "finetune-ctc"


def test_a_copy_is_never_overwritten(tmp_path):
    first = run("recipes", "copy", "digits", "mine.yaml", cwd=tmp_path)
    (tmp_path / "mine.yaml").write_text("changed")
    second = run("recipes", "copy", "digits", "mine.yaml", cwd=tmp_path)

    assert (first.exit_code, first.stdout) == (0, "mine.yaml\n")
    assert second.exit_code == 2
    assert (tmp_path / "mine.yaml").read_text() == "changed"


def test_an_unknown_recipe_ends_with_3_and_a_suggestion():
    result = run_here("recipes", "show", "digts")

    assert result.exit_code == 3
    assert "digits" in result.stderr


def test_doctor_finds_what_every_test_machine_has():
    answer = json.loads(run("doctor", "--json").stdout)

    assert (answer["schema"], answer["healthy"]) == ("doctor/1", True)
    assert answer["devices"]["cpu"]["state"] == "works"
    assert {answer["audio"][name]["state"] for name in ("wav", "flac", "mp3")} == {"works"}
    assert answer["versions"]["torch"]["state"] == "works"


def test_the_table_of_doctor_goes_to_standard_output():
    result = run("doctor")

    assert result.exit_code == 0
    assert "Everything needed works." in result.stdout
    assert "\x1b" not in result.stdout
    assert max(map(len, result.stdout.splitlines())) <= 80


def test_a_forecast_is_shown_as_facts_or_json(corpus):
    words = ["digits", "--train", corpus, "--device", "cpu", "--quiet"]

    shown = run_here("recipes", "forecast", *words)
    answer = json.loads(run_here("recipes", "forecast", *words, "--json").stdout)

    assert (shown.exit_code, shown.stdout) == (0, "")
    assert "4,000 (" in shown.stderr
    assert "without evaluation (measured: 4 s of audio" in shown.stderr
    assert (answer["schema"], answer["steps"]) == ("recipes-forecast/1", 4000)
    assert answer["probe"]["learning_s"] > 0
