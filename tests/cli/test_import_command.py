"""Legacy lines as users have them: redirections, variables, launchers, containers, mistakes."""

from __future__ import annotations

import json
import shlex
import subprocess
from pathlib import Path

import pytest
from helpers.run import run_here

SCRIPT = "run_speech_recognition_ctc.py"
FLAGS = "--model_name_or_path m --dataset_name d --do_train"
PLAIN = f"python {SCRIPT} {FLAGS}"


def answer(*line):
    result = run_here("import-command", *line, "--json")
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


def rejection(*line):
    result = run_here("import-command", *line)
    assert (result.exit_code, result.stdout) == (2, "")
    return result.stderr


def added(line):
    """Return the words that the translation adds to that of PLAIN."""
    return answer(line)["command"].removeprefix(answer(PLAIN)["command"]).strip()


def notices(line):
    return {one["flag"]: one for one in answer(line)["notices"]}


@pytest.mark.parametrize(
    ("line", "flags"),
    [
        (f"{PLAIN} > log.txt 2>&1", ["> log.txt", "2>&1"]),
        (f"{PLAIN} 2> err >> out < /dev/null", ["2> err", ">> out", "< /dev/null"]),
        (f"{PLAIN} |& tee -a log", ["| tee -a log"]),
        (f"nohup {PLAIN} &", ["nohup", "&"]),
        (f"cd x && {PLAIN} && echo done; ls", ["cd x", "echo done", "ls"]),
        (f"A=1 env B=2 sudo -E time {PLAIN}", ["A=1", "B=2", "sudo -E", "time"]),
        (f"CUDA_VISIBLE_DEVICES=0 stdbuf -oL numactl -N 0 {PLAIN}", ["stdbuf -oL", "numactl -N 0"]),
        (f"nice -n 19 timeout -k 5 8h taskset -c 0-3 {PLAIN}", ["nice -n 19", "taskset -c 0-3"]),
        (f"conda run -n env {PLAIN}", ["-n env"]),
        (f"srun -n 8 -N 2 {PLAIN}", ["-n 8", "-N 2"]),
        (f"!{PLAIN} # a notebook's cell", []),
        (f"{PLAIN} --output_dir /runs/wav2vec".replace(" --output_dir /runs/wav2vec", ""), []),
        (f"#!/bin/sh\nset -e\n# {SCRIPT}\n{PLAIN}\necho", ["set -e", "echo"]),
        (f"grep x {SCRIPT}; {PLAIN}", [f"grep x {SCRIPT}"]),
    ],
)
def test_words_of_the_shell_are_reported_and_not_translated(line, flags):
    assert added(line) == ""

    found = notices(line)
    for flag in flags:
        assert found[flag]["fate"] == "kept"


@pytest.mark.parametrize(
    ("front", "options"),
    [
        ("torchrun --nproc_per_node 8 --nnodes=2 --node-rank 1 --master_addr a --master_port=7",
         "--cards 8 --nodes 2 --node-rank 1 --master a:7"),
        ("torchrun --nproc-per-node=4 --nnodes 2 --node_rank=0 --rdzv_endpoint a:7 --rdzv_id 9",
         "--cards 4 --nodes 2 --node-rank 0 --master a:7"),
        ("torchrun --nnodes 2 --node_rank 1 --master_addr a",
         "--nodes 2 --node-rank 1 --master a:29500"),
        ("python -m torch.distributed.run --nproc_per_node 08 --max_restarts 3",
         "--cards 8 --max-restarts 3"),
        ("python3 -m torch.distributed.launch --nproc_per_node 8 --use_env --master_port 29501",
         "--cards 8"),
        ("torchrun --nproc_per_node gpu", ""),
        ("mpirun -np 16 -H a:8,b:8 -x PATH --mca btl tcp", "--cards 8 --nodes 2 --launcher mpi"),
        ("mpirun -n 8 --hostfile h", "--cards 8 --hostfile h --launcher mpi"),
        ("deepspeed --num_gpus=8 --hostfile h", "--cards 8 --hostfile h --launcher deepspeed"),
        ("deepspeed --include localhost:0,1,2", "--cards 3 --launcher deepspeed"),
        ("python ../gaudi_spawn.py --hostfile h --world_size 8 --use_deepspeed",
         "--cards 8 --hostfile h --launcher deepspeed"),
        ("accelerate launch --num_processes 16 --num_machines 2 --machine_rank 1 "
         "--main_process_ip a --main_process_port 7 --multi_gpu",
         "--cards 8 --nodes 2 --node-rank 1 --master a:7"),
        ("srun -n 8 torchrun --nproc_per_node 4", "--cards 4"),
    ],
)  # fmt: skip
def test_the_options_of_a_launcher_are_translated(front, options):
    assert added(f"{front} {SCRIPT} {FLAGS}") == options


@pytest.mark.parametrize(
    ("front", "flag", "message"),
    [
        ("torchrun --nproc_per_node $N", "--nproc_per_node $N", "--cards N"),
        ("torchrun --nproc_per_node auto", "--nproc_per_node auto", "--cards N"),
        ("torchrun --nnodes 1:4", "--nnodes 1:4", "fixed"),
        ("torchrun --nnodes 2", "--node_rank", "--node-rank N"),
        ("torchrun --nnodes 2", "--master_addr", "--master HOST:PORT"),
        ("torchrun --master_port 7", "--master_port 7", "free port"),
        ("torchrun --rdzv-backend c10d", "--rdzv-backend c10d", "gaudi-asr starts"),
        ("mpirun -np 8 --hostfile h", "-np 8", "on all nodes"),
        ("mpirun -np 2 -H a,b", "-H a,b", "--hostfile"),
        ("deepspeed", "deepspeed", "--launcher deepspeed"),
        ("$LAUNCH", "$LAUNCH", "--cards N"),
        ("accelerate launch --mixed_precision bf16", "--mixed_precision bf16", "--dtype bf16"),
    ],
)
def test_launcher_options_that_cannot_be_translated_are_reported(front, flag, message):
    assert message in notices(f"{front} {SCRIPT} {FLAGS}")[flag]["message"]


def test_an_evaluation_command_gets_the_number_of_devices_and_no_nodes():
    seq2seq = f"{SCRIPT.replace('ctc', 'seq2seq')} --do_eval --model_name_or_path m"

    line = f"torchrun --nnodes 2 --nproc_per_node 8 {seq2seq} --dataset_name d"

    assert answer(line)["command"].endswith("--cards 8")
    assert "one node" in notices(line)["--nnodes"]["message"]


def test_a_benchmark_gets_no_options_of_a_launcher():
    line = "torchrun --nproc_per_node 8 wav2vec.py --dtype bf16"

    assert "--cards" not in answer(line)["command"]
    assert "one process" in notices(line)["--nproc_per_node"]["message"]


@pytest.mark.parametrize(
    "around",
    [
        'docker run --rm -it --gpus all -v /a:/b -e PT_HPU_LAZY_MODE=0 img bash -c "{}"',
        "docker exec -e PT_HPU_LAZY_MODE=0 -w /x -v /a:/b box sh -lc '{}'",
        'PT_HPU_LAZY_MODE=0 kubectl exec -n ns pod -v /a:/b -- bash -c "{}"',
        "ssh host \"docker run -v /a:/b -e PT_HPU_LAZY_MODE=0 img bash -c '{}'\"",
    ],
)
def test_the_command_inside_a_container_is_translated(around):
    line = around.format(f"cd x && torchrun --nproc_per_node 4 {SCRIPT} {FLAGS}")

    assert added(line) == "--cards 4 --hpu-mode eager"
    assert notices(line)["-v /a:/b"]["fate"] == "kept"


def test_the_command_inside_a_slurm_job_is_translated():
    assert added(f'sbatch -N 1 --wrap="{PLAIN} > log"') == ""
    assert added(f"srun bash -c '{PLAIN}'") == ""


def test_too_many_nested_shells_are_rejected(monkeypatch):
    monkeypatch.setattr("gaudi_asr_cli.core.legacy.lines.MAX_SHELL_DEPTH", 2)
    line = f"sh -c {shlex.quote(PLAIN)}"

    assert added(line) == ""
    for _ in range(2):
        line = f"bash -c {shlex.quote(line)}"
    assert "innermost" in rejection(line)


def test_a_variable_is_kept_and_its_option_is_named():
    line = (
        f'python {SCRIPT} --model_name_or_path $MODEL --output_dir="$OUT/x y" --do_train '
        "--dataset_name ${DATA:-d} --num_train_epochs 7"
    )

    found = answer(line)

    assert '--model "$MODEL"' in found["command"]
    assert '--train "${DATA:-d}"' in found["command"]
    assert '--run "$OUT/x y"' in found["command"]
    assert found["recipe"]["epochs"] == 7
    unknown = {one["flag"]: one["message"] for one in found["notices"] if one["fate"] == "unknown"}
    assert {flag: text.split(" is ")[0] for flag, text in unknown.items()} == {
        "--model_name_or_path": "the value of $MODEL",
        "--output_dir": "the value of $OUT",
        "--dataset_name": "the value of ${DATA:-d}",
    }


@pytest.mark.parametrize(
    ("words", "flag"),
    [
        ("--learning_rate $LR", "--learning_rate"),
        ("--learning_rate=${LR:-1e-3}", "--learning_rate"),
        ("--num_train_epochs $(cat epochs)", "--num_train_epochs"),
        ("--seed `date +%s`", "--seed"),
        ("--chars_to_ignore , $CHARS ? !", "--chars_to_ignore"),
        ("--bf16=$BF16", "--bf16"),
        ("$EXTRA", "$EXTRA"),
        ('"$@"', "$@"),
        ("--gradient_checkpointing $MORE", "$MORE"),
        ("--$NAME", "--$NAME"),
    ],
)
def test_an_unknown_number_switch_or_word_is_left_out_and_named(words, flag):
    line = f"{PLAIN} {words}"

    found = answer(line)

    gradient = " --set gradient_checkpointing=true" if "gradient" in words else ""
    assert found["recipe"]["optimizer"] == answer(PLAIN)["recipe"]["optimizer"]
    assert "$" not in found["command"]
    assert ("gradient_checkpointing=true" in found["command"]) is bool(gradient)
    assert notices(line)[flag]["fate"] == "unknown"


def test_a_command_in_a_line_is_neither_run_nor_passed_on(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    line = (
        f"touch a; $(touch b) python {SCRIPT} --model_name_or_path $(touch c) --do_train "
        "--dataset_name `touch d` > >(touch e)"
    )

    command = answer(line)["command"]

    subprocess.run(["sh", "-c", f"true {command}"], check=True)
    assert list(tmp_path.iterdir()) == []


def test_a_path_below_home_is_kept():
    assert added(f"{PLAIN} --output_dir ~/runs/a").endswith("--run ~/runs/a")


def test_a_glob_is_taken_as_written():
    line = f"{PLAIN} --train_split_name a*"

    assert "--train-split 'a*'" in answer(line)["command"]
    assert any("file names" in one["message"] for one in answer(line)["notices"])
    assert all(
        one["fate"] != "unknown" for one in answer(f"{PLAIN} --chars_to_ignore ,?!")["notices"]
    )


def test_lines_without_a_backslash_are_joined_and_reported():
    line = f"python {SCRIPT}\n  {FLAGS}\n  --bf16"

    assert answer(line)["recipe"]["dtype"] == "bf16"
    assert any(one["fate"] == "repaired" for one in answer(line)["notices"])


@pytest.mark.parametrize(
    ("words", "state"),
    [
        ("", "missing"),
        ("--model_name_or_path ''", "empty"),
        ("--model_name_or_path=", "empty"),
        ("--model-name-or-path=' '", "empty"),
    ],
)
def test_a_missing_model_is_reported(words, state):
    line = f"python {SCRIPT} --dataset_name d --do_train {words}"

    assert notices(line)["--model_name_or_path"]["fate"] == "missing"
    assert notices(line)["--model_name_or_path"]["message"].startswith(f"is {state}")


@pytest.mark.parametrize("words", ["", "--dataset_name ''", "--dataset-name="])
def test_a_line_without_data_is_rejected(words):
    message = rejection(f"python {SCRIPT} --model_name_or_path m --do_train {words}")

    assert "--dataset_name is " in message
    assert "the script required it" in message


def test_a_model_named_by_a_current_option_is_not_missing():
    line = f"python {SCRIPT} --dataset_name d --do_train --model m"

    assert "--model_name_or_path" not in notices(line)


@pytest.mark.parametrize(
    ("line", "message", "remedy"),
    [
        (f"python {SCRIPT} --dataset_name my data --do_train", "'data'", "quotation marks"),
        (f"{PLAIN} stray", "'stray' belongs to no option, after --do_train", "leave the word"),
        ("python wav2vec.py --use_graphs a.wav", "'a.wav'", "leave the word out"),
        (f"{PLAIN} --output_dir 'runs/a", "quotation mark ' that opens in line 1", "Close it"),
        (f'{PLAIN} \\\n --output_dir "runs/a', "line 2", "Close it"),
        (f"{PLAIN} --seed $(date", "not closed", "Close it"),
        (f"{PLAIN} \u2013bf16", "dash that is not a hyphen", "Write --bf16"),
        (f"{PLAIN} --chars_to_ignore , \u2014do_eval", "dash", "Write --do_eval"),
        (f"{PLAIN} -seed 3", "-seed", "--seed"),
        (f"{PLAIN} --num_train 3", "--num_train", "--num_train_epochs"),
        (f"{PLAIN} --learning-rte 3", "--learning-rte", "--learning_rate"),
        (f"{PLAIN} --hub_tokn=hf_abcdefghijk", "--hub_tokn.", "--hub_token"),
        ("", "No old script", SCRIPT),
        ("echo 'python train.py'", "No old script", SCRIPT),
    ],
)
def test_a_line_with_an_error_is_rejected_with_a_remedy(line, message, remedy):
    shown = rejection(line)

    assert message in shown
    assert remedy in shown
    assert "hf_abc" not in shown


@pytest.mark.parametrize(
    "words",
    [
        ["torchrun", "--nproc_per_node", "8", SCRIPT, *FLAGS.split()],
        ["--", "torchrun", "--nproc_per_node=8", SCRIPT, *FLAGS.split()],
        ["docker", "run", "img", "bash", "-c", f"torchrun --nproc_per_node 8 {SCRIPT} {FLAGS}"],
    ],
)
def test_a_line_may_come_without_quotes(words):
    assert answer(*words)["command"] == f"{answer(PLAIN)['command']} --cards 8"


def test_a_script_without_flags_is_translated():
    assert answer("python wav2vec.py")["command"].startswith("gaudi-asr bench --model ")


def test_help_after_or_instead_of_a_line_is_that_of_the_command():
    assert "import-command [OPTIONS]" in run_here("import-command", "--help").stdout
    assert "import-command [OPTIONS]" in run_here("import-command", PLAIN, "-h").stdout
    assert added(f"docker run -h box img {PLAIN}") == ""


def test_no_secret_is_shown():
    line = (
        "export HF_TOKEN=hf_abcdefghijk; WANDB_API_KEY=sesame docker run -e MY_SECRET=sesame "
        f"img {PLAIN} --hub_token sesame --token hf_abcdefghijk"
    )

    result = run_here("import-command", line)
    shown = result.stdout + result.stderr + json.dumps(answer(line))

    assert "sesame" not in shown
    assert "hf_abc" not in shown


def test_hyphens_underscores_equals_signs_and_repeats_are_accepted():
    line = f"{PLAIN} --per-device-train-batch_size=3 --seed 1 --seed=2"

    assert answer(line)["recipe"]["batching"]["batch"] == 3
    assert answer(line)["recipe"]["seed"] == 2
    assert any(one["fate"] == "repeated" for one in answer(line)["notices"])


def test_random_lines_end_in_a_translation_or_a_user_error(monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "fuzz"))
    from fuzz_import_command import case
    from fuzzing import fuzz

    tally = fuzz(case, seed=12, cases=150, seconds=60)

    assert tally.faults == []
    assert tally.read > 10


@pytest.mark.parametrize("flag", ["--bf16", "--fp16"])
def test_a_precision_that_is_off_sets_no_dtype(flag):
    assert added(f"{PLAIN} {flag} False") == ""
    assert "is off" in notices(f"{PLAIN} {flag} False")[flag]["message"]


def test_a_line_that_is_not_utf8_is_rejected():
    assert "not valid UTF-8 at character 8" in rejection("python \udcff wav2vec.py")


@pytest.mark.parametrize(
    ("given", "services"),
    [("tensorboard wandb", ["tensorboard", "wandb"]), ("none", ["none"]), ("=mlflow", ["mlflow"])],
)
def test_trackers_are_passed_on(given, services):
    line = f"{PLAIN} --report_to{given if given[0] == '=' else ' ' + given}"

    assert answer(line)["recipe"]["trainer"] == {"report_to": services}


@pytest.mark.parametrize("given", ["--push_to_hub", "--push_to_hub True --hub_model_id me/x"])
def test_the_upload_of_a_script_is_not_followed(given):
    line = f"{PLAIN} {given}"

    assert notices(line)["--push_to_hub"]["fate"] == "dangerous"
    assert "push RUN" in notices(line)["--push_to_hub"]["message"]
    assert added(line) == ""


@pytest.mark.parametrize("given", ["--push-to-hub me/x", "--push_to_hub=me/x"])
def test_an_upload_that_names_its_repository_is_the_current_option(given):
    assert added(f"{PLAIN} {given}") == given
    assert "--push_to_hub" not in notices(f"{PLAIN} {given}")
