"""A model repository of the hub: its id, the access to it, and an upload."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gaudi_asr_cli.core.data.layouts.hub import is_reachable
from gaudi_asr_cli.core.errors import AsrError, DataError, UnreachableError, UsageError
from gaudi_asr_cli.core.models.folder import network_errors
from gaudi_asr_cli.core.secret_values import hide_in_text

OTHER_TYPES = {"datasets": "data sets", "spaces": "spaces", "buckets": "buckets"}
"""First part of the id of a repository that holds no model."""
LOGIN = "Run `hf auth login`, or set HF_TOKEN, with a token that may write"


@dataclass(frozen=True, slots=True)
class Repository:
    """A model repository, OWNER/NAME; `private` is required of it, and set where it is created."""

    id: str
    private: bool = False


def check_repository_id(name: str) -> None:
    """Check that a name is the id of a model repository, without asking the hub.

    Raises:
        UsageError: It is not; the message says why.
    """
    from huggingface_hub import utils
    from huggingface_hub.errors import HFValidationError

    hub: Any = utils
    remedy = "Name a model repository as OWNER/NAME, such as me/whisper-small-hi."
    first = name.partition("/")[0]
    if "://" in name:
        parts = [part for part in name.split("://", 1)[1].split("/")[1:] if part]
        raise UsageError(
            f"{name} is an address, not the id of a repository.",
            remedy=f"Write {'/'.join(parts[:2])}." if len(parts) > 1 else remedy,
        )
    if first in OTHER_TYPES and name.count("/") > 1:
        raise UsageError(
            f"{name} is a repository of {OTHER_TYPES[first]}, not of a model.", remedy=remedy
        )
    if name.count("/") != 1:
        raise UsageError(f"{name!r} is not the id of a model repository.", remedy=remedy)
    try:
        hub.validate_repo_id(name)
    except HFValidationError as error:
        raise UsageError(
            f"{name!r} is not the id of a model repository: {_first_line(error)}", remedy=remedy
        ) from error


def check_access(repository: Repository) -> None:
    """Check that there is a network and a token that the hub accepts, which may write.

    Raises:
        UnreachableError: There is no token, it is refused, or the hub cannot be reached.
    """
    api = _open_api()
    with _hub_errors(repository):
        token: dict[str, Any] = api.whoami().get("auth", {}).get("accessToken", {})
    if token.get("role") == "read":
        raise UnreachableError(
            f"The token of the hub may only read, not write to {repository.id}.",
            remedy=f"{LOGIN} (huggingface.co/settings/tokens).",
        )


def upload_folder(
    folder: Path, repository: Repository, message: str, *, progress: bool = False
) -> str:
    """Create the repository unless it exists, and commit all files of a folder to it.

    Args:
        folder: Whatever is in it is sent.
        repository: The repository; one that exists keeps its other files.
        message: The message of the commit.
        progress: Show the client's progress bars on a terminal.

    Returns:
        The address of the repository.

    Raises:
        UnreachableError: The hub cannot be reached, or refuses the token or the upload.
        UsageError: The repository is public, and must be private.
        DataError: The hub refuses the metadata of the model card.
    """
    api = _open_api()
    with _hub_errors(repository), nullcontext() if progress else _no_progress():
        # Before the repository exists: one that is refused later would stay empty.
        _check_card(folder / "README.md", api)
        url = api.create_repo(repository.id, private=repository.private or None, exist_ok=True)
        if repository.private and not api.model_info(repository.id).private:
            raise UsageError(
                f"{repository.id} exists and is public; --private is for a new repository.",
                remedy="Make it private in its settings on the hub, choose another name, or leave "
                "--private out.",
            )
        api.upload_folder(repo_id=repository.id, folder_path=str(folder), commit_message=message)
    return str(url)


def _check_card(path: Path, api: Any) -> None:
    """Ask the hub whether it accepts the metadata of a model card, if there is one."""
    if not path.exists():
        return
    try:
        # Not `ModelCard.validate`: before huggingface_hub 1 it ignores HF_ENDPOINT.
        api._validate_yaml(path.read_text(encoding="utf-8"), repo_type="model")
    except ValueError as error:
        title, *problems = str(error).splitlines()
        if "metadata" not in title:
            raise
        raise DataError(
            f"The hub refused the model card: {' '.join(line.strip('- ') for line in problems)}",
            remedy="Correct the metadata at the top of model/README.md, or the option that sets "
            "it, such as --license.",
        ) from error


@contextmanager
def _no_progress() -> Iterator[None]:
    from huggingface_hub import utils

    hub: Any = utils
    shown = not hub.are_progress_bars_disabled()
    hub.disable_progress_bars()
    try:
        yield
    finally:
        if shown:
            hub.enable_progress_bars()


def _open_api() -> Any:
    """Return the client with the token of the environment or of the hub's own store."""
    from huggingface_hub import HfApi, constants, get_token

    if constants.HF_HUB_OFFLINE:
        raise UnreachableError(
            "Nothing can be uploaded while HF_HUB_OFFLINE is set.",
            remedy="Unset it where there is a network.",
        )
    token = get_token()
    if token is None:
        raise UnreachableError(
            "There is no token of the hub, which an upload needs.", remedy=f"{LOGIN}."
        )
    if not token.isascii() or not token.isprintable():
        raise UnreachableError(
            "The token of the hub has characters that no token has.", remedy=f"{LOGIN}."
        )
    if not is_reachable(constants.ENDPOINT):
        raise UnreachableError(
            f"The hub cannot be reached ({constants.ENDPOINT}).",
            remedy="Check the network, or a proxy (HTTPS_PROXY), and try again.",
        )
    return HfApi(token=token)


@contextmanager
def _hub_errors(repository: Repository) -> Iterator[None]:
    """Convert what the hub's client raises to errors that say what to do."""
    try:
        yield
    except AsrError:
        raise
    except _client_errors() as error:
        if isinstance(error, OSError) and error.filename:
            # A file of this machine.
            raise
        raise _explain(error, repository) from error


def _client_errors() -> tuple[type[Exception], ...]:
    return (*network_errors(), ValueError, RuntimeError)


def _explain(error: Exception, repository: Repository) -> AsrError:
    from huggingface_hub import get_token

    answer = _find_answer(error)
    token = get_token()
    reason = hide_in_text(_first_line(answer or error), {token} if token else set())
    status = getattr(getattr(answer, "response", None), "status_code", None)
    if status == 401:
        return UnreachableError(
            f"The hub refused the token: {reason}", remedy=f"{LOGIN}; it may have expired."
        )
    if status in {403, 404}:
        return UnreachableError(
            f"The token may not write to {repository.id}: {reason}",
            remedy="Check the name of the owner, and that the token may write to it "
            "(huggingface.co/settings/tokens).",
        )
    if isinstance(error, json.JSONDecodeError):
        return UnreachableError(
            f"{_endpoint()} does not answer as the hub does.",
            remedy="Check HF_ENDPOINT, and whether a proxy shows a login page in its place.",
        )
    if answer is None:
        return UnreachableError(
            f"The upload to {repository.id} failed: {reason}",
            remedy="Check the network and try again; files that arrived are not sent twice.",
        )
    return UnreachableError(
        f"The hub refused the upload to {repository.id}: {reason}",
        remedy="Its message says why; try again later if it is busy.",
    )


def _endpoint() -> str:
    from huggingface_hub import constants

    return str(constants.ENDPOINT)


def _find_answer(error: BaseException | None) -> Any:
    """Return the hub's answer among an error and its causes, or None if it gave none."""
    from huggingface_hub.errors import HfHubHTTPError

    while error is not None and not isinstance(error, HfHubHTTPError):
        error = error.__cause__ or error.__context__
    return error


def _first_line(error: BaseException) -> str:
    """Return the hub's own message if it sent one, else the first line of the error."""
    own = str(getattr(error, "server_message", None) or "").strip()
    lines = [line.strip() for line in (own or str(error)).splitlines() if line.strip()]
    text = re.sub(r"\s*\(Request ID:[^)]*\)", "", lines[0]) if lines else type(error).__name__
    return text if text.endswith(".") else f"{text}."
