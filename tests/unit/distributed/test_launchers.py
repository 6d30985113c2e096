import sys
from pathlib import Path

import pytest

from gaudi_asr_cli.core.distributed import launchers
from gaudi_asr_cli.core.distributed.launchers import (
    Launch,
    check_launch,
    command_line,
    rank_environment,
)
from gaudi_asr_cli.core.errors import MachineError, UsageError

ARGUMENTS = ["finetune-ctc", "--run", "a folder; rm -rf $HOME"]


def test_torchrun_needs_no_address_on_one_node():
    line = command_line(Launch(cards=8, max_restarts=3), ARGUMENTS)

    assert line[:3] == [sys.executable, "-m", "torch.distributed.run"]
    assert "--standalone" in line
    assert line[line.index("--nproc-per-node") + 1] == "8"
    assert line[line.index("--max-restarts") + 1] == "3"
    assert line[-5:] == ["--", "gaudi_asr_cli", *ARGUMENTS]


def test_torchrun_gets_the_address_of_the_first_node():
    line = command_line(Launch(cards=8, nodes=2, node_rank=1, master="10.0.0.1:29500"), ARGUMENTS)

    options = dict(zip(line[3:13:2], line[4:14:2], strict=True))
    assert options == {
        "--nnodes": "2", "--node-rank": "1", "--master-addr": "10.0.0.1",
        "--master-port": "29500", "--nproc-per-node": "8",
    }  # fmt: skip


def test_mpirun_binds_ranks_to_their_share_of_the_cores(monkeypatch):
    monkeypatch.setattr(launchers.os, "cpu_count", lambda: 16)
    monkeypatch.setattr(launchers.os, "geteuid", lambda: 0)

    line = command_line(Launch(cards=8, launcher="mpi"), ARGUMENTS)

    assert line[:3] == ["mpirun", "-n", "8"]
    assert "slot:PE=2" in line
    assert "--allow-run-as-root" in line
    assert "--hostfile" not in line
    assert line[-len(ARGUMENTS) - 3 :] == [sys.executable, "-m", "gaudi_asr_cli", *ARGUMENTS]


def test_mpirun_forwards_the_variables_that_ranks_need(monkeypatch):
    monkeypatch.setenv("PT_HPU_LAZY_MODE", "1")
    monkeypatch.setenv("A_SECRET", "1")

    line = command_line(Launch(8, nodes=2, launcher="mpi", hostfile=Path("hosts")), ARGUMENTS)

    forwarded = {line[i + 1] for i, word in enumerate(line) if word == "-x"}
    assert {"PT_HPU_LAZY_MODE", "MASTER_ADDR", "MASTER_PORT", "PATH"} <= forwarded
    assert "A_SECRET" not in forwarded
    assert line[2] == "16"


def test_a_deepspeed_configuration_selects_its_launcher():
    launch = Launch(cards=8, deepspeed=Path("ds.json"), hostfile=Path("hosts"), nodes=2)

    line = command_line(launch, ARGUMENTS)

    assert line[:5] == ["deepspeed", "--num_nodes", "2", "--num_gpus", "8"]
    assert line[-len(ARGUMENTS) - 2 :] == ["--module", "gaudi_asr_cli", *ARGUMENTS]


@pytest.mark.parametrize(
    ("launch", "message"),
    [
        (Launch(8, launcher="mpi", max_restarts=1), "--max-restarts needs torchrun"),
        (Launch(8, nodes=2), "--master"),
        (Launch(8, nodes=2, master="10.0.0.1:29500", node_rank=2), "--node-rank"),
        (Launch(8, nodes=2, launcher="mpi"), "--hostfile"),
        (Launch(8, hostfile=Path("hosts")), "--hostfile"),
        (Launch(8, nodes=2, master="10.0.0.1"), "has no port"),
        (Launch(8, launcher="mpi", deepspeed=Path("ds.json")), "--deepspeed"),
    ],
)
def test_options_that_cannot_be_combined_are_an_error(launch, message):
    with pytest.raises(UsageError, match=message):
        check_launch(launch)


@pytest.mark.parametrize(
    ("launch", "remedy"),
    [
        (Launch(8, launcher="mpi"), "torchrun"),
        (Launch(8, deepspeed=Path("ds.json")), "pip install"),
    ],
)
def test_a_missing_launcher_is_an_error_with_a_remedy(monkeypatch, launch, remedy):
    monkeypatch.setattr(launchers.shutil, "which", lambda name: None)

    with pytest.raises(MachineError) as caught:
        check_launch(launch)

    assert remedy in caught.value.remedy


def test_ranks_divide_the_cores_and_use_a_free_port():
    environment = rank_environment(Launch(cards=8), cores=96)

    assert environment["OMP_NUM_THREADS"] == "12"
    assert environment["MASTER_ADDR"] == "localhost"
    assert 1024 < int(environment["MASTER_PORT"]) < 65536
    assert rank_environment(Launch(cards=8), cores=2)["OMP_NUM_THREADS"] == "1"


def test_a_single_device_needs_no_launcher():
    assert not Launch().needs_launcher
    assert Launch(cards=2).needs_launcher
    assert Launch(launcher="torchrun").needs_launcher
    assert Launch(max_restarts=1).needs_launcher
