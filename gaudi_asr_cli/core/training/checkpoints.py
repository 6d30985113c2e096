"""Checkpoints that vouch for what they hold: a list of their files with sizes and hashes.

A checkpoint with a file that is missing or changed is never resumed from: transformers starts
without a missing optimiser or random state, and the result would be another one.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from zipfile import BadZipFile, ZipFile

from pydantic import TypeAdapter

from gaudi_asr_cli.core.errors import DataError, TrainingError
from gaudi_asr_cli.core.events import Noticed, Observer
from gaudi_asr_cli.core.json_files import read_json_object
from gaudi_asr_cli.core.runs import CHECKPOINT_MARK, RunFolder, checkpoint_step
from gaudi_asr_cli.core.training.meter import TrainingTotals
from gaudi_asr_cli.core.whole_files import sync_folder, sync_tree, write_json

STATE = "trainer_state.json"
TOTALS = "totals.json"

EXPECTED = ("model.safetensors", "optimizer.pt", "scheduler.pt", STATE)
"""Files of a checkpoint whose mark lists none, written before marks did."""

RANDOM_STATES = "rng_state*.pth"

SET_ASIDE = "damaged-"
"""Added to the name of a checkpoint's folder that a run fell back from."""


def write_mark(checkpoint: Path, content: Mapping[str, Any]) -> None:
    """Mark a checkpoint as complete: the mark lists its files, which are on the disk by then."""
    sync_tree(checkpoint)
    files = {name: fingerprint_file(checkpoint / name) for name in list_files(checkpoint)}
    write_json(checkpoint / CHECKPOINT_MARK, {**content, "files": files})
    sync_folder(checkpoint.parent)


def take_mark(checkpoint: Path) -> dict[str, Any]:
    """Return the content of a checkpoint's mark and remove it, so that its files can be changed."""
    mark = checkpoint / CHECKPOINT_MARK
    content: dict[str, Any] = json.loads(mark.read_text(encoding="utf-8"))
    mark.unlink()
    return content


def list_files(checkpoint: Path) -> list[str]:
    """Return the names of a checkpoint's files, without its mark and hidden ones."""
    names = (path.relative_to(checkpoint) for path in checkpoint.rglob("*") if path.is_file())
    return sorted(
        str(name)
        for name in names
        if str(name) != CHECKPOINT_MARK and not name.name.startswith(".")
    )


def fingerprint_file(path: Path) -> dict[str, Any]:
    """Return the size and the hash of a file."""
    with path.open("rb") as file:
        digest = hashlib.sha256()
        while block := file.read(1 << 22):
            digest.update(block)
        return {"bytes": file.tell(), "sha256": digest.hexdigest()}


def choose_checkpoint(folder: RunFolder, observe: Observer, *, keeps_best: bool) -> Path | None:
    """Return the newest checkpoint that is intact; None if the run has none.

    Newer ones that are damaged are renamed, so that the run can write them again.

    Args:
        folder: The run folder.
        observe: Receives a notice for each damaged one.
        keeps_best: The run ends with its best weights, so that their checkpoint must be intact too.

    Raises:
        TrainingError: None of them is intact.
    """
    damaged: dict[Path, str] = {}
    for checkpoint in reversed(folder.whole_checkpoints()):
        damage = find_damage(checkpoint) or (find_damaged_best(checkpoint) if keeps_best else None)
        if damage is None:
            for path, reason in damaged.items():
                set_aside(path, f"{reason}; resuming from {checkpoint.name}", observe)
            return checkpoint
        damaged[checkpoint] = damage
    if damaged:
        reasons = "; ".join(f"{path.name}: {damage}" for path, damage in damaged.items())
        raise TrainingError(
            f"No checkpoint in {folder.checkpoints} is intact: {reasons}.",
            remedy="Restore the files from a copy; or remove that folder and --resume: the run "
            "then begins again at its first step and comes to the same result.",
        )
    return None


def set_aside(checkpoint: Path, reason: str, observe: Observer) -> None:
    """Rename a damaged checkpoint's folder, and say so."""
    target = checkpoint.with_name(f"{SET_ASIDE}{checkpoint.name}")
    number = 1
    while target.exists():
        number += 1
        target = checkpoint.with_name(f"{SET_ASIDE}{checkpoint.name}-{number}")
    checkpoint.rename(target)
    observe(
        Noticed(
            f"{checkpoint.name} is damaged: {reason}.",
            remedy=f"Its files are kept in {target}; remove it when they are not needed.",
        )
    )


def find_damaged_best(checkpoint: Path) -> str | None:
    """Return what is wrong with the best checkpoint so far, as an intact one names it."""
    state = json.loads((checkpoint / STATE).read_text(encoding="utf-8"))
    step = state.get("best_global_step")
    if not step or step == checkpoint_step(checkpoint):
        return None
    best = checkpoint.with_name(f"checkpoint-{step}")
    damage = find_damage(best)
    return None if damage is None else f"its best weights so far are in {best.name}: {damage}"


def require_intact(checkpoint: Path) -> None:
    """Check that a checkpoint is what was written.

    Raises:
        TrainingError: It is not; the message names the file.
    """
    damage = find_damage(checkpoint)
    if damage is not None:
        raise TrainingError(
            f"{checkpoint} is damaged: {damage}.",
            remedy="Restore its files from a copy, then --resume; the rest of the run is kept.",
        )


def find_damage(checkpoint: Path) -> str | None:
    """Return what is wrong with a checkpoint, with the name of the file; None if it is intact."""
    try:
        mark = read_json_object(checkpoint / CHECKPOINT_MARK, remedy="Restore it from a copy.")
    except DataError as error:
        return error.message.removeprefix(f"{checkpoint}/").rstrip(".")
    if mark.get("step") != checkpoint_step(checkpoint):
        return f"{CHECKPOINT_MARK} is of step {str(mark.get('step'))[:20]}"
    if "files" not in mark:
        return _find_broken(checkpoint)
    files = mark["files"]
    if not isinstance(files, dict) or STATE not in files:
        return f"{CHECKPOINT_MARK} does not list its files"
    damages = (_find_file_damage(checkpoint / name, entry) for name, entry in files.items())
    return next((damage for damage in damages if damage is not None), None)


def _find_broken(checkpoint: Path) -> str | None:
    """Return the missing or unreadable file of a checkpoint whose mark lists none."""
    if any(checkpoint.glob("global_step*")):
        # Of DeepSpeed, whose files have other names.
        return None
    missing = [name for name in EXPECTED if not (checkpoint / name).is_file()]
    states = [path for path in checkpoint.glob(RANDOM_STATES) if path.is_file()]
    if not states:
        missing.append(RANDOM_STATES)
    if missing:
        return f"{missing[0]} is missing"
    if not _is_state_of(checkpoint / STATE, checkpoint_step(checkpoint)):
        return f"{STATE} is not the state of this step"
    archives = [checkpoint / "optimizer.pt", checkpoint / "scheduler.pt", *states]
    broken = [path.name for path in archives if not _is_archive(path)]
    if not _is_safetensors(checkpoint / "model.safetensors"):
        broken.append("model.safetensors")
    return f"{broken[0]} is damaged" if broken else None


def _is_state_of(path: Path, step: int) -> bool:
    try:
        state = read_json_object(path, remedy="Restore it from a copy.")
    except DataError:
        return False
    best = state.get("best_global_step")
    return state.get("global_step") == step and (best is None or isinstance(best, int))


def _is_archive(path: Path) -> bool:
    """Return whether a file of torch is a whole archive, by the sums that zip stores."""
    try:
        with ZipFile(path) as archive:
            return archive.testzip() is None
    except (BadZipFile, OSError, ValueError, NotImplementedError, RuntimeError, zlib.error):
        return False


def _is_safetensors(path: Path) -> bool:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "np") as file:
            return bool(file.keys())
    except (SafetensorError, OSError, ValueError):
        return False


def _find_file_damage(path: Path, entry: Any) -> str | None:
    name = path.name
    if not isinstance(entry, dict):
        return f"{CHECKPOINT_MARK} does not describe {name}"
    if not path.is_file():
        return f"{name} is missing"
    try:
        size = path.stat().st_size
        if size != entry.get("bytes"):
            return f"{name} has {size} bytes instead of {str(entry.get('bytes'))[:20]}"
        is_same = fingerprint_file(path) == entry
    except OSError as error:
        return f"{name} cannot be read: {error.strerror}"
    return None if is_same else f"{name} is not what was written (its hash differs)"


def read_totals(checkpoint: Path) -> TrainingTotals:
    """Return the totals that an intact checkpoint holds; zeros in one of an earlier version.

    Raises:
        DataError: The file is damaged, in a checkpoint whose mark lists no files.
    """
    path = checkpoint / TOTALS
    if not path.is_file():
        return TrainingTotals()
    try:
        return TypeAdapter(TrainingTotals).validate_json(path.read_bytes())
    except ValueError as error:
        raise DataError(
            f"{path} does not hold the totals of a run.",
            remedy="Remove it, then --resume: the report then counts only the time from there on.",
        ) from error
