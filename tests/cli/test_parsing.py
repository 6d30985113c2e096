from typing import get_args

import pytest
import typer

from gaudi_asr_cli.cli.app import app
from gaudi_asr_cli.cli.options import HpuModeName
from gaudi_asr_cli.cli.parsing import format_as_declared, with_converted_parameters
from gaudi_asr_cli.cli.passthrough import trainer_settings
from gaudi_asr_cli.cli.training_options import script_aliases, settings_of
from gaudi_asr_cli.core.errors import UsageError
from gaudi_asr_cli.core.recipes.keys import RECIPE_KEYS, keys_of
from gaudi_asr_cli.core.recipes.loading import check_recipe, with_settings


class FakeCommand:
    params = ()


class FakeContext:
    command = FakeCommand()
    command_path = "gaudi-asr finetune-ctc"


def test_underscores_in_names_are_hyphens_and_values_stay():
    words = ["--max_steps=5", "--run", "my_run", "--set=trainer.save_steps=2", "a_b", "--", "--x_y"]

    assert format_as_declared(words, {}) == [
        "--max-steps=5",
        "--run",
        "my_run",
        "--set=trainer.save_steps=2",
        "a_b",
        "--",
        "--x_y",
    ]


def test_the_scripts_names_are_ours():
    words = ["--model_name_or_path", "x", "--num_train_epochs=3"]

    assert format_as_declared(words, script_aliases()) == ["--model", "x", "--epochs=3"]


def test_every_alias_leads_to_an_option_that_exists():
    command = typer.main.get_command(app).commands["finetune-ctc"]

    assert set(script_aliases().values()) <= {name for one in command.params for name in one.opts}


@pytest.mark.parametrize("kind", ["finetune-ctc", "finetune-seq2seq"])
def test_every_option_of_a_key_sets_that_key_of_the_recipe(kind):
    parameters = {one.name for one in typer.main.get_command(app).commands[kind].params}
    samples = {list[str]: ["x"], str: "y", int: 1, float: 1.0}
    given = {
        record.parameter: samples.get(record.type) or get_args(record.type)[-1]
        for record in keys_of(kind)
    }

    assert given.keys() <= parameters

    settings = list(settings_of(given, kind))
    recipe = check_recipe(with_settings({"kind": kind}, settings), origin="test")

    assert (
        len(settings) == len(given) + 2 * 2
    )  # --config and --text-column count for three sections
    assert (recipe.train.data, recipe.train.config, recipe.eval.text_column) == (["x"], "y", "y")
    assert (recipe.batching.batch, recipe.text.strip_chars, recipe.dtype) == (1, "y", "fp16")


@pytest.mark.parametrize("name", ["--beam-size", "--beams", "--beam-width"])
def test_a_beam_size_has_three_names(name):
    command = typer.main.get_command(app).commands["finetune-seq2seq"]
    context = command.make_context("finetune-seq2seq", [name, "4"])

    assert list(settings_of(context.params, "finetune-seq2seq")) == ["generation.beams=4"]


def test_no_key_has_two_options_in_a_command():
    for kind in ("finetune-ctc", "finetune-seq2seq"):
        keys = [record.key for record in keys_of(kind)]
        assert len(keys) == len(set(keys))
    assert {kind for record in RECIPE_KEYS for kind in record.kinds} == {
        "finetune-ctc",
        "finetune-seq2seq",
    }


@pytest.mark.parametrize("characters", [",?.!-;:", '"', "- ", "#", "[x", "{", "'"])
def test_characters_to_strip_arrive_as_they_are(characters):
    settings = settings_of({"strip_chars": characters}, "finetune-ctc")

    assert with_settings({}, settings) == {"text": {"strip_chars": characters}}


def test_what_is_not_given_is_no_setting():
    given = {"model": None, "train": None, "eval_data": (), "epochs": None}

    assert list(settings_of(given, "finetune-ctc")) == []


def test_fields_of_transformers_become_settings():
    words = ["--save-steps", "20", "--adam-beta1=0.8", "--max-grad-norm", "-1", "--bf16-full-eval"]

    assert trainer_settings(words, FakeContext()) == [
        "trainer.save_steps=20",
        "trainer.adam_beta1=0.8",
        "trainer.max_grad_norm=-1",
        "trainer.bf16_full_eval=true",
    ]


def test_what_transformers_do_not_know_is_refused_with_a_suggestion():
    with pytest.raises(UsageError) as caught:
        trainer_settings(["--save-stesp", "20"], FakeContext())

    assert "--save-steps" in caught.value.remedy


def test_a_stray_word_is_refused():
    with pytest.raises(UsageError, match="takes no argument 'x'"):
        trainer_settings(["x"], FakeContext())


def test_the_context_holds_parameters_as_the_command_gets_them():
    seen = {}

    def command(context: typer.Context, hpu_mode: HpuModeName = HpuModeName.AUTO) -> None:
        seen.update(context.params)

    context = typer.Context(typer.main.get_command(app))
    context.params = {"hpu_mode": "lazy"}

    with_converted_parameters(command)(context=context, hpu_mode=HpuModeName.LAZY)

    assert seen == {"hpu_mode": HpuModeName.LAZY}
    assert isinstance(seen["hpu_mode"], HpuModeName)
