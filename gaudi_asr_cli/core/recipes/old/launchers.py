"""Words that stood before an old script: environment, interpreter, launcher."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePath

from gaudi_asr_cli.core.recipes.old.reading import CARDS, is_flag, underscored
from gaudi_asr_cli.core.recipes.old.translating import OldNotice

_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*=")
_NODES = frozenset({"nnodes", "num_nodes", "num_machines"})
_HOSTS = frozenset({"hostfile", "machinefile"})
_SCRIPT = re.compile(r"(run_speech_recognition_(ctc|seq2seq)|wav2vec)(\.py)?")


@dataclass(frozen=True, slots=True)
class Launch:
    """How an old script was started.

    Args:
        options: Today's words for it.
        notices: What became of the rest.
        mode: How a Gaudi was told to run.
    """

    options: tuple[str, ...] = ()
    notices: tuple[OldNotice, ...] = ()
    mode: str | None = None

    def options_beside(self, others: Sequence[str]) -> tuple[str, ...]:
        """The options, and the mode where the script's own flags say none."""
        if self.mode is None or "--hpu-mode" in others:
            return self.options
        return (*self.options, "--hpu-mode", self.mode)


def find_script(words: Sequence[str]) -> int | None:
    """Where the name of an old script stands; None where there is none."""
    places = (place for place, word in enumerate(words) if is_script(word))
    return next(places, None)


def is_script(word: str) -> bool:
    return _SCRIPT.fullmatch(PurePath(word).name) is not None


def without_launcher(words: Sequence[str]) -> tuple[list[str], list[OldNotice]]:
    """A script's own words: what is pasted before a second name of the script is left out."""
    place = find_script(words)
    if place is None:
        return list(words), []
    pasted = " ".join(words[: place + 1])
    launch = read_launcher(words[:place])
    meant = f" (add {' '.join(launch.options)} if it was meant)" if launch.options else ""
    notice = OldNotice("", "dropped", f"{pasted}: a launcher's words, not followed{meant}")
    return list(words[place + 1 :]), [notice]


def read_launcher(words: Sequence[str]) -> Launch:
    """What stood before the script, in today's words."""
    reader = _Launcher()
    rest = list(words)
    while rest:
        reader.take(rest.pop(0), rest)
    return reader.launch()


class _Launcher:
    def __init__(self) -> None:
        self.cards: str | None = None
        self.nodes: str | None = None
        self.hosts: str | None = None
        self.kind: str | None = None
        self.mode: str | None = None
        self.notices: list[OldNotice] = []

    def take(self, word: str, rest: list[str]) -> None:
        """One word, and its value from `rest` where it has one that matters."""
        if _ASSIGNMENT.match(word):
            self._take_assignment(word)
        elif word in {"mpirun", "mpiexec", "--use_mpi"}:
            self.kind = "mpi"
        elif word in {"deepspeed", "--use_deepspeed"}:
            self.kind = "deepspeed"
        elif is_flag(word):
            self._take_flag(word, rest)

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
            told = OldNotice(word, "kept", "belongs to the environment: write it in front again")
        self.notices.append(told)

    def _take_flag(self, word: str, rest: list[str]) -> None:
        name = underscored(word.lstrip("-"))
        _, equals, value = word.partition("=")
        if name in CARDS | _NODES | _HOSTS and not equals and rest:
            value = rest.pop(0)
        if name in CARDS:
            self.cards = value
        elif name in _NODES:
            self.nodes = value
        elif name in _HOSTS:
            self.hosts = value
        elif name != "m":
            self.notices.append(
                OldNotice(word, "dropped", "of the launcher: ranks are started and placed by us")
            )

    def launch(self) -> Launch:
        options: list[str] = []
        for option, value in (("--cards", self.cards), ("--nodes", self.nodes)):
            if value not in (None, "1"):
                options += [option, str(value)]
        if self.hosts is not None:
            options += ["--hostfile", self.hosts]
        if self.kind is not None:
            options += ["--launcher", self.kind]
        return Launch(tuple(options), tuple(self.notices), self.mode)
