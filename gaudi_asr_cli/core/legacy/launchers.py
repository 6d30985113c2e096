"""Words that stood before an old script: environment, interpreter, launcher, container."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import PurePath

from gaudi_asr_cli.core.legacy.programs import Program, Role, find_module, find_program
from gaudi_asr_cli.core.legacy.reading import is_flag, underscored
from gaudi_asr_cli.core.legacy.translating import OldNotice
from gaudi_asr_cli.core.secret_values import hide_in_line, hide_in_words

_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*\+?=")
_SCRIPT = re.compile(r"(run_speech_recognition_(ctc|seq2seq)|wav2vec)(\.py)?")
_COUNT = re.compile(r"0*[1-9][0-9]{0,5}")
MASTER_PORT = "29500"
"""torchrun's own default."""
UNCLEAR = "an unknown number: add --cards N, as many as there are on each node"
OF_LAUNCHER = "of the launcher: ranks are started and placed by us"
OF_ENVIRONMENT = "belongs to the environment: write it in front again"
ABOUT = {
    "launcher": OF_LAUNCHER,
    "interpreter": "of the interpreter, which the gaudi-asr program brings itself",
    "place": "where the command ran: start gaudi-asr in such a place, with these words in front",
    "word": "a word of the shell's own language, not taken over",
}


@dataclass(frozen=True, slots=True)
class LaunchOption:
    """An option of a launcher, and the words of today that take its place."""

    flag: str
    words: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LegacyLaunch:
    """How an old script was started.

    Args:
        options: Options of today that take the place of launcher's.
        notices: What became of the rest.
        mode: How a Gaudi was told to run.
    """

    options: tuple[LaunchOption, ...] = ()
    notices: tuple[OldNotice, ...] = ()
    mode: str | None = None

    @property
    def words(self) -> tuple[str, ...]:
        return tuple(word for option in self.options for word in option.words)

    def fitted(self, program: str, known: Sequence[str], others: Sequence[str]) -> LegacyLaunch:
        """The launch with a notice of each option, and without those that a command has not.

        Args:
            program: The name of today's command.
            known: The options that it has.
            others: Options that the script's own flags have set already.
        """
        kept = tuple(one for one in self.options if one.words[0] in known)
        told = [_noted(one, program, known) for one in self.options]
        if self.mode is not None and "--hpu-mode" not in others:
            mode = LaunchOption("PT_HPU_LAZY_MODE", ("--hpu-mode", self.mode))
            kept = (*kept, mode)
        return LegacyLaunch(kept, (*self.notices, *told), self.mode)


def _noted(option: LaunchOption, program: str, known: Sequence[str]) -> OldNotice:
    if option.words[0] in known:
        return OldNotice(option.flag, "renamed", f"is {' '.join(option.words)}")
    return OldNotice(option.flag, "dropped", f"{program} runs in one process")


def find_script(words: Sequence[str]) -> int | None:
    """Where the name of an old script stands; None where there is none.

    A name without `.py` counts only where no other stands: folders are called so too.
    """
    for matches in (is_script_file, is_script):
        place = next((place for place, word in enumerate(words) if matches(word)), None)
        if place is not None:
            return place
    return None


def is_script(word: str) -> bool:
    return _SCRIPT.fullmatch(PurePath(word).name) is not None


def is_script_file(word: str) -> bool:
    """Whether it is a script with its `.py`, which no folder or model is called."""
    return word.endswith(".py") and is_script(word)


def without_launcher(words: Sequence[str]) -> tuple[list[str], list[OldNotice]]:
    """A script's own words: what is pasted before a second name of the script is left out."""
    place = next((place for place, word in enumerate(words) if is_script_file(word)), None)
    if place is None:
        return list(words), []
    pasted = " ".join(hide_in_words(words[: place + 1]))
    launch = read_launcher(words[:place])
    meant = f" (add {' '.join(launch.words)} if it was meant)" if launch.options else ""
    notice = OldNotice("", "dropped", f"{pasted}: a launcher's words, not followed{meant}")
    return list(words[place + 1 :]), [notice]


def read_launcher(words: Sequence[str]) -> LegacyLaunch:
    """What stood before the script, in today's words."""
    reader = _Launcher()
    rest = list(words)
    while rest:
        reader.take(rest.pop(0), rest)
    return reader.launch()


_UNKNOWN = Program("", "launcher", "", {
    "nproc_per_node": "cards", "world_size": "cards", "num_gpus": "cards", "np": "all cards",
    "num_processes": "all cards", "n": "all cards", "nnodes": "nodes", "num_nodes": "nodes",
    "hostfile": "hostfile", "use_mpi": "kind", "use_deepspeed": "kind", "m": "module",
})  # fmt: skip
"""Options that mean the same to several launchers, where none is named."""


class _Launcher:
    def __init__(self) -> None:
        self.found: dict[Role, tuple[str, str]] = {}
        """Role -> the option and its value."""
        self.kind: tuple[str, str] | None = None
        self.mode: str | None = None
        self.notices: list[OldNotice] = []
        self.program = _UNKNOWN
        self.operands = 0
        self.loose: list[str] = []
        """Words of the program in front, not yet reported."""

    def take(self, word: str, rest: list[str]) -> None:
        """One word, and its value from `rest` where it has one."""
        program = None if self.operands else find_program(word)
        if program is not None:
            self._start(program, word)
        elif _ASSIGNMENT.match(word):
            self._take_assignment(word)
        elif is_flag(word):
            self._take_flag(word, rest)
        elif word != "--":
            self._take_operand(word)

    def _start(self, program: Program, word: str) -> None:
        self._report_loose()
        self.program, self.operands = program, program.operands
        if program.kind:
            self.kind = (word, program.kind)
        if program.name == "deepspeed" and "cards" not in self.found:
            self.found["cards"] = (word, "")
        if program.family in {"wrapper", "place", "word"}:
            self.loose.append(word)

    def _take_operand(self, word: str) -> None:
        if self.operands:
            self.operands -= 1
            if self.program.family == "launcher":
                return
        self.loose.append(word)

    def _report_loose(self) -> None:
        """One notice for the words of a program that are no option of a launcher."""
        if not self.loose:
            return
        text, self.loose = " ".join(hide_in_words(self.loose)), []
        if self.program.family == "wrapper":
            self.notices.append(
                OldNotice(text, "kept", "starts another program: write it in front again")
            )
            return
        about = ABOUT[self.program.family]
        if self.program is _UNKNOWN or self.program.family == "interpreter":
            about = "not known here and not taken over (add --cards N if it started several ranks)"
        fate = "kept" if self.program.family == "place" else "dropped"
        self.notices.append(OldNotice(text, fate, about))

    def _take_assignment(self, word: str) -> None:
        name, _, value = word.partition("=")
        if name == "PT_HPU_LAZY_MODE":
            self.mode = "lazy" if value == "1" else "eager"
            told = OldNotice(word, "renamed", f"is --hpu-mode {self.mode}")
        elif name == "OMP_NUM_THREADS":
            told = OldNotice(
                word, "dropped", "was against a freeze of the scripts' workers; not needed here"
            )
        else:
            told = OldNotice(hide_in_line(word), "kept", OF_ENVIRONMENT)
        self.notices.append(told)

    def _take_flag(self, word: str, rest: list[str]) -> None:
        flag, equals, value = word.partition("=")
        name = underscored(word.lstrip("-"))
        role = self.program.roles.get(name)
        takes = role not in {None, "kind"} or name in self.program.valued
        if takes and not equals and rest and (role is None or not is_flag(rest[0])):
            value = rest.pop(0)
        if name == "mca" and rest:
            value = f"{value} {rest.pop(0)}"
        if role is None:
            self._take_plain(f"{flag} {value}".strip() if not equals else word)
        else:
            self._take_role(role, flag, value)

    def _take_plain(self, text: str) -> None:
        """An option that means nothing here."""
        if self.program.family == "wrapper":
            self.loose.append(text)
        elif not (self.program.family == "interpreter" and self.program.name != "python"):
            fate = "kept" if self.program.family == "place" else "dropped"
            about = "of the container: the paths of this line are as they are inside it"
            volume = text.startswith(("-v", "--volume", "--mount", "-B", "--bind"))
            is_volume = self.program.family == "place" and volume
            message = about if is_volume else ABOUT[self.program.family]
            self.notices.append(OldNotice(hide_in_line(text), fate, message))

    def _take_role(self, role: Role, flag: str, value: str) -> None:
        takers: dict[Role, Callable[[str, str], None]] = {
            "kind": self._take_kind,
            "env": self._take_env,
            "module": self._take_module,
            "precision": self._take_precision,
            "directory": self._take_directory,
        }
        if role in takers:
            takers[role](flag, value)
        else:
            self.found[role] = (flag, value)

    def _take_kind(self, flag: str, _: str) -> None:
        self.kind = (flag, flag.lstrip("-").removeprefix("use_").removeprefix("use-"))

    def _take_env(self, flag: str, value: str) -> None:
        """`-e NAME=VALUE` of a container, `-x NAME` of mpirun."""
        if _ASSIGNMENT.match(value):
            self._take_assignment(value)
        else:
            text = f"{flag} {value}".strip()
            self.notices.append(OldNotice(text, "kept", "the variable must be set for gaudi-asr"))

    def _take_module(self, _: str, value: str) -> None:
        program = find_module(value)
        if program is not None:
            self._start(program, program.name)
            self.operands = 0
        elif value:
            self.loose.append(f"-m {value}")

    def _take_precision(self, flag: str, value: str) -> None:
        self.notices.append(
            OldNotice(
                f"{flag} {value}", "dropped",
                "the script's own flags say the precision: add --dtype bf16 or fp16 if they do not",
            )
        )  # fmt: skip

    def _take_directory(self, flag: str, value: str) -> None:
        self.notices.append(
            OldNotice(f"{flag} {value}", "kept", "paths of this line begin there: cd to it before")
        )

    def launch(self) -> LegacyLaunch:
        self._report_loose()
        several = self._nodes() not in (None, "1")
        made = (
            self._cards_option(),
            *(self._node_options() if several else self._one_node()),
            *self._plain_options(),
        )
        options = tuple(one for one in made if one is not None)
        return LegacyLaunch(options, tuple(self.notices), self.mode)

    def _nodes(self) -> str | None:
        """How many machines; of a range the most."""
        flag, value = self._nodes_given()
        last = value.rpartition(":")[2]
        if flag in {"-H", "--host", "--hosts", "-host", "-hosts"}:
            last = str(value.count(",") + 1)
        return _number(last) if _COUNT.fullmatch(last) else None

    def _nodes_given(self) -> tuple[str, str]:
        """The option that says how many machines there are, and its value."""
        return self.found.get("nodes") or self.found.get("hosts") or ("", "")

    def _cards_option(self) -> LaunchOption | None:
        flag, count = self._cards()
        if count is None or count == "1":
            return None
        if not _COUNT.fullmatch(count):
            message = UNCLEAR if count else "without a number it took all cards: add --cards N"
            self._drop(f"{flag} {count}".strip(), message)
            return None
        return LaunchOption(flag, ("--cards", count))

    def _cards(self) -> tuple[str, str | None]:
        """The option that says how many processes a node has, and how many."""
        if "include" in self.found and not self.found.get("cards", ("", ""))[1]:
            flag, value = self.found["include"]
            listed = value.partition("@")[0].partition(":")[2]
            return flag, str(listed.count(",") + 1) if listed else ""
        if self.found.get("cards", ("", ""))[1] or "all cards" not in self.found:
            flag, count = self.found.get("cards", ("", None))
            return flag, _number(count)
        flag, count = self.found["all cards"]
        return flag, self._share(flag, _number(count))

    def _share(self, flag: str, count: str | None) -> str | None:
        """Processes of one node, where a launcher counts those of all."""
        nodes = int(self._nodes() or 1)
        if count is None or not _COUNT.fullmatch(count):
            return count
        if nodes > 1 and int(count) % nodes == 0:
            return str(int(count) // nodes)
        if nodes > 1 or "hostfile" in self.found:
            self._drop(
                f"{flag} {count}",
                "counted the processes of all nodes; --cards is of each: with N nodes write "
                f"--nodes N --cards {count}/N",
            )
        return count

    def _node_options(self) -> list[LaunchOption | None]:
        """Several nodes: how many, which this is, and where they meet."""
        made: list[LaunchOption | None] = []
        flag, value = self._nodes_given()
        nodes = self._nodes() or "1"
        if ":" in value and "nodes" in self.found:
            self._drop(f"{flag} {value}", f"the number is fixed here: {nodes}, the most of them")
        made.append(LaunchOption(flag, ("--nodes", nodes)))
        rank_flag, rank = self.found.get("node rank", ("", ""))
        if rank.isascii() and rank.isdigit():
            made.append(LaunchOption(rank_flag, ("--node-rank", rank)))
        elif rank:
            self._drop(f"{rank_flag} {rank}", "an unknown number: add --node-rank N on each node")
        made.append(self._master())
        if self.kind is None:
            self._report_missing(has_rank=rank.isdigit(), has_master=made[-1] is not None)
        return made

    def _report_missing(self, *, has_rank: bool, has_master: bool) -> None:
        """What torchrun found out by itself, or stopped without."""
        if not has_rank:
            about = "of several nodes each needs its own: add --node-rank N, from 0"
            self.notices.append(OldNotice("--node_rank", "missing", about))
        if not has_master:
            about = "several nodes meet at node 0: add --master HOST:PORT, the same on each"
            self.notices.append(OldNotice("--master_addr", "missing", about))

    def _master(self) -> LaunchOption | None:
        if "endpoint" in self.found:
            flag, value = self.found["endpoint"]
            return LaunchOption(flag, ("--master", _with_port(value, MASTER_PORT)))
        if "address" not in self.found:
            if "port" in self.found:
                self._drop(self.found["port"][0], "is the port of --master HOST:PORT")
            return None
        flag, address = self.found["address"]
        port_flag, port = self.found.get("port", ("", MASTER_PORT))
        if port_flag:
            self.notices.append(OldNotice(port_flag, "renamed", "is the port of --master"))
        return LaunchOption(flag, ("--master", f"{address}:{port or MASTER_PORT}"))

    def _one_node(self) -> list[LaunchOption | None]:
        flag, value = self.found.get("nodes", ("", "1"))
        if self._nodes() is None and value and flag:
            self._drop(f"{flag} {value}", "an unknown number: add --nodes N if there were several")
        names: tuple[Role, ...] = ("node rank", "address", "port", "endpoint")
        for role in names:
            if role in self.found:
                flag, value = self.found[role]
                about = "one node needs none: its processes meet at a free port"
                self._drop(f"{flag} {value}".strip(), about)
        return []

    def _plain_options(self) -> list[LaunchOption | None]:
        made: list[LaunchOption | None] = []
        plain: dict[Role, str] = {
            "hostfile": "--hostfile",
            "max restarts": "--max-restarts",
            "deepspeed": "--deepspeed",
        }
        for role, option in plain.items():
            flag, value = self.found.get(role, ("", ""))
            if value and value != "0":
                made.append(LaunchOption(flag, (option, value)))
        if "hosts" in self.found and "hostfile" not in self.found:
            flag, value = self.found["hosts"]
            about = "write a NAME slots=N for each into a file, for --hostfile"
            self._drop(f"{flag} {value}", about)
        if self.kind is not None:
            made.append(LaunchOption(self.kind[0], ("--launcher", self.kind[1])))
        return made

    def _drop(self, flag: str, message: str) -> None:
        self.notices.append(OldNotice(hide_in_line(flag), "dropped", message))


def _number(text: str | None) -> str | None:
    """A count as it is written today: `08` is 8; what is none stays as it is."""
    return str(int(text)) if text and _COUNT.fullmatch(text) else text


def _with_port(endpoint: str, port: str) -> str:
    return endpoint if endpoint.rpartition(":")[2].isdigit() else f"{endpoint}:{port}"
