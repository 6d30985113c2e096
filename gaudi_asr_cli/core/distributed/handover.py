"""Files exchanged between the process that launches ranks and the ranks on its host."""

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
    """The error that ended a rank, `at` a time of this host's clock in seconds."""

    rank: int
    message: str
    remedy: str
    exit_code: int
    at: float

    def to_error(self) -> AsrError:
        """Return the error of the rank, to be raised in this process."""
        error = AsrError(self.message, remedy=self.remedy)
        error.exit_code = self.exit_code
        return error


@dataclass(frozen=True, slots=True)
class Handover:
    """A folder per launch, created and removed by the launching process."""

    root: Path

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Handover | None:
        """Return the handover of this rank.

        None for a process that is no rank, or where the folder is on another host.
        """
        folder = environment.get(VARIABLE)
        return cls(Path(folder)) if folder and Path(folder).is_dir() else None

    @property
    def recipe(self) -> Path:
        return self.root / "recipe.yaml"

    @property
    def command(self) -> Path:
        """The arguments of the user's command."""
        return self.root / "command.json"

    @property
    def logs(self) -> Path:
        """Folder of the ranks' logs: a link into the run folder."""
        return self.root / "logs"

    def log(self, rank: int) -> Path:
        return self.logs / f"rank-{rank}.log"

    @property
    def launcher_log(self) -> Path:
        return self.logs / "launcher.log"

    @property
    def launcher_pipe(self) -> Path:
        """Return the named pipe whose write end the launching process holds."""
        return self.root / "launcher"

    def stream(self, name: str) -> Path:
        """Return the named pipe of the first rank's output; `name` is one of `STREAMS`."""
        return self.root / name

    def record_process(self, rank: int, pid: int) -> None:
        """Record the process id of a rank."""
        (self.root / f"rank-{rank}.pid").write_text(str(pid))

    def processes(self) -> dict[int, int]:
        """Return the process ids of the ranks that run on this host, the newest after a restart."""
        found = {}
        for path in self.root.glob("rank-*.pid"):
            text = path.read_text()
            if text.isdigit():
                found[int(path.stem.partition("-")[2])] = int(text)
        return {rank: pid for rank, pid in sorted(found.items()) if self._is_rank(pid)}

    def _is_rank(self, pid: int) -> bool:
        """Return whether this process is still our rank: process ids are reused."""
        if sys.platform != "linux":
            return True
        try:
            return f"{VARIABLE}={self.root}".encode() in Path(f"/proc/{pid}/environ").read_bytes()
        except OSError:
            return False

    def record_failure(self, rank: int, error: AsrError) -> None:
        """Record the error that ends a rank, atomically."""
        failure = Failure(rank, error.message, error.remedy, error.exit_code, time.time())
        part = self.root / f"rank-{rank}.part"
        part.write_text(json.dumps(asdict(failure)), encoding="utf-8")
        part.replace(self.root / f"rank-{rank}.failed")

    def failures(self) -> list[Failure]:
        """Return the failures of ranks so far, the earliest first."""
        paths = self.root.glob("rank-*.failed")
        failed = [Failure(**json.loads(path.read_text(encoding="utf-8"))) for path in paths]
        return sorted(failed, key=lambda failure: failure.at)


def send_signal(pid: int, number: int) -> None:
    """Send a signal to a process, unless it has ended."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


def kill(pid: int) -> None:
    """Kill a process."""
    send_signal(pid, signal.SIGKILL)
