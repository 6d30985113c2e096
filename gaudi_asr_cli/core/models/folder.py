"""Find a model's files: a local folder, a run folder, the demo model, or the hub."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from gaudi_asr_cli.core.data.paths import expand_home
from gaudi_asr_cli.core.errors import DataError, MachineError, UnreachableError
from gaudi_asr_cli.core.json_files import read_json_object
from gaudi_asr_cli.core.models.contents import (
    COPY_AGAIN,
    check_adapter,
    check_quantisation,
    check_special_files,
    check_weights,
    find_other_format,
    missing_config_error,
    named_file_error,
)
from gaudi_asr_cli.core.models.families import (
    ModelFamily,
    family_of,
    head_of,
    list_architectures,
    stored_head_of,
)
from gaudi_asr_cli.core.models.own_code import refuse_own_code
from gaudi_asr_cli.core.models.sizes import check_sizes

DEMO_MODEL = "demo"
DEMO_FOLDER = Path(__file__).resolve().parents[2] / "models" / "demo"
"""The model of the demo recipe, included in the wheel."""

HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[\w.-]+)?")
HUB_TIMEOUT_S = 5.0
HUB_FILES = ("*.json", "vocab.txt", "merges.txt", "*.model")
JSON_FILES = (
    "added_tokens.json",
    "config.json",
    "generation_config.json",
    "model.safetensors.index.json",
    "preprocessor_config.json",
    "processor_config.json",
    "special_tokens_map.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.json",
)
"""Files of a model that transformers or gaudi-asr reads, each one JSON object."""


@dataclass(frozen=True, slots=True)
class ModelFolder:
    """A folder that holds `config.json`; `name` is the name that the user gave."""

    name: str
    path: Path

    def read_config(self) -> dict[str, Any]:
        """Return the content of `config.json`.

        Raises:
            DataError: It is not a JSON object.
        """
        return read_json_object(self.path / "config.json", remedy=COPY_AGAIN)

    def list_weights(self) -> tuple[Path, ...]:
        """List the safetensors files of the model, without language adapters."""
        found = sorted(self.path.glob("*.safetensors"))
        return tuple(path for path in found if not path.name.startswith("adapter."))


def find_model(name: str, *, language: str | None = None, kind: str | None = "ctc") -> ModelFolder:
    """Find the folder of a model, downloading it if `name` is a hub id that is not cached.

    Args:
        name: A folder with config.json, a run folder (then its `model/`), `demo`, or a hub id.
        language: Language whose adapter is needed as well (MMS).
        kind: The expected kind, `ctc` or `seq2seq`; None accepts either; `text` is a text model,
            the decoder of a new encoder-decoder, of any architecture.

    Raises:
        DataError: The folder exists but holds no readable model, or one of another kind.
        MachineError: The installed transformers does not have its architecture.
        UnreachableError: A hub id that is neither cached nor reachable.
    """
    folder = _find_folder(name, language)
    _check_folder(folder, kind)
    return folder


def is_hub_model(name: str) -> bool:
    """Return whether a name is that of a model on the hub: no local path, no model made here."""
    return name != DEMO_MODEL and HUB_ID.fullmatch(name) is not None and not Path(name).exists()


def kind_of(config: Mapping[str, Any]) -> str:
    """Return the kind of a model, `ctc` or `seq2seq`, from its config.json."""
    family = family_of(config)
    if family is None:
        return "seq2seq" if config.get("is_encoder_decoder") else "ctc"
    return family.kind


def _find_folder(name: str, language: str | None) -> ModelFolder:
    if name == DEMO_MODEL and not Path(name).is_dir():
        return ModelFolder(name, DEMO_FOLDER)
    local = expand_home(name)
    if name and local.is_dir():
        inside = local / "model"
        is_run = not (local / "config.json").exists() and (inside / "config.json").exists()
        return ModelFolder(name, inside if is_run else local)
    if local.is_file():
        raise named_file_error(local)
    if not HUB_ID.fullmatch(name):
        raise DataError(
            f"'{name}' is neither a model folder nor a hub id.",
            remedy="Name a folder with config.json and model.safetensors, a run folder, a hub id "
            "such as facebook/wav2vec2-base-960h, or 'demo'.",
        )
    return ModelFolder(name, _find_on_hub(name, language))


def has_trained_head(folder: ModelFolder) -> bool:
    """Return whether the weights include a CTC head; pretrained checkpoints have none."""
    config = folder.read_config()
    heads = {f"{name}.weight" for name in (head_of(config), stored_head_of(config))}
    return not heads.isdisjoint(_read_keys(folder.list_weights()))


def _read_keys(weights: Iterable[Path]) -> Iterable[str]:
    from safetensors import SafetensorError, safe_open

    for path in weights:
        try:
            with safe_open(path, framework="pt") as opened:
                yield from opened.keys()
        except (SafetensorError, OSError) as error:
            raise DataError(
                f"{path} is not a complete safetensors file: {error}.", remedy=COPY_AGAIN
            ) from error


def _check_folder(folder: ModelFolder, kind: str | None) -> None:
    """Refuse a folder that is no model, or has a broken file, before anything of it is opened."""
    path = folder.path
    try:
        check_special_files(path)
        check_adapter(path)
        if not (path / "config.json").exists():
            raise missing_config_error(path)
        for name in JSON_FILES:
            if (path / name).exists():
                read_json_object(path / name, remedy=COPY_AGAIN)
        config = folder.read_config()
        check_quantisation(folder.name, path, config)
        refuse_own_code(folder.name, config)
        _check_kind(folder, kind)
        check_weights(path)
        check_sizes(path / "config.json", config, folder.list_weights())
    except OSError as error:
        raise DataError(
            f"{error.filename or path} cannot be read: {error.strerror}.",
            remedy="Check the permissions of the folder and its files.",
        ) from error


def _check_kind(folder: ModelFolder, kind: str | None) -> None:
    if kind == "text":
        return
    config = folder.read_config()
    family = config.get("model_type")
    if family is None:
        raise _no_family_error(folder)
    record = family_of(config)
    if record is None:
        raise DataError(
            f"{folder.name} is a '{family}' model{_name_class(config)}, an architecture that "
            "gaudi-asr does not support.",
            remedy=f"Choose a model of a supported architecture ({list_architectures()}), such as "
            "facebook/wav2vec2-base-960h or openai/whisper-small.",
        )
    _check_version(folder, record)
    _check_task(folder, config)
    if kind == "ctc" and kind_of(config) != kind:
        raise DataError(
            f"{folder.name} is a '{family}' model, which has no CTC head.",
            remedy="Choose a CTC model here, such as facebook/wav2vec2-base-960h; eval-seq2seq and "
            "infer accept encoder-decoder models.",
        )
    if kind == "seq2seq" and kind_of(config) != kind:
        raise DataError(
            f"{folder.name} is a '{family}' model, which has no decoder.",
            remedy="Choose a model such as openai/whisper-small here; eval-ctc and infer accept "
            "CTC models.",
        )


def _check_version(folder: ModelFolder, record: ModelFamily) -> None:
    """Reject an architecture that the installed transformers does not have."""
    installed = version("transformers")
    if int(installed.partition(".")[0]) < record.since:
        raise MachineError(
            f"{folder.name} is a '{folder.read_config()['model_type']}' model, which transformers "
            f"{installed} does not have.",
            remedy=f"Install transformers {record.since} or newer (optimum-habana 1.21 requires "
            "4.55), or choose a model of another architecture.",
        )


OTHER_TASKS = {
    "ForSequenceClassification": "audio classification",
    "ForAudioClassification": "audio classification",
    "ForAudioFrameClassification": "classification of frames",
    "ForXVector": "speaker verification",
}
"""Ends of the names of transformers' classes, and what their heads do."""


def other_task(config: Mapping[str, Any]) -> str | None:
    """Return what the head of a network does if that is not transcription."""
    classes = config.get("architectures")
    named = [one for one in classes if isinstance(one, str)] if isinstance(classes, list) else []
    tasks = (task for end, task in OTHER_TASKS.items() if any(one.endswith(end) for one in named))
    return next(tasks, None)


def _name_class(config: Mapping[str, Any]) -> str:
    classes = config.get("architectures")
    first = classes[0] if isinstance(classes, list) and classes else None
    return f" ({first})" if isinstance(first, str) and first.isidentifier() else ""


def _check_task(folder: ModelFolder, config: Mapping[str, Any]) -> None:
    """Reject an encoder-decoder of which only the encoder is there, for another task."""
    task = other_task(config)
    if task is not None and kind_of(config) == "seq2seq":
        raise DataError(
            f"{folder.name} is a model for {task} ({config['architectures'][0]}), which has no "
            "decoder of text.",
            remedy="Choose a model for speech recognition, such as openai/whisper-small.",
        )


def _no_family_error(folder: ModelFolder) -> DataError:
    """Return the error about a config.json that is not one of transformers."""
    other = find_other_format(folder.path)
    if other is not None:
        title, remedy = other
        return DataError(f"{folder.path} holds {title}.", remedy=remedy)
    return DataError(
        f"{folder.path / 'config.json'} names no model_type, so the architecture is not known.",
        remedy="Copy the config.json that transformers' save_pretrained wrote with the weights.",
    )


def _find_on_hub(name: str, language: str | None) -> Path:
    cached = _find_in_cache(name, language)
    if cached is not None:
        return cached
    try:
        return _download(name, language)
    except UnreachableError:
        # An adapter that is not cached may be one that training will create.
        without = _find_in_cache(name, None)
        if without is None:
            raise
        return without


def _find_in_cache(name: str, language: str | None) -> Path | None:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        path = Path(snapshot_download(name, local_files_only=True))
    except LocalEntryNotFoundError:
        return None
    adapters = [] if language is None else [path / f"adapter.{language}.safetensors"]
    complete = (path / "config.json").exists() and any(path.glob("*.safetensors"))
    return path if complete and all(file.exists() for file in adapters) else None


def _download(name: str, language: str | None) -> Path:
    from huggingface_hub import HfApi, snapshot_download

    adapters = [] if language is None else [f"adapter.{language}.safetensors"]
    patterns = [*HUB_FILES, "model*.safetensors", *adapters]
    try:
        # First, and with a short timeout: without network a download retries for minutes.
        HfApi().model_info(name, timeout=HUB_TIMEOUT_S)
        return Path(snapshot_download(name, allow_patterns=patterns, etag_timeout=HUB_TIMEOUT_S))
    except network_errors() as error:
        raise _unreachable(name, error) from error


def network_errors() -> tuple[type[Exception], ...]:
    """Return the exceptions that huggingface_hub raises without network (requests or httpx)."""
    from huggingface_hub.errors import HFValidationError, OfflineModeIsEnabled

    errors: list[type[Exception]] = [OSError, HFValidationError, OfflineModeIsEnabled]
    for client in ("httpx", "httpx2"):
        if find_spec(client) is not None:
            errors.append(import_module(client).TransportError)
    return tuple(errors)


def _unreachable(name: str, error: Exception) -> UnreachableError:
    from huggingface_hub.constants import HF_HUB_CACHE

    return UnreachableError(
        f"The model '{name}' is neither in the cache ({HF_HUB_CACHE}) nor reachable on the hub"
        f" ({_name_reason(error)}).",
        remedy=f"Offline: run `hf download {name}` where there is a network and copy the cache "
        "here, or set HF_HOME to a cache that has it. Without either: --model demo ships with "
        "gaudi-asr, and --model FOLDER takes any local model. A private model needs `hf auth "
        "login` first.",
    )


def _name_reason(error: Exception) -> str:
    """Return the hub's own answer if it gave one, else the innermost network error."""
    from huggingface_hub.errors import HfHubHTTPError

    reason: BaseException = error
    while not isinstance(error, HfHubHTTPError) and (inner := _inside(reason)) is not None:
        reason = inner
    return str(reason).strip().partition("\n")[0] or type(reason).__name__


def _inside(error: BaseException) -> BaseException | None:
    return error.__cause__ or error.__context__
