"""Programs that can start a legacy script: the options of each, and what they mean here."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePath
from types import MappingProxyType
from typing import Literal

ProgramRole = Literal[
    "local processes", "processes", "nodes", "node rank", "address", "port", "endpoint",
    "hostfile", "hosts", "include", "max restarts", "deepspeed", "launcher", "variable",
    "module", "precision", "directory",
]  # fmt: skip
"""The meaning of a launcher's option, where it matters here."""

_NO_ROLES: Mapping[str, ProgramRole] = MappingProxyType({})
Family = Literal["launcher", "interpreter", "wrapper", "environment", "keyword"]
"""Starts ranks; runs the script; starts the rest here; starts it elsewhere; a shell keyword."""


@dataclass(frozen=True, slots=True)
class Program:
    """A program that starts the words after it.

    Args:
        name: Its file name.
        family: Its kind.
        launcher: The value of --launcher that replaces it; empty for torchrun.
        roles: Its options that have a meaning here, underscored and without leading hyphens.
        value_options: Its other options that take a value.
        operands: Number of its positional arguments before the program that it starts.
    """

    name: str
    family: Family
    launcher: str = ""
    roles: Mapping[str, ProgramRole] = field(default_factory=lambda: _NO_ROLES)
    value_options: frozenset[str] = frozenset()
    operands: int = 0


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_TORCHRUN: Mapping[str, ProgramRole] = {
    "nproc_per_node": "local processes", "nnodes": "nodes", "node_rank": "node rank",
    "master_addr": "address", "master_port": "port", "rdzv_endpoint": "endpoint",
    "max_restarts": "max restarts", "m": "module", "module": "module",
}  # fmt: skip
_TORCHRUN_VALUE_OPTIONS = _words(
    "rdzv_backend rdzv_id rdzv_conf monitor_interval start_method role log_dir log_line_prefix r "
    "redirects t tee local_ranks_filter logs_specs local_addr event_log_handler"
)
_MPI: Mapping[str, ProgramRole] = {
    "np": "processes", "n": "processes", "c": "processes", "npernode": "local processes",
    "N": "local processes", "ppn": "local processes", "perhost": "local processes",
    "hostfile": "hostfile", "machinefile": "hostfile", "f": "hostfile", "H": "hosts",
    "host": "hosts", "hosts": "hosts", "x": "variable", "wdir": "directory",
}  # fmt: skip
_DEEPSPEED: Mapping[str, ProgramRole] = {
    "num_gpus": "local processes", "num_accelerators": "local processes", "num_nodes": "nodes",
    "hostfile": "hostfile", "H": "hostfile", "include": "include", "i": "include",
    "node_rank": "node rank", "master_addr": "address", "master_port": "port", "module": "module",
}  # fmt: skip
_SPAWN: Mapping[str, ProgramRole] = {
    "world_size": "local processes", "hostfile": "hostfile", "master_port": "port",
    "use_mpi": "launcher", "use_deepspeed": "launcher",
}  # fmt: skip
_ACCELERATE: Mapping[str, ProgramRole] = {
    "num_processes": "processes", "num_machines": "nodes", "machine_rank": "node rank",
    "main_process_ip": "address", "main_process_port": "port", "use_deepspeed": "launcher",
    "deepspeed_config_file": "deepspeed", "deepspeed_hostfile": "hostfile",
    "mixed_precision": "precision", "max_restarts": "max restarts", "m": "module",
    "module": "module",
}  # fmt: skip
_CONTAINER: Mapping[str, ProgramRole] = {
    "e": "variable", "env": "variable", "w": "directory", "workdir": "directory",
    "pwd": "directory",
}  # fmt: skip
_CONTAINER_VALUE_OPTIONS = _words(
    "v volume mount name gpus runtime shm_size ipc net network u user p publish cap_add "
    "security_opt device ulimit env_file entrypoint h hostname l label m memory cpus cpuset_cpus "
    "pid restart add_host log_driver tmpfs pull platform group_add annotation uts userns B bind "
    "context n namespace c container kubeconfig f file"
)
_SLURM_VALUE_OPTIONS = _words(
    "N n c p t J w x o e G A q nodes ntasks cpus_per_task partition time job_name gres "
    "ntasks_per_node account qos mem output error"
)

_PROGRAMS: tuple[Program, ...] = (
    Program("torchrun", "launcher", "", _TORCHRUN, _TORCHRUN_VALUE_OPTIONS),
    *(
        Program(name, "launcher", "mpi", _MPI, _words("bind_to map_by rank_by mca prefix genv"))
        for name in ("mpirun", "mpiexec", "orterun")
    ),
    Program("deepspeed", "launcher", "deepspeed", _DEEPSPEED,
            _words("exclude e launcher launcher_args autotuning venv_script")),
    Program("gaudi_spawn.py", "launcher", "", _SPAWN),
    Program("accelerate", "launcher", "", _ACCELERATE,
            _words("config_file gpu_ids dynamo_backend num_cpu_threads_per_process zero_stage "
                   "rdzv_backend rdzv_conf same_network main_training_function fsdp_config"),
            operands=1),
    Program("python", "interpreter", "", {"m": "module"}, _words("X W")),
    *(Program(name, "interpreter") for name in ("bash", "sh", "zsh", "dash", "eval", "source")),
    Program("env", "wrapper", "", {}, _words("u unset C chdir")),
    Program("sudo", "wrapper", "", {}, _words("u g user group h p C D")),
    Program("nice", "wrapper", "", {}, _words("n adjustment")),
    Program("ionice", "wrapper", "", {}, _words("c n class classdata")),
    Program("stdbuf", "wrapper", "", {}, _words("i o e input output error")),
    Program("time", "wrapper", "", {}, _words("f o format output")),
    Program("numactl", "wrapper", "", {}, _words("N m C l i p cpunodebind membind physcpubind "
            "interleave preferred")),
    Program("taskset", "wrapper", operands=1),
    Program("timeout", "wrapper", "", {}, _words("k s kill_after signal"), operands=1),
    Program("chrt", "wrapper", operands=1),
    *(
        Program(name, "wrapper")
        for name in ("nohup", "setsid", "exec", "command", "unbuffer", "caffeinate", "catchsegv",
                     "ts", "screen", "tmux", "script", "proxychains", "xvfb-run")
    ),
    *(
        Program(name, "environment", "", _CONTAINER, _CONTAINER_VALUE_OPTIONS, operands=2)
        for name in ("docker", "podman", "nerdctl", "kubectl", "oc", "singularity", "apptainer")
    ),
    Program("ssh", "environment", "", {}, _words("i p l o F J L R"), operands=1),
    *(Program(name, "environment", "", {}, _SLURM_VALUE_OPTIONS) for name in ("srun", "sbatch")),
    Program("conda", "environment", "", {}, _words("n name p prefix"), operands=1),
    *(
        Program(name, "environment", operands=1)
        for name in ("mamba", "micromamba", "poetry", "uv", "pipenv", "pdm", "hatch", "rye")
    ),
    *(
        Program(name, "keyword")
        for name in ("do", "then", "else", "elif", "if", "while", "until", "{", "!")
    ),
)  # fmt: skip
_BY_NAME = {program.name: program for program in _PROGRAMS}
_ALIASES = {
    "gaudi_spawn": "gaudi_spawn.py",
    "accelerate-launch": "accelerate",
    "docker-compose": "docker",
}
_PYTHON = re.compile(r"(python|pypy|ipython)[\d.]*(\.exe)?")
_MODULES = {
    "torch.distributed.launch": "torchrun",
    "torch.distributed.run": "torchrun",
    "accelerate.commands.launch": "accelerate",
    "accelerate.commands.accelerate_cli": "accelerate",
    "deepspeed.launcher.runner": "deepspeed",
    "deepspeed": "deepspeed",
}


def find_program(word: str) -> Program | None:
    """Return the program that a word starts, by its file name; None where it is unknown."""
    # A shell line in a notebook begins with an exclamation mark.
    name = PurePath(word.lstrip("!") or word).name
    if _PYTHON.fullmatch(name):
        return _BY_NAME["python"]
    return _BY_NAME.get(_ALIASES.get(name, name))


def find_module(name: str) -> Program | None:
    """Return the launcher that `python -m NAME` starts; None for any other module."""
    program = _MODULES.get(name)
    return None if program is None else _BY_NAME[program]
