import pytest
import typer

from gaudi_asr_cli.cli.app import app
from gaudi_asr_cli.cli.options import HpuModeName
from gaudi_asr_cli.cli.parsing import format_as_declared, with_converted_parameters
from gaudi_asr_cli.cli.passthrough import trainer_settings
from gaudi_asr_cli.cli.training_options import ALIASES, SETTINGS, settings_of
from gaudi_asr_cli.core.errors import UsageError
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

    assert format_as_declared(words, ALIASES) == ["--model", "x", "--epochs=3"]


def test_every_alias_leads_to_an_option_that_exists():
    import typer

    from gaudi_asr_cli.cli.app import app

    command = typer.main.get_command(app).commands["finetune-ctc"]

    assert set(ALIASES.values()) <= {name for one in command.params for name in one.opts}


@pytest.mark.parametrize("name", ["finetune-ctc", "finetune-seq2seq"])
def test_every_setting_belongs_to_a_parameter_and_to_the_recipe(name):
    import typer

    from gaudi_asr_cli.cli.app import app

    parameters = {one.name for one in typer.main.get_command(app).commands[name].params}
    sample = {"case": "lower", "unicode": "nfc", "freeze": "none", "dtype": "fp32", "warmup": "10%"}
    sample["task"] = "translate"
    values = {name: sample.get(name, 1) for name in SETTINGS}
    for part in ("train", "eval_data", "test"):
        values[part] = ["x"]
    text = ("model", "vocab", "language", "strip_chars", "config", "text_column")
    values.update(dict.fromkeys([*text, "train_split", "eval_split", "test_split"], "y"))
    given = {key: value for key, value in values.items() if key in parameters}

    recipe = check_recipe(with_settings({"kind": name}, settings_of(given)), origin="test")

    assert (recipe.train.data, recipe.train.config, recipe.eval.text_column) == (["x"], "y", "y")
    assert (recipe.batching.batch, recipe.text.strip_chars) == (1, "y")


def test_no_setting_is_without_a_command():
    import typer

    from gaudi_asr_cli.cli.app import app

    commands = typer.main.get_command(app).commands
    training = [commands[name] for name in ("finetune-ctc", "finetune-seq2seq")]

    assert set(SETTINGS) <= {one.name for command in training for one in command.params}


@pytest.mark.parametrize("characters", [",?.!-;:", '"', "- ", "#", "[x", "{", "'"])
def test_characters_to_strip_arrive_as_they_are(characters):
    settings = settings_of({"strip_chars": characters})

    assert with_settings({}, settings) == {"text": {"strip_chars": characters}}


def test_what_is_not_given_is_no_setting():
    assert list(settings_of({"model": None, "train": None, "eval_data": (), "epochs": None})) == []


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
