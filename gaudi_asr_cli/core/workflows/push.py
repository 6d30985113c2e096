"""`push`: upload the model of a finished run to the hub."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from gaudi_asr_cli.core.errors import DataError, UsageError
from gaudi_asr_cli.core.local_paths import hide_local_path
from gaudi_asr_cli.core.models.folder import find_model
from gaudi_asr_cli.core.models.hub_repository import (
    Repository,
    check_access,
    check_repository_id,
    upload_folder,
)
from gaudi_asr_cli.core.models.published_files import (
    CARD,
    PublishedFile,
    choose_files,
    reject_secrets,
)
from gaudi_asr_cli.core.runs import RunFolder
from gaudi_asr_cli.core.training.card import PLACE, check_card_values, complete_card

TRAINING_KINDS = ("finetune-ctc", "finetune-seq2seq")


@dataclass(frozen=True, slots=True)
class PushRequest:
    """A run and the repository for its model; licence and language are set on the card."""

    run: Path
    repository: Repository
    license: str | None = None
    language: str | None = None


@dataclass(frozen=True, slots=True)
class PushReport:
    """What is sent; `url` is None in a dry run, `left_out` are other files of the model folder."""

    run: Path
    repository: Repository
    files: tuple[PublishedFile, ...]
    left_out: tuple[str, ...]
    card: str | None
    url: str | None = None

    @property
    def size_bytes(self) -> int:
        return sum(file.size_bytes for file in self.files)

    def to_json(self) -> dict[str, Any]:
        return {
            "schema": "push/1",
            "run": str(self.run),
            "repository": self.repository.id,
            "private": self.repository.private,
            "dry_run": self.url is None,
            "url": self.url,
            "files": [{"name": file.name, "bytes": file.size_bytes} for file in self.files],
            "bytes": self.size_bytes,
            "left_out": list(self.left_out),
            "card": self.card,
        }


def plan_push(request: PushRequest) -> PushReport:
    """Return what `push` would send; nothing is sent, and no network is needed.

    Raises:
        UsageError: The repository's id is invalid, or there is no training run.
        DataError: The run has not finished, or its model is damaged.
    """
    check_repository_id(request.repository.id)
    folder = _find_finished(request.run)
    find_model(str(folder.model), kind=None)
    files, left_out = choose_files(folder.model)
    card = _prepare_card(folder, request)
    if card is not None:
        files.append(PublishedFile(CARD, folder.model / CARD, card))
    return PushReport(folder.root, request.repository, tuple(files), tuple(left_out), card)


def push(request: PushRequest, *, progress: bool = False) -> PushReport:
    """Upload the model, its tokenizer, configurations and card.

    Args:
        request: The run and the repository.
        progress: Let the hub's client show its progress bars, where it is on a terminal.

    Raises:
        UsageError: The repository's id is invalid, or there is no training run.
        DataError: The run has not finished, or its model is damaged.
        UnreachableError: The hub cannot be reached, or refuses the token or the upload.
    """
    plan = plan_push(request)
    with tempfile.TemporaryDirectory(prefix="gaudi-asr-") as root:
        for file in plan.files:
            file.place(Path(root))
        url = upload_folder(
            Path(root), request.repository, f"Upload {plan.run.resolve().name}", progress=progress
        )
    return replace(plan, url=url)


def check_push(request: PushRequest) -> None:
    """Check before training what makes an upload at its end impossible.

    Raises:
        UsageError: The repository's id, the licence or the language is invalid.
        UnreachableError: The hub cannot be reached, or refuses the token.
    """
    check_repository_id(request.repository.id)
    check_card_values(license=request.license, language=request.language)
    check_access(request.repository)


def _find_finished(run: Path) -> RunFolder:
    """Return the folder of a finished training run; its `model/` may be named as well."""
    folder = RunFolder(run)
    if not folder.recipe.is_file() and run.name == folder.model.name:
        folder = RunFolder(run.parent)
    if not folder.recipe.is_file():
        raise UsageError(
            f"There is no training run in {run}.",
            remedy="Give the run folder of finetune-ctc or finetune-seq2seq. Another model folder "
            "is uploaded by: hf upload OWNER/NAME FOLDER",
        )
    if not folder.report.is_file():
        kind = _read_recipe(folder).get("kind", TRAINING_KINDS[0])
        raise DataError(
            f"The run in {folder.root} has not finished: it has no {folder.report.name}.",
            remedy=f"Finish it first: gaudi-asr {kind} --resume --run {folder.root}",
        )
    if not folder.model.is_dir():
        raise DataError(
            f"The run in {folder.root} has no model.",
            remedy="Give the run folder of finetune-ctc or finetune-seq2seq.",
        )
    return folder


def _read_recipe(folder: RunFolder) -> dict[str, Any]:
    try:
        values = yaml.safe_load(folder.recipe.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        # The card is shareable without it, and an unfinished run is one all the same.
        return {}
    return values if isinstance(values, dict) else {}


def _prepare_card(folder: RunFolder, request: PushRequest) -> str | None:
    """Return the card as it is sent: completed, without local paths; None if there is none."""
    path = folder.model / CARD
    text = _read_text(path) if path.is_file() else None
    if text is None and request.license is None and request.language is None:
        return None
    if text is not None:
        text = text.replace(f"--model {PLACE}", f"--model {request.repository.id}")
    recipe = _read_recipe(folder)
    paths = {str(folder.root.resolve()), *_local_paths({**recipe, "text": None})}
    for found in sorted(paths, key=len, reverse=True):
        text = text and text.replace(found, hide_local_path(found))
    card = complete_card(
        text or "---\n{}\n---\n", license=request.license, language=request.language
    )
    reject_secrets(path, card)
    return card


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not text in UTF-8.", remedy="Save it as UTF-8.") from error


def _local_paths(value: Any) -> Iterator[str]:
    """Yield the local paths among the values of a recipe."""
    if isinstance(value, str):
        if hide_local_path(value) != value:
            yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from _local_paths(item)
    elif isinstance(value, list):
        for item in value:
            yield from _local_paths(item)
