"""What the process that starts ranks and the ranks on its host leave for each other in a folder."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from gaudi_asr_cli.core.errors import AsrError

VARIABLE = "GAUDI_ASR_LAUNCH"
"""Environment variable that names the folder."""

STREAMS = ("stdout", "stderr")


@dataclass(frozen=True, slots=True)
class Failure:
    """What a rank ended with, `at` a time of this host's clock in seconds."""

    rank: int
    message: str
    remedy: str
    exit_code: int
    at: float

    def to_error(self) -> AsrError:
        """The rank's error as if it had happened here."""
        error = AsrError(self.message, remedy=self.remedy)
        error.exit_code = self.exit_code
        return error


@dataclass(frozen=True, slots=True)
class Handover:
    """A folder of its own for each launch, made by the starting process and removed by it."""

    root: Path

    @classmethod
    def found(cls, environment: Mapping[str, str] = os.environ) -> Handover | None:
        """The one that this process was started with.

        None for one that nobody started, or where the folder is on another host.
        """
        told = environment.get(VARIABLE)
        return cls(Path(told)) if told and Path(told).is_dir() else None

    @property
    def recipe(self) -> Path:
        return self.root / "recipe.yaml"

    @property
    def command(self) -> Path:
        """The words of the command that the user gave."""
        return self.root / "command.json"

    @property
    def logs(self) -> Path:
        """Where the ranks' logs are kept: a link into the run folder."""
        return self.root / "logs"

    def log(self, rank: int) -> Path:
        return self.logs / f"rank-{rank}.log"

    @property
    def launcher_log(self) -> Path:
        return self.logs / "launcher.log"

    def stream(self, name: str) -> Path:
        """The pipe through which the first rank speaks, one of `STREAMS`."""
        return self.root / name

    def note_process(self, rank: int, pid: int) -> None:
        """Say which process a rank is."""
        (self.root / f"rank-{rank}.pid").write_text(str(pid))

    def processes(self) -> dict[int, int]:
        """Process numbers of the ranks that run here, by rank; newer ones where started anew."""
        found = {}
        for path in self.root.glob("rank-*.pid"):
            text = path.read_text()
            if text.isdigit():
                found[int(path.stem.partition("-")[2])] = int(text)
        return {rank: pid for rank, pid in sorted(found.items()) if self._is_rank(pid)}

    def _is_rank(self, pid: int) -> bool:
        """Whether this is still one of ours: numbers of ended processes are given out again."""
        if sys.platform != "linux":
            return True
        try:
            return f"{VARIABLE}={self.root}".encode() in Path(f"/proc/{pid}/environ").read_bytes()
        except OSError:
            return False

    def note_failure(self, rank: int, error: AsrError) -> None:
        """Leave the error that ends a rank; whole or not at all."""
        failure = Failure(rank, error.message, error.remedy, error.exit_code, time.time())
        part = self.root / f"rank-{rank}.part"
        part.write_text(json.dumps(asdict(failure)), encoding="utf-8")
        part.replace(self.root / f"rank-{rank}.failed")

    def failures(self) -> list[Failure]:
        """What ranks have ended with so far, the earliest first."""
        paths = self.root.glob("rank-*.failed")
        failed = [Failure(**json.loads(path.read_text(encoding="utf-8"))) for path in paths]
        return sorted(failed, key=lambda failure: failure.at)


def send(pid: int, number: int) -> None:
    """Send a signal to a process that may have ended."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


def kill(pid: int) -> None:
    """End a process at once."""
    send(pid, signal.SIGKILL)
