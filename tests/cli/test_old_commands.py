"""Every command of the READMEs: each value is translated, each notice is shown once."""

from __future__ import annotations

import json
import re
import shlex
from typing import Any

import pytest
import typer
from helpers.old_commands import OldCommand, read_commands, read_flag_map
from helpers.run import run_here

from gaudi_asr_cli.cli.app import app
from gaudi_asr_cli.cli.old_commands import translate_if_legacy, translated_words

MAP = read_flag_map()
COMMANDS = read_commands()
TRAINING = [old for old in read_commands("ctc", "seq2seq") if old.current != "eval-seq2seq"]
BENCHES = read_commands("bench")


def named(commands: list[OldCommand]) -> Any:
    return pytest.mark.parametrize("old", commands, ids=[old.id for old in commands])


def find(values: Any, key: str) -> Any:
    for part in key.split("."):
        values = values[int(part)] if isinstance(values, list) else values[part]
    return values


def expected_value(target: str, value: Any) -> tuple[str, Any]:
    """Return the key that a flag sets, and its value there."""
    key, switch, words = target.partition("=")
    if switch:
        yes, _, no = words.partition("|")
        return key, yes if str(value).lower() == "true" else no
    if isinstance(value, list):
        return key, "".join(value)
    return key, MAP["today"].get(value, value) if key.endswith("data.0") else value


def equal(one: Any, other: Any) -> bool:
    """Return whether two values are equal, or equal as numbers."""
    if one == other:
        return True
    try:
        return float(one) == float(other)
    except (TypeError, ValueError):
        return False


@pytest.fixture(scope="module")
def imported():
    """Return a function that runs import-command once per command."""
    answers: dict[str, Any] = {}

    def run(old: OldCommand) -> Any:
        if old.id not in answers:
            result = run_here("import-command", old.command, "--json")
            assert result.exit_code == 0, result.stderr
            answers[old.id] = json.loads(result.stdout)
        return answers[old.id]

    return run


def test_all_commands_of_the_readmes_are_listed():
    assert len(COMMANDS) == 18
    assert len(TRAINING) == 11
    assert len(BENCHES) == 6


@named(TRAINING)
def test_every_mapped_value_is_in_the_recipe(old, imported):
    recipe = imported(old)["recipe"]

    for flag, value in old.flags.items():
        for target in MAP[old.script].get(flag, ()):
            key, expected = expected_value(target, value)
            assert equal(find(recipe, key), expected), flag


@named(TRAINING)
def test_defaults_of_the_scripts_are_set_where_no_flag_says_otherwise(old, imported):
    recipe = imported(old)["recipe"]
    defaults = dict(MAP["defaults"][old.script])
    for flag, others in MAP["defaults_of"].items():
        defaults |= others if flag in old.flags else {}
    given = {
        target.partition("=")[0].removesuffix(".0").removesuffix(".1")
        for flag in old.flags
        for target in MAP[old.script].get(flag, ())
    }

    for key, value in defaults.items():
        if key not in given:
            assert equal(find(recipe, key), value), key


@named(BENCHES)
def test_every_value_of_a_benchmark_is_in_its_options(old):
    command = typer.main.get_command(app).commands["bench"]
    translation = translate_if_legacy("wav2vec", old.words, command)
    given = command.make_context("bench", translated_words(translation, evaluates=True)).params

    for flag, value in old.flags.items():
        for key in MAP["bench"].get(flag.lstrip("-"), ()):
            assert str(getattr(given[key], "value", given[key])) == str(value)
    assert given["rule"].value == "quantile"
    assert given["data"] == [
        "hf-internal-testing/librispeech_asr_dummy"
        if "dev_clean_ds" in old.flags
        else "openslr/librispeech_asr"
    ]


def test_every_value_of_an_evaluation_is_in_its_options():
    old = next(one for one in COMMANDS if one.current == "eval-seq2seq")
    command = typer.main.get_command(app).commands[old.current]
    words = translated_words(translate_if_legacy("seq2seq", old.words, command), evaluates=True)
    given = command.make_context(old.current, words).params

    for flag, value in old.flags.items():
        for target in MAP["eval-seq2seq"].get(flag, ()):
            key, expected = expected_value(target, value)
            found = find(given, key)
            assert equal(getattr(found, "value", found), expected), flag
    assert given["normalizer"].value == "none"
    assert given["case"].value == "lower"


@named(COMMANDS)
def test_each_notice_is_shown_once(old, imported):
    notices = imported(old)["notices"]

    flags = [one["flag"] for one in notices if one["flag"] and one["fate"] != "repeated"]
    assert len(flags) == len(set(flags))
    shown = run_here("import-command", old.command).stderr
    for flag in flags:
        names = [line for line in shown.splitlines() if f"{flag}:" in line or f"{flag} " in line]
        assert names, flag
    assert shown.count("An old command, of") == 1


@named(COMMANDS)
def test_the_printed_command_is_valid_and_not_a_legacy_one(old, imported, tmp_path):
    (tmp_path / "zero.json").write_text("{}")
    program, name, *words = shlex.split(imported(old)["command"])
    # The command reads the file that it names.
    words = [str(tmp_path / "zero.json") if "deepspeed_zero" in one else one for one in words]
    command = typer.main.get_command(app).commands[name]

    assert (program, name) == ("gaudi-asr", old.current)
    assert translate_if_legacy(command.old_script, words, command) is None
    assert command.make_context(name, words).args == []


@named(COMMANDS)
def test_a_notice_names_an_option_that_the_command_has(old, imported):
    command = typer.main.get_command(app).commands[old.current]
    options = {name for one in command.params for name in (*one.opts, *one.secondary_opts)}

    for notice in imported(old)["notices"]:
        for option in re.findall(r"^is (--[a-z-]+)", notice["message"]):
            assert option in options, notice


def test_default_splits_are_reported(imported):
    old = next(one for one in COMMANDS if one.id == "ctc-common-voice-gpu")

    defaults = imported(old)["notices"][-1]["message"]

    assert "train.split train+validation, eval.split test" in defaults
    assert "evaluation.keep last" in defaults


def statuses(answer: Any) -> dict[str, str]:
    return {one["flag"]: one["fate"] for one in answer["notices"]}


def message(answer: Any, flag: str) -> str:
    return next(one["message"] for one in answer["notices"] if one["flag"] == flag)


def test_the_flags_of_the_first_readme_have_their_status(imported):
    answer = imported(COMMANDS[0])

    assert statuses(answer)["--use_habana"] == "renamed"
    assert statuses(answer)["--gaudi_config_name"] == "dropped"
    assert statuses(answer)["--trust_remote_code"] == "dangerous"
    assert statuses(answer)["ctc_zero_infinity"] == "dangerous"
    assert "mask_time_prob" in message(answer, "--use_hpu_graphs_for_training")
    assert "#$&'()*+/0123456789" in message(answer, "--chars_to_ignore")
    assert "openslr/librispeech_asr" in message(answer, "--dataset_name")
    assert "--device hpu --hpu-mode lazy" in answer["command"]


LAUNCHES = {
    "python -m torch.distributed.launch --nproc_per_node 8": "--cards 8",
    "torchrun --nproc_per_node=8 --nnodes 2": "--cards 8 --nodes 2",
    "python gaudi_spawn.py --world_size 8 --use_mpi": "--cards 8 --launcher mpi",
    "gaudi_spawn.py --hostfile hosts --world_size 4 --use_deepspeed": (
        "--cards 4 --hostfile hosts --launcher deepspeed"
    ),
    "mpirun -np 8 --bind-to core --map-by socket:PE=6 python3": "--cards 8 --launcher mpi",
    "deepspeed --num_nodes 1 --num_gpus 8 --no_local_rank": "--cards 8 --launcher deepspeed",
    "OMP_NUM_THREADS=1 $PYTHON": "",
    "PT_HPU_LAZY_MODE=0 python": "--hpu-mode eager",
    "PT_HPU_LAZY_MODE=1 HF_HOME=/x python3 -u": "--hpu-mode lazy",
}
MINIMAL = "--dataset_name a/b --model_name_or_path c --do_train"


@pytest.mark.parametrize("launcher", LAUNCHES)
def test_a_launcher_before_the_script_is_translated(launcher):
    plain = json.loads(
        run_here(
            "import-command", f"python run_speech_recognition_ctc.py {MINIMAL}", "--json"
        ).stdout
    )

    line = f"{launcher} examples/run_speech_recognition_ctc.py {MINIMAL}"
    answer = json.loads(run_here("import-command", line, "--json").stdout)

    assert answer["command"] == f"{plain['command']} {LAUNCHES[launcher]}".strip()
    assert answer["recipe"] == plain["recipe"]


def test_environment_variables_that_are_still_needed_are_named():
    line = f"HF_HOME=/x OMP_NUM_THREADS=1 python run_speech_recognition_ctc.py {MINIMAL}"

    answer = json.loads(run_here("import-command", line, "--json").stdout)

    assert statuses(answer)["HF_HOME=/x"] == "kept"
    assert statuses(answer)["OMP_NUM_THREADS=1"] == "dropped"


def test_a_launcher_pasted_after_the_script_is_not_followed():
    script = "run_speech_recognition_ctc.py"
    line = f"python {script} --nproc_per_node 8 {script} {MINIMAL}"

    answer = json.loads(run_here("import-command", line, "--json").stdout)

    assert "--cards" not in answer["command"]
    assert "not followed (add --cards 8 if it was intended)" in str(answer["notices"])


def test_continued_lines_and_following_commands_are_accepted():
    line = (
        "cd x && python run_speech_recognition_ctc.py \\\n  --dataset_name a \\\n --do_train && ls"
    )

    answer = json.loads(run_here("import-command", line, "--json").stdout)

    assert answer["recipe"]["train"]["data"] == ["a"]


@pytest.mark.parametrize(
    ("words", "message", "remedy"),
    [
        (["python train.py --dataset_name a"], "No old script", "wav2vec.py"),
        ([f"python run_speech_recognition_ctc.py {MINIMAL} --lerning_rate 3e-4"],
         "--lerning_rate", "--learning_rate"),
        ([f"python run_speech_recognition_ctc.py {MINIMAL} --chars_to_ignore 'x"], "quotation", ""),
        (["python run_speech_recognition_ctc.py --dataset_name a"], "Neither", "--do_eval"),
        (["python run_speech_recognition_ctc.py --dataset_name --do_train"], "no value", ""),
        ([f"python run_speech_recognition_ctc.py {MINIMAL} --warmup_steps many"],
         "not a number", ""),
        ([f"python run_speech_recognition_ctc.py {MINIMAL} --bf16=maybe"], "true or false", ""),
        (["$PYTHON wav2vec.py --use_graphs --bukets 5"], "--bukets", "--buckets"),
    ],
)  # fmt: skip
def test_a_line_with_an_error_is_rejected_with_a_remedy(words, message, remedy):
    result = run_here("import-command", *words)

    assert (result.exit_code, result.stdout) == (2, "")
    assert message in result.stderr
    assert remedy in result.stderr


def test_a_misspelled_flag_takes_no_value_and_gets_a_suggestion():
    result = run_here("finetune-ctc", *MINIMAL.split(), "--freze_feature_encoder", "file.wav")

    assert result.exit_code == 2
    assert "has an option --freze_feature_encoder" in result.stderr
    assert "--freeze_feature_encoder" in result.stderr.partition("Did you mean")[2]


@pytest.mark.parametrize("words", [["--nproc_per_node", "8"], ["--world_size", "8", "--use_mpi"]])
def test_a_launchers_options_after_the_command_are_distinguished_from_the_scripts(words):
    result = run_here("finetune-ctc", *words, *MINIMAL.split())

    assert result.exit_code == 2
    assert f"{words[0]} is a launcher's option" in result.stderr
    assert "--cards N" in result.stderr


def test_an_evaluation_without_a_model_is_rejected():
    result = run_here("finetune-ctc", "--do_eval")

    assert result.exit_code == 2
    assert "no model is named" in result.stderr
    assert "--model" in result.stderr.partition("try:")[2]
