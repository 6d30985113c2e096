import json

import yaml
from helpers.run import run, run_here


def test_recipes_are_listed_a_line_each():
    bare, listed = run_here("recipes"), run_here("recipes", "list")

    names = [line.split("\t")[0] for line in bare.stdout.splitlines()]
    assert bare == listed
    assert {"demo", "digits"} <= set(names)


def test_recipes_as_json():
    answer = json.loads(run_here("recipes", "--json").stdout)

    assert answer["schema"] == "recipes/1"
    assert all(recipe["about"] for recipe in answer["recipes"])


def test_a_recipe_is_shown_as_it_is_written():
    shown = run_here("recipes", "show", "digits").stdout

    assert shown.startswith("#")
    assert yaml.safe_load(shown)["kind"] == "finetune-ctc"


def test_a_copy_is_made_once_and_never_overwritten(tmp_path):
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


def test_the_doctor_finds_what_every_machine_of_ours_has():
    answer = json.loads(run("doctor", "--json").stdout)

    assert (answer["schema"], answer["healthy"]) == ("doctor/1", True)
    assert answer["devices"]["cpu"]["state"] == "works"
    assert {answer["audio"][name]["state"] for name in ("wav", "flac", "mp3")} == {"works"}
    assert answer["versions"]["torch"]["state"] == "works"


def test_the_doctors_table_is_a_result():
    result = run("doctor")

    assert result.exit_code == 0
    assert "Everything needed works." in result.stdout
    assert "\x1b" not in result.stdout
    assert max(map(len, result.stdout.splitlines())) <= 80
