"""A run on disk: every path is defined once, and files are written atomically."""

from __future__ import annotations

import dataclasses
import os
import re
import time
from dataclasses import dataclass
from pathlib import Path

from gaudi_asr_cli.core.errors import UsageError
from gaudi_asr_cli.core.events import Event, StageAdvanced, TrainingStarted
from gaudi_asr_cli.core.json_text import json_text
from gaudi_asr_cli.core.secret_values import hide_in_text
from gaudi_asr_cli.core.whole_files import PART_SUFFIX

CHECKPOINT_MARK = "complete.json"
"""Written last into a checkpoint's folder: one without it is incomplete and never resumed from."""


_CHECKPOINT_NAME = re.compile(r"checkpoint-\d{1,18}", re.ASCII)


@dataclass(frozen=True, slots=True)
class RunFolder:
    """The files of a run."""

    root: Path

    @classmethod
    def create(cls, root: Path) -> RunFolder:
        """Create a new run folder, or take over one whose start was killed.

        Raises:
            UsageError: The path exists already: a run is never overwritten.
        """
        cls.reject_existing(root)
        folder = cls(root)
        if folder.is_unstarted():
            return folder
        try:
            root.mkdir(parents=True)
        except OSError as error:
            raise _not_created(root, error) from error
        return folder

    @classmethod
    def reject_existing(cls, root: Path) -> None:
        """Raise an error if a run folder exists, before any work is done for it.

        Raises:
            UsageError: The path exists already.
        """
        if root.exists() and not cls(root).is_unstarted():
            raise UsageError(
                f"The run folder {root} exists already.",
                remedy="Choose another --run folder, or continue a training run with --resume.",
            )

    @classmethod
    def create_numbered(cls, name: str, parent: Path = Path("runs")) -> RunFolder:
        """Create `parent/name-N` with the first free N, safe against concurrent processes."""
        number = 1
        while True:
            root = parent / f"{name}-{number}"
            try:
                root.mkdir(parents=True)
            except FileExistsError as error:
                if not os.path.lexists(root):
                    raise _not_created(root, error) from error
            except OSError as error:
                raise _not_created(root, error) from error
            else:
                return cls(root)
            number += 1

    @classmethod
    def existing(cls, root: Path) -> RunFolder:
        """Open an existing run folder, to resume its run.

        Raises:
            UsageError: No such folder, or no run in it.
        """
        folder = cls(root)
        if not folder.recipe.is_file():
            raise UsageError(
                f"There is no run to resume in {root}: it has no {folder.recipe.name}.",
                remedy="Give the folder of a run with --run, or start a new run without --resume.",
            )
        if os.path.lexists(folder.events) and not folder.events.is_file():
            raise UsageError(
                f"{folder.events} is not a file.",
                remedy="Move it elsewhere; the resumed run then writes a new one.",
            )
        return folder

    def is_unstarted(self) -> bool:
        """Return whether a start was killed here before the first file that is kept.

        Such a folder can be started in: it holds nothing but what the next start writes again.
        """
        if not self.root.is_dir():
            return False
        found = list(self.root.iterdir())
        parts = {path for path in found if path.match(f".*{PART_SUFFIX}")}
        names = {path.name for path in found if path not in parts}
        started = self.checkpoints.is_dir() and any(self.checkpoints.iterdir())
        written_first = (self.lock, self.rank_lock, self.logs, self.checkpoints, self.environment)
        known = {self.skipped.name, *(path.name for path in written_first)}
        return bool(found) and names <= known and not started

    def has_trained(self) -> bool:
        """Return whether training was begun in this folder."""
        try:
            return f'"event": "{TrainingStarted.__name__}"' in self.events.read_text("utf-8")
        except (OSError, UnicodeDecodeError):
            return self.checkpoints.is_dir() and any(self.checkpoints.iterdir())

    @property
    def lock(self) -> Path:
        """Return the file that the user's command locks; see `hold_lock`."""
        return self.root / ".lock"

    @property
    def rank_lock(self) -> Path:
        """Return the file that the process which writes locks: the first rank of a launch."""
        return self.root / ".rank.lock"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def recipe(self) -> Path:
        return self.root / "recipe.yaml"

    @property
    def environment(self) -> Path:
        return self.root / "environment.json"

    @property
    def events(self) -> Path:
        return self.root / "events.jsonl"

    @property
    def checkpoints(self) -> Path:
        return self.root / "checkpoints"

    @property
    def model(self) -> Path:
        return self.root / "model"

    @property
    def predictions(self) -> Path:
        return self.root / "predictions.jsonl"

    @property
    def skipped(self) -> Path:
        return self.root / "refused.jsonl"

    @property
    def report(self) -> Path:
        return self.root / "report.json"

    def whole_checkpoints(self) -> list[Path]:
        """Return the complete checkpoints, oldest first."""
        return [path for path in self.all_checkpoints() if (path / CHECKPOINT_MARK).is_file()]

    def all_checkpoints(self) -> list[Path]:
        """Return the folders of checkpoints, incomplete ones too, oldest first."""
        found = self.checkpoints.glob("checkpoint-*")
        named = (path for path in found if _CHECKPOINT_NAME.fullmatch(path.name) and path.is_dir())
        return sorted(named, key=checkpoint_step)

    def record(self, event: Event) -> None:
        """Append an event to events.jsonl, with the seconds since 1970.

        Progress events are only for display and left out.
        """
        if isinstance(event, StageAdvanced):
            return
        line = {
            "event": type(event).__name__,
            "time_s": round(time.time(), 3),
            **dataclasses.asdict(event),
        }
        with self.events.open("a", encoding="utf-8") as file:
            file.write(hide_in_text(json_text(line)) + "\n")


def _not_created(root: Path, error: OSError) -> UsageError:
    return UsageError(
        f"The run folder {root} cannot be created: {error.strerror}.",
        remedy="Choose a --run folder in a place with write permission.",
    )


def checkpoint_step(folder: Path) -> int:
    """Return the optimiser step in the name of a checkpoint's folder."""
    return int(folder.name.rsplit("-", 1)[1])
