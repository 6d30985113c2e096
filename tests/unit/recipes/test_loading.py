import pytest
import typer

from gaudi_asr_cli.cli.app import app
from gaudi_asr_cli.core.errors import RecipeError
from gaudi_asr_cli.core.recipes.loading import (
    check_recipe,
    dump_recipe,
    find_recipe,
    load_options,
    load_recipe,
    parse_value,
    read_extended,
    read_recipe,
    recipe_files,
    with_settings,
)
from gaudi_asr_cli.core.recipes.option_kinds import OPTION_KINDS


@pytest.mark.parametrize("name", [file.name for file in recipe_files()])
def test_every_recipe_loads_and_its_comment_has_a_purpose_and_a_command(name):
    file = next(file for file in recipe_files() if file.name == name)

    kind = read_extended(file.path)["kind"]
    if kind in OPTION_KINDS:
        assert load_options(name, kind)
    else:
        assert load_recipe(name, ["train.data=some-data"]).train.sources == ("some-data",)
    assert file.about
    command = file.path.read_text(encoding="utf-8").splitlines()[1]
    assert f"gaudi-asr {kind}" in command
    assert name == "demo" or f"--recipe {name}" in command


@pytest.mark.parametrize("kind", OPTION_KINDS)
def test_every_key_of_an_option_recipe_is_an_option_of_its_command(kind):
    command = typer.main.get_command(app).commands[kind]
    options = {
        option.lstrip("-").replace("-", "_") for param in command.params for option in param.opts
    }

    keys = set(OPTION_KINDS[kind].model_fields) - {"kind", "name", "requires", "published"}

    assert keys <= options


def test_a_recipe_of_another_command_names_that_command():
    with pytest.raises(RecipeError, match="a recipe for bench") as caught:
        load_recipe("bench-wav2vec2-base-bf16")
    with pytest.raises(RecipeError, match="a recipe for finetune-ctc"):
        load_options("digits", "bench")

    assert "gaudi-asr bench --recipe" in caught.value.remedy


def test_a_dumped_recipe_loads_as_the_same_recipe(tmp_path):
    recipe = load_recipe("demo", ["optimizer.learning_rate=3e-4", "trainer.save_steps=20"])
    (tmp_path / "recipe.yaml").write_text(dump_recipe(recipe), encoding="utf-8")

    again = check_recipe(read_recipe(tmp_path / "recipe.yaml"), origin="again")

    assert again == recipe


def test_a_recipe_inherits_keys_from_the_recipe_that_it_extends():
    demo, digits = load_recipe("demo"), load_recipe("digits", ["train=x"])

    assert demo.architecture == digits.architecture
    assert (demo.name, digits.name) == ("demo", "digits")


def test_a_recipe_that_extends_itself_is_rejected(tmp_path):
    path = tmp_path / "circle.yaml"
    path.write_text(f"extends: {path}\n", encoding="utf-8")

    with pytest.raises(RecipeError, match="extends itself"):
        load_recipe(str(path))


@pytest.mark.parametrize(
    ("values", "message", "remedy"),
    [
        ({"trian": "x", "train": "x"}, "unknown key 'trian'", "Did you mean 'train'?"),
        (
            {"train": "x", "optimizer": {"lerning_rate": 1.0}},
            "unknown key 'optimizer.lerning_rate'",
            "Did you mean 'optimizer.learning_rate'?",
        ),
        (
            {"train": "x", "lerning_rate": 1.0},
            "unknown key 'lerning_rate'",
            "Did you mean 'optimizer.learning_rate'?",
        ),
        ({"train": {"data": "x", "spilt": "y"}}, "train.spilt", "Did you mean 'train.split'?"),
        ({"train": "x", "epochs": "many"}, "'epochs'", "gaudi-asr help recipes"),
        ({"kind": "finetune-cct", "train": "x"}, "unknown kind", "finetune-ctc"),
        ({}, "'train' is missing", "--set train="),
    ],
)
def test_an_invalid_recipe_is_rejected_with_a_remedy(values, message, remedy):
    with pytest.raises(RecipeError) as caught:
        check_recipe(values, origin="mine.yaml")

    assert message in caught.value.message
    assert remedy in caught.value.remedy


def test_for_a_misspelled_recipe_name_the_nearest_is_suggested():
    with pytest.raises(RecipeError) as caught:
        find_recipe("digit")

    assert "'digits'" in caught.value.remedy


def test_invalid_yaml_is_rejected_with_its_line(tmp_path):
    path = tmp_path / "broken.yaml"
    path.write_text("model: x\ntrain: [unclosed\n", encoding="utf-8")

    with pytest.raises(RecipeError, match="line 3"):
        load_recipe(str(path))


def test_settings_change_sections_and_create_them():
    values = with_settings({"train": "x"}, ["train.split=a", "optimizer.learning_rate=3e-4"])

    assert values == {
        "train": {"data": "x", "split": "a"},
        "optimizer": {"learning_rate": 3e-4},
    }


@pytest.mark.parametrize("setting", ["epochs", "=3", "model.name=x"])
def test_a_setting_of_the_wrong_form_is_rejected(setting):
    with pytest.raises(RecipeError):
        with_settings({"model": "scratch"}, [setting])


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3e-4", 3e-4),
        ('"3e-4"', "3e-4"),
        ('"0123456789"', "0123456789"),
        ("10%", "10%"),
        ("true", True),
        ("null", None),
        ("7", 7),
        ("a: [", "a: ["),
    ],
)
def test_values_are_parsed_as_yaml_with_exponents(text, value):
    assert parse_value(text) == value


def test_thousands_of_open_brackets_are_rejected_at_once(tmp_path):
    path = tmp_path / "deep.yaml"
    path.write_text("model: " + "[" * 20_000)

    with pytest.raises(RecipeError, match="nested too deeply"):
        read_recipe(path)

    assert parse_value("[" * 20_000) == "[" * 20_000
