"""A run on disk: every path is defined once, and files are written atomically."""

from __future__ import annotations

import dataclasses
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gaudi_asr_cli.core.errors import UsageError
from gaudi_asr_cli.core.events import Event, StageAdvanced
from gaudi_asr_cli.core.json_text import json_text
from gaudi_asr_cli.core.secret_values import hide_in_text

CHECKPOINT_MARK = "complete.json"
"""Written last into a checkpoint's folder: one without it is incomplete and never resumed from."""


@dataclass(frozen=True, slots=True)
class RunFolder:
    """The files of a run."""

    root: Path

    @classmethod
    def create(cls, root: Path) -> RunFolder:
        """Create a new, empty run folder.

        Raises:
            UsageError: The path exists already: a run is never overwritten.
        """
        cls.reject_existing(root)
        try:
            root.mkdir(parents=True)
        except OSError as error:
            raise UsageError(
                f"The run folder {root} cannot be created: {error.strerror}.",
                remedy="Choose a --run folder in a place with write permission.",
            ) from error
        return cls(root)

    @staticmethod
    def reject_existing(root: Path) -> None:
        """Raise an error if a run folder exists, before any work is done for it.

        Raises:
            UsageError: The path exists already.
        """
        if root.exists():
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
            if not root.exists():
                try:
                    return cls.create(root)
                except UsageError:
                    if not root.exists():
                        raise
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
        return folder

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
        marks = self.checkpoints.glob(f"checkpoint-*/{CHECKPOINT_MARK}")
        return sorted((mark.parent for mark in marks), key=checkpoint_step)

    def record(self, event: Event) -> None:
        """Append an event to events.jsonl; progress events are only for display and left out."""
        if isinstance(event, StageAdvanced):
            return
        line = {"event": type(event).__name__, **dataclasses.asdict(event)}
        with self.events.open("a", encoding="utf-8") as file:
            file.write(hide_in_text(json_text(line)) + "\n")


def checkpoint_step(folder: Path) -> int:
    """Return the optimiser step in the name of a checkpoint's folder."""
    return int(folder.name.rsplit("-", 1)[1])


def write_whole(path: Path, text: str, *, errors: str = "strict") -> None:
    """Write a file atomically: to a temporary file, with fsync, then renamed.

    With `errors="surrogateescape"` file names in the text that are not UTF-8 keep their bytes.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with temporary.open("w", encoding="utf-8", errors=errors) as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_json(path: Path, value: Any) -> None:
    """Write an indented JSON file atomically."""
    write_whole(path, json_text(value, indent=2) + "\n")
