"""Every command of the READMEs: each value arrives, each notice is told once."""

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
from gaudi_asr_cli.cli.old_commands import read_old, translated_words

MAP = read_flag_map()
COMMANDS = read_commands()
TRAINING = [one for one in read_commands("ctc", "seq2seq") if one.today != "eval-seq2seq"]
BENCHES = read_commands("bench")


def named(commands: list[OldCommand]) -> Any:
    return pytest.mark.parametrize("old", commands, ids=[one.id for one in commands])


def find(values: Any, key: str) -> Any:
    for part in key.split("."):
        values = values[int(part)] if isinstance(values, list) else values[part]
    return values


def wanted_of(target: str, value: Any) -> tuple[str, Any]:
    """The key that a flag sets, and what its value is there."""
    key, switch, words = target.partition("=")
    if switch:
        yes, _, no = words.partition("|")
        return key, yes if str(value).lower() == "true" else no
    if isinstance(value, list):
        return key, "".join(value)
    return key, MAP["today"].get(value, value) if key.endswith("data.0") else value


def same(one: Any, other: Any) -> bool:
    """Equal, or equal numbers however they are spelt."""
    if one == other:
        return True
    try:
        return float(one) == float(other)
    except (TypeError, ValueError):
        return False


@pytest.fixture(scope="module")
def imported():
    """What import-command says of a command, asked once."""
    answers: dict[str, Any] = {}

    def of(old: OldCommand) -> Any:
        if old.id not in answers:
            result = run_here("import-command", old.command, "--json")
            assert result.exit_code == 0, result.stderr
            answers[old.id] = json.loads(result.stdout)
        return answers[old.id]

    return of


def test_all_commands_are_here():
    assert len(COMMANDS) == 18
    assert len(TRAINING) == 11
    assert len(BENCHES) == 6


@named(TRAINING)
def test_every_mapped_value_arrives_in_the_recipe(old, imported):
    recipe = imported(old)["recipe"]

    for flag, value in old.flags.items():
        for target in MAP[old.script].get(flag, ()):
            key, wanted = wanted_of(target, value)
            assert same(find(recipe, key), wanted), flag


@named(TRAINING)
def test_defaults_of_the_scripts_are_set_where_no_flag_says_otherwise(old, imported):
    recipe = imported(old)["recipe"]
    defaults = dict(MAP["defaults"][old.script])
    for flag, others in MAP["defaults_of"].items():
        defaults |= others if flag in old.flags else {}
    said = {
        target.partition("=")[0].removesuffix(".0").removesuffix(".1")
        for flag in old.flags
        for target in MAP[old.script].get(flag, ())
    }

    for key, value in defaults.items():
        if key not in said:
            assert same(find(recipe, key), value), key


@named(BENCHES)
def test_every_value_of_a_benchmark_arrives_in_its_options(old):
    command = typer.main.get_command(app).commands["bench"]
    translation = read_old("wav2vec", old.words, command)
    given = command.make_context("bench", translated_words(translation, scores=True)).params

    for flag, value in old.flags.items():
        for key in MAP["bench"].get(flag.lstrip("-"), ()):
            assert str(getattr(given[key], "value", given[key])) == str(value)
    assert given["rule"].value == "quantile"
    assert given["data"] == [
        "hf-internal-testing/librispeech_asr_dummy"
        if "dev_clean_ds" in old.flags
        else "openslr/librispeech_asr"
    ]


def test_every_value_of_an_evaluation_arrives_in_its_options():
    old = next(one for one in COMMANDS if one.today == "eval-seq2seq")
    command = typer.main.get_command(app).commands[old.today]
    words = translated_words(read_old("seq2seq", old.words, command), scores=True)
    given = command.make_context(old.today, words).params

    for flag, value in old.flags.items():
        for target in MAP["eval-seq2seq"].get(flag, ()):
            key, wanted = wanted_of(target, value)
            found = find(given, key)
            assert same(getattr(found, "value", found), wanted), flag
    assert given["normalizer"].value == "none"
    assert given["case"].value == "lower"


@named(COMMANDS)
def test_each_notice_is_told_once(old, imported):
    told = [one["flag"] for one in imported(old)["notices"] if one["fate"] != "repeated"]

    flags = [flag for flag in told if flag]
    assert len(flags) == len(set(flags))
    shown = run_here("import-command", old.command).stderr
    for flag in flags:
        names = [line for line in shown.splitlines() if f"{flag}:" in line or f"{flag} " in line]
        assert names, flag
    assert shown.count("An old command, of") == 1


@named(COMMANDS)
def test_what_is_printed_is_a_command_of_today_that_says_the_same(old, imported, tmp_path):
    (tmp_path / "zero.json").write_text("{}")
    program, name, *words = shlex.split(imported(old)["command"])
    # A file that is named must be there when the command is run.
    words = [str(tmp_path / "zero.json") if "deepspeed_zero" in one else one for one in words]
    command = typer.main.get_command(app).commands[name]

    assert (program, name) == ("gaudi-asr", old.today)
    assert read_old(command.old_script, words, command) is None
    assert command.make_context(name, words).args == []


@named(COMMANDS)
def test_a_notice_names_an_option_that_the_command_has(old, imported):
    command = typer.main.get_command(app).commands[old.today]
    options = {name for one in command.params for name in (*one.opts, *one.secondary_opts)}

    for notice in imported(old)["notices"]:
        for option in re.findall(r"^is (--[a-z-]+)", notice["message"]):
            assert option in options, notice


def test_splits_that_nobody_named_are_told(imported):
    old = next(one for one in COMMANDS if one.id == "ctc-common-voice-gpu")

    unasked = imported(old)["notices"][-1]["message"]

    assert "train.split train+validation, eval.split test" in unasked
    assert "evaluation.keep last" in unasked


def fates(answer: Any) -> dict[str, str]:
    return {one["flag"]: one["fate"] for one in answer["notices"]}


def message(answer: Any, flag: str) -> str:
    return next(one["message"] for one in answer["notices"] if one["flag"] == flag)


def test_the_flags_of_the_first_readme_are_told_by_what_became_of_them(imported):
    answer = imported(COMMANDS[0])

    assert fates(answer)["--use_habana"] == "renamed"
    assert fates(answer)["--gaudi_config_name"] == "dropped"
    assert fates(answer)["--trust_remote_code"] == "dangerous"
    assert fates(answer)["ctc_zero_infinity"] == "dangerous"
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
LITTLE = "--dataset_name a/b --model_name_or_path c --do_train"


@pytest.mark.parametrize("launcher", LAUNCHES)
def test_launcher_words_in_front_are_understood(launcher):
    plain = json.loads(
        run_here(
            "import-command", f"python run_speech_recognition_ctc.py {LITTLE}", "--json"
        ).stdout
    )

    line = f"{launcher} examples/run_speech_recognition_ctc.py {LITTLE}"
    answer = json.loads(run_here("import-command", line, "--json").stdout)

    assert answer["command"] == f"{plain['command']} {LAUNCHES[launcher]}".strip()
    assert answer["recipe"] == plain["recipe"]


def test_environment_that_is_still_good_is_named():
    line = f"HF_HOME=/x OMP_NUM_THREADS=1 python run_speech_recognition_ctc.py {LITTLE}"

    answer = json.loads(run_here("import-command", line, "--json").stdout)

    assert fates(answer)["HF_HOME=/x"] == "kept"
    assert fates(answer)["OMP_NUM_THREADS=1"] == "dropped"


def test_launcher_words_pasted_behind_the_script_are_not_followed():
    script = "run_speech_recognition_ctc.py"
    line = f"python {script} --nproc_per_node 8 {script} {LITTLE}"

    answer = json.loads(run_here("import-command", line, "--json").stdout)

    assert "--cards" not in answer["command"]
    assert "not followed (add --cards 8 if it was meant)" in str(answer["notices"])


def test_lines_that_go_on_and_other_commands_behind_are_fine():
    line = (
        "cd x && python run_speech_recognition_ctc.py \\\n  --dataset_name a \\\n --do_train && ls"
    )

    answer = json.loads(run_here("import-command", line, "--json").stdout)

    assert answer["recipe"]["train"]["data"] == ["a"]


@pytest.mark.parametrize(
    ("words", "says", "tries"),
    [
        (["python train.py --dataset_name a"], "No old script", "wav2vec.py"),
        ([f"python run_speech_recognition_ctc.py {LITTLE} --lerning_rate 3e-4"],
         "--lerning_rate", "--learning_rate"),
        ([f"python run_speech_recognition_ctc.py {LITTLE} --chars_to_ignore 'x"], "quotation", ""),
        (["python run_speech_recognition_ctc.py --dataset_name a"], "Neither", "--do_eval"),
        (["python run_speech_recognition_ctc.py --dataset_name --do_train"], "no value", ""),
        ([f"python run_speech_recognition_ctc.py {LITTLE} --warmup_steps many"], "no number", ""),
        ([f"python run_speech_recognition_ctc.py {LITTLE} --bf16=maybe"], "true or false", ""),
        (["$PYTHON wav2vec.py --use_graphs --bukets 5"], "--bukets", "--buckets"),
    ],
)  # fmt: skip
def test_a_wrong_line_is_refused_with_a_remedy(words, says, tries):
    result = run_here("import-command", *words)

    assert (result.exit_code, result.stdout) == (2, "")
    assert says in result.stderr
    assert tries in result.stderr


def test_a_misspelt_flag_swallows_nothing_and_gets_a_suggestion():
    result = run_here("finetune-ctc", *LITTLE.split(), "--freze_feature_encoder", "file.wav")

    assert result.exit_code == 2
    assert "has an option --freze_feature_encoder" in result.stderr
    assert "--freeze_feature_encoder" in result.stderr.partition("Did you mean")[2]


@pytest.mark.parametrize("words", [["--nproc_per_node", "8"], ["--world_size", "8", "--use_mpi"]])
def test_a_launchers_words_behind_the_command_are_told_from_the_scripts(words):
    result = run_here("finetune-ctc", *words, *LITTLE.split())

    assert result.exit_code == 2
    assert f"{words[0]} is a launcher's option" in result.stderr
    assert "--cards N" in result.stderr


def test_a_score_without_a_model_is_refused():
    result = run_here("finetune-ctc", "--do_eval")

    assert result.exit_code == 2
    assert "no model is named" in result.stderr
    assert "--model" in result.stderr.partition("try:")[2]
