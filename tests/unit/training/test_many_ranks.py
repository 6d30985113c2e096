"""Two ranks on a CPU (gloo): the same training as one process with the same batches; a killed rank.

Everything is real except that the devices are CPUs.
"""

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from drive_ranks import BATCH, CALM, RANDOM, RANDOM_STEPS, STEPS, TINY, data, train
from helpers.run import clean_environment, run_here
from helpers.tiny_corpus import write_corpus
from safetensors.numpy import load_file

from gaudi_asr_cli.core.devices import open_device
from gaudi_asr_cli.core.distributed import launchers

HERE = Path(__file__).parent
TIMEOUT_S = 600
MPIRUN = """
import os, subprocess, sys
words = sys.argv[1:]
count = int(words[words.index("-n") + 1])
def start(rank):
    values = {"RANK": rank, "SIZE": count, "LOCAL_RANK": rank}
    env = {f"OMPI_COMM_WORLD_{name}": str(value) for name, value in values.items()}
    return subprocess.Popen(words[words.index(sys.executable):], env={**os.environ, **env})
sys.exit(max(abs(one.wait()) for one in [start(rank) for rank in range(count)]))
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    # An odd number: in the last batch of a bucket one rank has fewer utterances, or none.
    return write_corpus(tmp_path_factory.mktemp("corpus"), utterances=13)


@pytest.fixture(scope="module")
def two(corpus, tmp_path_factory):
    """The results of two ranks, and their output folder."""
    out = tmp_path_factory.mktemp("two")
    where = {"WORLD_SIZE": "2", "MASTER_ADDR": "localhost", "MASTER_PORT": str(free_port())}
    threads = {"OMP_NUM_THREADS": "1", "TORCH_CPP_LOG_LEVEL": "ERROR"}
    ranks = [
        subprocess.Popen(
            [sys.executable, HERE / "drive_ranks.py", out, corpus],
            env=clean_environment({**where, **threads, "RANK": rank, "LOCAL_RANK": rank}),
            stderr=subprocess.PIPE,
        )
        for rank in ("0", "1")
    ]
    errors = [rank.communicate(timeout=TIMEOUT_S)[1].decode() for rank in ranks]
    assert [rank.returncode for rank in ranks] == [0, 0], errors
    return [json.loads((out / f"rank-{rank}.json").read_text()) for rank in (0, 1)], out


def weights(run: Path) -> dict[str, bytes]:
    state = load_file(run / "model" / "model.safetensors")
    return {name: value.tobytes() for name, value in state.items()}


def test_two_ranks_train_like_one_process_with_the_global_batches(corpus, two, tmp_path):
    (first, second), out = two

    one = train(corpus, tmp_path / "run", open_device("cpu"), *CALM, f"batching.batch={BATCH}")

    assert len(first["losses"]) == STEPS
    assert first["losses"] == pytest.approx(one["losses"], rel=1e-5)
    assert [sorted(step["utterances"]) for step in one["steps"]] == [
        sorted({*a["utterances"], *b["utterances"]})
        for a, b in zip(first["steps"], second["steps"], strict=True)
    ]
    trained, expected = (load_file(run / "model" / "model.safetensors") for run in (
        out / "calm", tmp_path / "run"))  # fmt: skip
    # The order of additions differs, and AdamW amplifies small differences of gradients.
    for name, value in expected.items():
        assert np.abs(trained[name] - value).max() < 2e-3, name


def test_the_process_group_has_ended_before_the_interpreter_does(two):
    # Its threads, alive while the interpreter is torn down, aborted one process in ten.
    (first, second), _ = two

    assert first["threads_left"] == second["threads_left"] == []


def test_all_ranks_train_on_the_same_bucket_in_a_step(two):
    (first, second), _ = two

    padded = [
        [(one["padded_s"], one["shape"][1:]) for one in rank["steps"]] for rank in (first, second)
    ]
    assert padded[0] == padded[1]
    assert len({shape[0] for shape in padded[0]}) > 1
    assert any(len(one["utterances"]) < BATCH // 2 for one in second["steps"])


def test_only_the_first_rank_emits_events_and_a_report(two):
    (first, second), out = two

    assert (first["reported"], second["reported"]) == (True, False)
    assert second["losses"] == []
    events = (out / "calm" / "events.jsonl").read_text().splitlines()
    assert sum('"StepLogged"' in line for line in events) == STEPS


def write_mpirun(folder: Path) -> str:
    """Write a minimal replacement of Open MPI's mpirun and return its folder."""
    folder.mkdir()
    program = folder / "mpirun"
    program.write_text(f"#!{sys.executable}\n{MPIRUN}")
    program.chmod(0o755)
    return str(folder)


@pytest.mark.slow
def test_a_killed_rank_is_restarted_and_ctrl_c_stops_all_ranks(corpus, two, tmp_path, monkeypatch):
    """Killed after the checkpoint of step 5; stopped a little later; resumed with mpirun."""
    monkeypatch.setattr(launchers, "MODULE", "helpers.ranked")
    for name, value in clean_environment({"OMP_NUM_THREADS": "1"}).items():
        monkeypatch.setenv(name, value)
    run = tmp_path / "run"
    settings = [word for one in (*data(corpus), *TINY, *RANDOM) for word in ("--set", one)]
    words = ["--device", "cpu", "--cards", 2, "--run", run]

    monkeypatch.setenv("RANKED_DIES", "1 6")
    monkeypatch.setenv("RANKED_STOPS", f"7 {os.getpid()}")
    stopped = run_here("finetune-ctc", "--recipe", "digits", *settings, *words, "--max-restarts", 1)
    left = [int(path.name.partition("-")[2]) for path in (run / "checkpoints").iterdir()]
    monkeypatch.delenv("RANKED_STOPS")
    monkeypatch.setenv("PATH", write_mpirun(tmp_path / "bin"), prepend=os.pathsep)
    resumed = run_here("finetune-ctc", "--resume", *words, "--launcher", "mpi")

    assert "from step 5 to step" in stopped.stderr
    assert stopped.exit_code == 128 + signal.SIGINT, stopped.stderr
    assert "its checkpoint is written" in stopped.stderr
    assert len(left) == 1
    assert 10 <= left[0] < RANDOM_STEPS
    assert resumed.exit_code == 0, resumed.stderr
    assert f"from step {left[0]} to step" in resumed.stderr
    assert weights(run) == weights(two[1] / "random")
    assert {path.name for path in (run / "logs").iterdir()} == {
        "launcher.log", "rank-0.log", "rank-1.log"}  # fmt: skip


def test_a_run_cannot_be_resumed_on_another_number_of_devices(two):
    resumed = run_here("finetune-ctc", "--resume", "--device", "cpu", "--run", two[1] / "random")

    assert resumed.exit_code == 3
    assert "2 devices" in resumed.stderr
