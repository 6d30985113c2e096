"""What a folder holds that is no model which can be opened: each kind has its error and remedy."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gaudi_asr_cli.core.errors import AsrError, DataError
from gaudi_asr_cli.core.json_files import is_special, read_json_object

COPY_AGAIN = "Copy or download the model again."
CHECKPOINT = re.compile(r"checkpoint-(\d+)")
SHARD = re.compile(r"model-(\d{5})-of-(\d{5})\.safetensors")
SINGLE_FILE = "model.safetensors"
INDEX_FILE = "model.safetensors.index.json"
LFS_POINTER = b"version https://git-lfs"
SHOWN = 4


@dataclass(frozen=True, slots=True)
class OtherFormat:
    """Files of another format: patterns of their names, what they are, and what to use instead."""

    patterns: tuple[str, ...]
    title: str
    remedy: str


_WHISPER_SOURCE = (
    "Name the checkpoint that it was converted from, such as openai/whisper-small: a hub id or a "
    "folder with config.json and model.safetensors."
)
_CONVERT_PICKLE = (
    "Convert the model once with transformers' save_pretrained(..., safe_serialization=True) on a "
    "machine where you trust the file, or use a revision with model.safetensors."
)
CTRANSLATE2 = OtherFormat(
    ("model.bin",), "a CTranslate2 model (model.bin), the format of faster-whisper", _WHISPER_SOURCE
)
OTHER_FORMATS = (
    OtherFormat(
        ("*.nemo",),
        "a NeMo archive ({file})",
        "Name the same model in transformers' format, such as nvidia/parakeet-ctc-1.1b.",
    ),
    OtherFormat(
        ("*.gguf", "ggml*.bin"), "a GGUF or GGML model ({file}), as whisper.cpp", _WHISPER_SOURCE
    ),
    OtherFormat(("*.onnx", "onnx/*.onnx"), "an ONNX model ({file})", _WHISPER_SOURCE),
    OtherFormat(
        ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl"),
        "a PyTorch checkpoint ({file}); .bin and .pt weights are pickles, which gaudi-asr never "
        "loads",
        _CONVERT_PICKLE,
    ),
    OtherFormat(
        ("*.h5", "*.msgpack", "*.tflite"),
        "weights of TensorFlow or Flax ({file})",
        "Convert them once with transformers' from_pretrained(..., from_tf=True or from_flax=True) "
        "and save_pretrained.",
    ),
)
"""Formats of weights in the order in which a file is matched."""
_CTRANSLATE2_FILES = ("vocabulary.json", "vocabulary.txt", "shared_vocabulary.json")


def find_other_format(path: Path) -> tuple[str, str] | None:
    """Return the title and remedy of weights in another format, or None if there are none."""
    if (path / "model.bin").exists() and any((path / one).exists() for one in _CTRANSLATE2_FILES):
        return CTRANSLATE2.title, CTRANSLATE2.remedy
    for form in OTHER_FORMATS:
        names = sorted(
            file.name for pattern in form.patterns for file in path.glob(pattern) if file.is_file()
        )
        if names:
            return form.title.format(file=names[0]), form.remedy
    return None


def named_file_error(path: Path) -> DataError:
    """Return the error about a file that was named in place of a model folder."""
    for form in OTHER_FORMATS:
        if any(path.match(pattern) for pattern in form.patterns):
            return DataError(f"{path} is {form.title.format(file=path.name)}.", remedy=form.remedy)
    holds_model = (path.parent / "config.json").exists()
    return DataError(
        f"'{path}' is neither a model folder nor a hub id: it is a file.",
        remedy=f"Name its folder: {path.parent}."
        if holds_model
        else "Name a folder with config.json and model.safetensors, or a hub id.",
    )


def check_adapter(path: Path) -> None:
    """Reject a PEFT adapter: transformers would open the model that it names instead.

    Raises:
        DataError: There is an adapter_config.json.
    """
    if not (path / "adapter_config.json").exists():
        return
    adapter = read_json_object(path / "adapter_config.json", remedy=COPY_AGAIN)
    base = adapter.get("base_model_name_or_path")
    named = f" of {base}" if isinstance(base, str) and base.isprintable() and base else ""
    kind = adapter.get("peft_type")
    kind = f"{kind} " if isinstance(kind, str) and kind.isalnum() else ""
    raise DataError(
        f"{path} holds a {kind}adapter{named} by PEFT (adapter_config.json), not a whole model.",
        remedy="Merge it into its model first with peft's merge_and_unload, save that with "
        "save_pretrained, and name the new folder.",
    )


def check_special_files(path: Path) -> None:
    """Reject a folder with a pipe or device among its files: reading it could wait for ever.

    Raises:
        DataError: There is one.
    """
    for file in sorted(path.iterdir()):
        if is_special(file):
            raise DataError(f"{file} is a pipe or a device, not a file.", remedy=COPY_AGAIN)


def missing_config_error(path: Path) -> DataError:
    """Return the error about a folder without config.json: what it holds in its place."""
    if (path / "config.json").is_symlink():
        return _dangling_error(path / "config.json")
    if not any(path.iterdir()):
        return DataError(
            f"{path} is empty: it holds no config.json.",
            remedy="Download or copy the model into it, or name another folder.",
        )
    nested = _checkpoints_error(path) or _inner_model_error(path)
    if nested is not None:
        return nested
    other = find_other_format(path)
    if other is not None:
        title, remedy = other
        return DataError(f"{path} holds {title}, and no config.json.", remedy=remedy)
    if any(path.glob("*.safetensors")):
        return DataError(
            f"{path} holds weights but no config.json, which describes their network.",
            remedy="Copy config.json (and the tokenizer and preprocessor files) of the model into "
            "the folder; a fine-tuned model has those of the model it was trained from.",
        )
    return DataError(
        f"{path} holds no config.json, so it is not a model.",
        remedy="Name a folder written by transformers' save_pretrained or by gaudi-asr.",
    )


def _checkpoints_error(path: Path) -> DataError | None:
    """Return the error about a folder of checkpoints, which names the one to use."""
    found = list_checkpoints(path) or list_checkpoints(path / "checkpoints")
    if not found:
        return None
    shown = ", ".join(one.name for one in found[:SHOWN]) + (", ..." if len(found) > SHOWN else "")
    count = f"{len(found)} checkpoint{'' if len(found) == 1 else 's'}"
    best = _best_checkpoint(found)
    which = f"the best by its score, {best}" if best is not None else f"the newest, {found[-1]}"
    return DataError(
        f"{path} holds {count} of a training run ({shown}), not one model.",
        remedy=f"Name one of them: {which}.",
    )


def list_checkpoints(path: Path) -> list[Path]:
    """List the checkpoints in a folder that hold a model, oldest first."""
    numbered = [
        (int(match.group(1)), one)
        for one in path.glob("checkpoint-*")
        if (match := CHECKPOINT.fullmatch(one.name)) and (one / "config.json").exists()
    ]
    return [one for _, one in sorted(numbered)]


def _best_checkpoint(found: list[Path]) -> Path | None:
    """Return the checkpoint that the trainer's state calls the best, if it is still there."""
    with suppress(AsrError):
        state = read_json_object(found[-1] / "trainer_state.json", remedy=COPY_AGAIN)
        best = state.get("best_model_checkpoint")
        if isinstance(best, str):
            return next((one for one in found if one.name == Path(best).name), None)
    return None


def _inner_model_error(path: Path) -> DataError | None:
    inner = sorted(one.parent for one in path.glob("*/config.json"))
    if not inner:
        return None
    shown = ", ".join(one.name for one in inner[:SHOWN]) + (", ..." if len(inner) > SHOWN else "")
    return DataError(
        f"{path} holds no config.json; {len(inner)} of its folders hold one ({shown}).",
        remedy=f"Name the folder of the model itself, such as {inner[0]}.",
    )


def check_quantisation(name: str, path: Path, config: dict[str, Any]) -> None:
    """Reject weights that are quantised.

    Raises:
        DataError: config.json, or a file beside it, says so.
    """
    section = config.get("quantization_config")
    method = section.get("quant_method") if isinstance(section, dict) else None
    if isinstance(section, dict) and method is None and any(_BITSANDBYTES & section.keys()):
        method = "bitsandbytes"
    beside = [one for one in _QUANTISATION_FILES if (path / one).exists()]
    if not section and not beside:
        return
    known = isinstance(method, str) and method.isprintable()
    named = f" with {_METHODS.get(str(method), method)}" if known else ""
    source = f" ({beside[0]})" if not section else ""
    raise DataError(
        f"{name} is quantised{named}{source}; gaudi-asr opens weights in 32 or 16 bits only.",
        remedy="Name the model that it was made from. For a smaller one: --dtype bf16, and for CTC "
        "models on a CPU --int8.",
    )


_BITSANDBYTES = {"load_in_4bit", "load_in_8bit"}
_METHODS = {"gptq": "GPTQ", "awq": "AWQ"}
_QUANTISATION_FILES = ("quantize_config.json", "quant_config.json")


def check_weights(path: Path) -> None:
    """Check that the files of the weights are there, before one is opened.

    Raises:
        DataError: There are none, one is missing, or one is no more than a reference to a file.
    """
    for file in sorted(path.glob("*.safetensors")):
        _check_whole(file)
    if (path / SINGLE_FILE).exists():
        return
    _check_index(path)
    _check_numbered(path)
    # Adapters of languages are no weights of a network.
    named = [one for one in path.glob("*.safetensors") if not one.name.startswith("adapter.")]
    if not named:
        raise _no_weights_error(path)
    if not (path / INDEX_FILE).exists():
        raise DataError(
            f"{path} holds no {SINGLE_FILE} but {min(one.name for one in named)}, a name "
            "that transformers does not read.",
            remedy=f"Rename it to {SINGLE_FILE} if it holds the whole model.",
        )


def _check_whole(file: Path) -> None:
    if not file.exists():
        raise _dangling_error(file)
    if file.is_dir():
        raise DataError(f"{file} is a folder, not a file.", remedy=COPY_AGAIN)
    with suppress(OSError), file.open("rb") as opened:
        if opened.read(len(LFS_POINTER)) == LFS_POINTER:
            raise DataError(
                f"{file} is a pointer of Git LFS, not the weights themselves.",
                remedy="Run `git lfs pull` in the repository, or download the model with "
                "`hf download`.",
            )


def _dangling_error(file: Path) -> DataError:
    return DataError(
        f"{file} is a link to {file.readlink()}, which is not there.",
        remedy="Copy the model again with links followed (cp -rL, rsync -L).",
    )


def _check_index(path: Path) -> None:
    """Check that each shard that the index names is there."""
    if not (path / INDEX_FILE).exists():
        return
    names = read_json_object(path / INDEX_FILE, remedy=COPY_AGAIN).get("weight_map")
    if not isinstance(names, dict) or not all(isinstance(one, str) for one in names.values()):
        raise DataError(
            f"{path / INDEX_FILE} does not give each weight its file (weight_map).",
            remedy=COPY_AGAIN,
        )
    shards = sorted(set(names.values()))
    outside = [one for one in shards if Path(one).name != one or not one.isprintable()]
    if outside:
        raise DataError(
            f"{path / INDEX_FILE} names {outside[0]!r}, which is no file beside it.",
            remedy=COPY_AGAIN,
        )
    _reject_missing(path, [one for one in shards if not (path / one).is_file()], len(shards))


def _check_numbered(path: Path) -> None:
    """Check shards without an index: their names say how many there are."""
    found = [match for one in path.iterdir() if (match := SHARD.fullmatch(one.name))]
    if not found or (path / INDEX_FILE).exists():
        return
    total = min(int(found[0].group(2)), 10_000)
    names = [f"model-{number:05}-of-{total:05}.safetensors" for number in range(1, total + 1)]
    _reject_missing(path, [one for one in names if not (path / one).is_file()], total)
    raise DataError(
        f"{path} lacks {INDEX_FILE}, which says which weights its {total} shards hold.",
        remedy="Copy that file from where the model came from.",
    )


def _reject_missing(path: Path, missing: list[str], total: int) -> None:
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise DataError(
            f"{path} lacks {missing[0]}{more} of the {total} shards of its weights.",
            remedy=f"Copy or download {'it' if len(missing) == 1 else 'them'} again.",
        )


def _no_weights_error(path: Path) -> DataError:
    other = find_other_format(path)
    if other is not None:
        title, remedy = other
        return DataError(f"{path} holds no safetensors weights but {title}.", remedy=remedy)
    languages = any(path.glob("adapter.*.safetensors"))
    only = " but the adapter of a language" if languages else ""
    return DataError(
        f"{path} holds no safetensors weights{only}.",
        remedy="Copy or download model.safetensors into it.",
    )


def one_folder_up(path: Path, names: tuple[str, ...]) -> Path | None:
    """Return the first file of these patterns in the parent folder, or None."""
    found = (file for name in names for file in path.resolve().parent.glob(name))
    return next((file for file in found if file.is_file()), None)


def list_unused(path: Path) -> Iterator[str]:
    """Yield the parts of a folder that inference does not use: n-gram language models."""
    for name in ("language_model", "lm"):
        if (path / name).is_dir() and any((path / name).iterdir()):
            yield f"{name}/"
            return
    for pattern in ("*.arpa", "*.arpa.gz", "*.klm", "lm.binary"):
        for file in sorted(path.glob(pattern)):
            yield file.name
            return
