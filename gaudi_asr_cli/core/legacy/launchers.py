"""The words before a legacy script: environment, interpreter, launcher, container."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import PurePath

from gaudi_asr_cli.core.legacy.arguments import flag_name, is_flag
from gaudi_asr_cli.core.legacy.programs import Program, ProgramRole, find_module, find_program
from gaudi_asr_cli.core.legacy.translation import LegacyNotice
from gaudi_asr_cli.core.secret_values import hide_in_line, hide_in_words

_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*\+?=")
_SCRIPT = re.compile(r"(run_speech_recognition_(ctc|seq2seq)|wav2vec)(\.py)?")
_COUNT = re.compile(r"0*[1-9][0-9]{0,5}")
_MASTER_PORT = "29500"
"""torchrun's default."""
_HOST_FLAGS = frozenset({"-H", "--host", "--hosts", "-host", "-hosts"})
_NOT_FOLLOWED = {
    "launcher": "an option of the launcher: gaudi-asr starts and places the ranks itself",
    "interpreter": "an option of the interpreter, which gaudi-asr brings itself",
    "environment": "where the command ran: start gaudi-asr there, with these words in front",
    "keyword": "a keyword of the shell, not translated",
}
"""Family of a program -> the message for words that have no equivalent."""


@dataclass(frozen=True, slots=True)
class LaunchOption:
    """An option of a launcher, and the current words that replace it."""

    flag: str
    words: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LegacyLaunch:
    """How a legacy script was started.

    Args:
        options: The launcher's options that have an equivalent.
        notices: Notices on all other words.
        mode: The HPU mode that the environment set.
    """

    options: tuple[LaunchOption, ...] = ()
    notices: tuple[LegacyNotice, ...] = ()
    mode: str | None = None

    @property
    def words(self) -> tuple[str, ...]:
        return tuple(word for option in self.options for word in option.words)

    def fit(self, command: str, known: Sequence[str], others: Sequence[str]) -> LegacyLaunch:
        """Return the launch with a notice per option, without options that the command lacks.

        Args:
            command: The name of the current command.
            known: The options of that command.
            others: Options that the script's own flags have set.
        """
        kept = tuple(option for option in self.options if option.words[0] in known)
        notices = [_option_notice(option, command, known) for option in self.options]
        if self.mode is not None and "--hpu-mode" not in others:
            mode = LaunchOption("PT_HPU_LAZY_MODE", ("--hpu-mode", self.mode))
            kept = (*kept, mode)
        return LegacyLaunch(kept, (*self.notices, *notices), self.mode)


def _option_notice(option: LaunchOption, command: str, known: Sequence[str]) -> LegacyNotice:
    if option.words[0] in known:
        return LegacyNotice(option.flag, "renamed", f"is {' '.join(option.words)}")
    limit = "on one node" if "--cards" in known else "in one process"
    return LegacyNotice(option.flag, "dropped", f"{command} runs {limit}")


def find_script(words: Sequence[str]) -> int | None:
    """Return the index of the name of a legacy script; None where there is none.

    A name without `.py` counts only where there is no other: folders have such names too.
    """
    for matches in (_is_script_file, _is_script):
        index = next((index for index, word in enumerate(words) if matches(word)), None)
        if index is not None:
            return index
    return None


def _is_script(word: str) -> bool:
    return _SCRIPT.fullmatch(PurePath(word).name) is not None


def _is_script_file(word: str) -> bool:
    return word.endswith(".py") and _is_script(word)


def remove_launcher(words: Sequence[str]) -> tuple[list[str], list[LegacyNotice]]:
    """Drop words pasted before a second name of the script; return the rest and a notice."""
    index = next((index for index, word in enumerate(words) if _is_script_file(word)), None)
    if index is None:
        return list(words), []
    pasted = " ".join(hide_in_words(words[: index + 1]))
    launch = parse_launcher(words[:index])
    hint = f" (add {' '.join(launch.words)} if it was intended)" if launch.options else ""
    message = f"{pasted}: the words of a launcher, not followed{hint}"
    return list(words[index + 1 :]), [LegacyNotice("", "dropped", message)]


def parse_launcher(words: Sequence[str]) -> LegacyLaunch:
    """Translate the words before the script."""
    parser = _LauncherParser()
    rest = list(words)
    while rest:
        parser.parse(rest.pop(0), rest)
    return parser.launch()


_ANY_LAUNCHER = Program("", "launcher", "", {
    "nproc_per_node": "local processes", "world_size": "local processes",
    "num_gpus": "local processes", "np": "processes", "num_processes": "processes",
    "n": "processes", "nnodes": "nodes", "num_nodes": "nodes", "hostfile": "hostfile",
    "use_mpi": "launcher", "use_deepspeed": "launcher", "m": "module",
})  # fmt: skip
"""Options with the same meaning in several launchers, used where no launcher is named."""


class _LauncherParser:
    def __init__(self) -> None:
        self.found: dict[ProgramRole, tuple[str, str]] = {}
        """Role -> the option and its value."""
        self.launcher: tuple[str, str] | None = None
        self.mode: str | None = None
        self.notices: list[LegacyNotice] = []
        self.program = _ANY_LAUNCHER
        self.operands = 0
        self.unreported: list[str] = []
        """Words of the current program that no notice covers yet."""

    def parse(self, word: str, rest: list[str]) -> None:
        """Parse one word; an option takes its value from `rest`."""
        program = None if self.operands else find_program(word)
        if program is not None:
            self._enter(program, word)
        elif _ASSIGNMENT.match(word):
            self._parse_assignment(word)
        elif is_flag(word):
            self._parse_flag(word, rest)
        elif word != "--":
            self._parse_operand(word)

    def _enter(self, program: Program, word: str) -> None:
        self._report_words()
        self.program, self.operands = program, program.operands
        if program.launcher:
            self.launcher = (word, program.launcher)
        if program.name == "deepspeed" and "local processes" not in self.found:
            self.found["local processes"] = (word, "")
        if program.family in {"wrapper", "environment", "keyword"}:
            self.unreported.append(word)

    def _parse_operand(self, word: str) -> None:
        if self.operands:
            self.operands -= 1
            if self.program.family == "launcher":
                return
        self.unreported.append(word)

    def _report_words(self) -> None:
        """Add one notice for the words of a program that are not options of a launcher."""
        if not self.unreported:
            return
        text, self.unreported = " ".join(hide_in_words(self.unreported)), []
        if self.program.family == "wrapper":
            message = "starts another program: write it before the command again"
            self.notices.append(LegacyNotice(text, "kept", message))
            return
        message = _NOT_FOLLOWED[self.program.family]
        if self.program is _ANY_LAUNCHER or self.program.family == "interpreter":
            message = "unknown, not translated (add --cards N if it started several ranks)"
        status = "kept" if self.program.family == "environment" else "dropped"
        self.notices.append(LegacyNotice(text, status, message))

    def _parse_assignment(self, word: str) -> None:
        name, _, value = word.partition("=")
        if name == "PT_HPU_LAZY_MODE":
            self.mode = "lazy" if value == "1" else "eager"
            notice = LegacyNotice(word, "renamed", f"is --hpu-mode {self.mode}")
        elif name == "OMP_NUM_THREADS":
            message = "kept the scripts' workers from hanging; not needed here"
            notice = LegacyNotice(word, "dropped", message)
        else:
            message = "an environment variable: write it before the command again"
            notice = LegacyNotice(hide_in_line(word), "kept", message)
        self.notices.append(notice)

    def _parse_flag(self, word: str, rest: list[str]) -> None:
        flag, equals, value = word.partition("=")
        name = flag_name(word.lstrip("-"))
        role = self.program.roles.get(name)
        takes_value = role not in {None, "launcher"} or name in self.program.value_options
        if takes_value and not equals and rest and (role is None or not is_flag(rest[0])):
            value = rest.pop(0)
        if name == "mca" and rest:
            value = f"{value} {rest.pop(0)}"
        if role is None:
            self._report_flag(f"{flag} {value}".strip() if not equals else word)
        else:
            self._set_role(role, flag, value)

    def _report_flag(self, text: str) -> None:
        """Report an option without a meaning here."""
        family = self.program.family
        if family == "wrapper":
            self.unreported.append(text)
        elif family != "interpreter" or self.program.name == "python":
            status, message = "dropped", _NOT_FOLLOWED[family]
            if family == "environment":
                status = "kept"
                if text.startswith(("-v", "--volume", "--mount", "-B", "--bind")):
                    message = "an option of the container: paths in this line are those inside it"
            self.notices.append(LegacyNotice(hide_in_line(text), status, message))

    def _set_role(self, role: ProgramRole, flag: str, value: str) -> None:
        handlers: dict[ProgramRole, Callable[[str, str], None]] = {
            "launcher": self._set_launcher,
            "variable": self._set_variable,
            "module": self._set_module,
            "precision": self._report_precision,
            "directory": self._report_directory,
        }
        if role in handlers:
            handlers[role](flag, value)
        else:
            self.found[role] = (flag, value)

    def _set_launcher(self, flag: str, _: str) -> None:
        self.launcher = (flag, flag.lstrip("-").removeprefix("use_").removeprefix("use-"))

    def _set_variable(self, flag: str, value: str) -> None:
        """Parse `-e NAME=VALUE` of a container, `-x NAME` of mpirun."""
        if _ASSIGNMENT.match(value):
            self._parse_assignment(value)
        else:
            message = "gaudi-asr needs this environment variable as well"
            self.notices.append(LegacyNotice(f"{flag} {value}".strip(), "kept", message))

    def _set_module(self, _: str, value: str) -> None:
        program = find_module(value)
        if program is not None:
            self._enter(program, program.name)
            self.operands = 0
        elif value:
            self.unreported.append(f"-m {value}")

    def _report_precision(self, flag: str, value: str) -> None:
        message = "the script's own flags set the precision; without one add --dtype bf16 or fp16"
        self.notices.append(LegacyNotice(f"{flag} {value}", "dropped", message))

    def _report_directory(self, flag: str, value: str) -> None:
        message = "paths in this line are relative to it: cd to it first"
        self.notices.append(LegacyNotice(f"{flag} {value}", "kept", message))

    def launch(self) -> LegacyLaunch:
        """Return the launch after all words are parsed."""
        self._report_words()
        is_distributed = self._nodes() not in (None, "1")
        options = (
            self._processes_option(),
            *(self._node_options() if is_distributed else self._report_unused_nodes()),
            *self._plain_options(),
        )
        present = tuple(option for option in options if option is not None)
        return LegacyLaunch(present, tuple(self.notices), self.mode)

    def _nodes(self) -> str | None:
        """Return the number of nodes; the maximum of a range."""
        flag, value = self._nodes_flag()
        last = value.rpartition(":")[2]
        if flag in _HOST_FLAGS:
            last = str(value.count(",") + 1)
        return _normalise_count(last) if _COUNT.fullmatch(last) else None

    def _nodes_flag(self) -> tuple[str, str]:
        """Return the option that sets the number of nodes, and its value."""
        return self.found.get("nodes") or self.found.get("hosts") or ("", "")

    def _processes_option(self) -> LaunchOption | None:
        flag, count = self._local_processes()
        if count is None or count == "1":
            return None
        if not _COUNT.fullmatch(count):
            unknown = "an unknown number: add --cards N, the number of devices per node"
            message = unknown if count else "without a number it used all devices: add --cards N"
            self._drop(f"{flag} {count}".strip(), message)
            return None
        return LaunchOption(flag, ("--cards", count))

    def _local_processes(self) -> tuple[str, str | None]:
        """Return the option that sets the number of processes per node, and that number."""
        local_flag, local_count = self.found.get("local processes", ("", None))
        if "include" in self.found and not local_count:
            flag, value = self.found["include"]
            devices = value.partition("@")[0].partition(":")[2]
            return flag, str(devices.count(",") + 1) if devices else ""
        if local_count or "processes" not in self.found:
            return local_flag, _normalise_count(local_count)
        flag, count = self.found["processes"]
        return flag, self._per_node(flag, _normalise_count(count))

    def _per_node(self, flag: str, count: str | None) -> str | None:
        """Divide the number of all processes by the number of nodes."""
        nodes = int(self._nodes() or 1)
        if count is None or not _COUNT.fullmatch(count):
            return count
        if nodes > 1 and int(count) % nodes == 0:
            return str(int(count) // nodes)
        if nodes > 1 or "hostfile" in self.found:
            self._drop(
                f"{flag} {count}",
                "was the number of processes on all nodes; --cards is the number per node: with N "
                f"nodes write --nodes N --cards {count}/N",
            )
        return count

    def _node_options(self) -> list[LaunchOption | None]:
        """Return the number of nodes, the rank of this node and the master's address."""
        options: list[LaunchOption | None] = []
        flag, value = self._nodes_flag()
        nodes = self._nodes() or "1"
        if ":" in value and "nodes" in self.found:
            self._drop(f"{flag} {value}", f"the number is fixed here: {nodes}, the maximum")
        options.append(LaunchOption(flag, ("--nodes", nodes)))
        rank_flag, rank = self.found.get("node rank", ("", ""))
        if rank.isascii() and rank.isdigit():
            options.append(LaunchOption(rank_flag, ("--node-rank", rank)))
        elif rank:
            self._drop(f"{rank_flag} {rank}", "an unknown number: add --node-rank N on each node")
        master = self._master()
        options.append(master)
        if self.launcher is None:
            self._report_missing(has_rank=rank.isdigit(), has_master=master is not None)
        return options

    def _report_missing(self, *, has_rank: bool, has_master: bool) -> None:
        """Report what torchrun found out by itself, or required."""
        if not has_rank:
            message = "each node needs its own: add --node-rank N, from 0"
            self.notices.append(LegacyNotice("--node_rank", "missing", message))
        if not has_master:
            message = "the nodes connect to node 0: add --master HOST:PORT, the same on each"
            self.notices.append(LegacyNotice("--master_addr", "missing", message))

    def _master(self) -> LaunchOption | None:
        if "endpoint" in self.found:
            flag, value = self.found["endpoint"]
            return LaunchOption(flag, ("--master", _with_port(value, _MASTER_PORT)))
        if "address" not in self.found:
            if "port" in self.found:
                self._drop(self.found["port"][0], "is the port of --master HOST:PORT")
            return None
        flag, address = self.found["address"]
        port_flag, port = self.found.get("port", ("", _MASTER_PORT))
        if port_flag:
            self.notices.append(LegacyNotice(port_flag, "renamed", "is the port of --master"))
        return LaunchOption(flag, ("--master", f"{address}:{port or _MASTER_PORT}"))

    def _report_unused_nodes(self) -> list[LaunchOption | None]:
        """Report options for several nodes that one node does not need; return no options."""
        flag, value = self.found.get("nodes", ("", "1"))
        if self._nodes() is None and value and flag:
            self._drop(f"{flag} {value}", "an unknown number: add --nodes N for several nodes")
        roles: tuple[ProgramRole, ...] = ("node rank", "address", "port", "endpoint")
        for role in roles:
            if role in self.found:
                flag, value = self.found[role]
                message = "not needed on one node: its processes connect through a free port"
                self._drop(f"{flag} {value}".strip(), message)
        return []

    def _plain_options(self) -> list[LaunchOption | None]:
        options: list[LaunchOption | None] = []
        plain: dict[ProgramRole, str] = {
            "hostfile": "--hostfile",
            "max restarts": "--max-restarts",
            "deepspeed": "--deepspeed",
        }
        for role, option in plain.items():
            flag, value = self.found.get(role, ("", ""))
            if value and value != "0":
                options.append(LaunchOption(flag, (option, value)))
        if "hosts" in self.found and "hostfile" not in self.found:
            flag, value = self.found["hosts"]
            message = (
                "write a line `NAME slots=N` for each host to a file and pass it as --hostfile"
            )
            self._drop(f"{flag} {value}", message)
        if self.launcher is not None:
            options.append(LaunchOption(self.launcher[0], ("--launcher", self.launcher[1])))
        return options

    def _drop(self, flag: str, message: str) -> None:
        self.notices.append(LegacyNotice(hide_in_line(flag), "dropped", message))


def _normalise_count(text: str | None) -> str | None:
    """Drop leading zeros: `08` is 8; other text is returned unchanged."""
    return str(int(text)) if text and _COUNT.fullmatch(text) else text


def _with_port(endpoint: str, port: str) -> str:
    return endpoint if endpoint.rpartition(":")[2].isdigit() else f"{endpoint}:{port}"
