"""Models that bring code of their own: it is never run, so they open only where none is needed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from gaudi_asr_cli.core.errors import DataError

ASKS_FOR_CODE = ("auto_map", "custom_pipelines")
"""Fields of a configuration that name code beside the weights or on the hub."""


def refuse_own_code(name: str, config: Mapping[str, Any]) -> None:
    """Refuse a model whose family is known only to code that comes with it.

    Where transformers knows the family, its own code is taken and the other left alone.

    Args:
        name: What the user called the model.
        config: Its config.json.

    Raises:
        DataError: It, or a half of it, cannot be opened without that code.
    """
    foreign = [one for one in _with_halves(config) if any(one.get(key) for key in ASKS_FOR_CODE)]
    if not foreign:
        return
    from transformers import CONFIG_MAPPING

    unknown = [one for one in foreign if one.get("model_type") not in CONFIG_MAPPING]
    if unknown:
        raise own_code_error(name, f"the family '{unknown[0].get('model_type')}'")


def own_code_error(name: str, what: str) -> DataError:
    """Return the error about a model of which `what` is not known to transformers itself."""
    return DataError(
        f"{name} needs its own code, which is never run here: transformers itself does not know "
        f"{what}.",
        remedy="Take a model of a family that transformers knows, such as "
        "facebook/wav2vec2-base-960h or openai/whisper-small, or convert this one to such a family "
        "with its own tools, on a machine where you trust its code.",
    )


def forget_own_code(config: Any) -> None:
    """Remove what asks for code from an opened configuration, halves included, in place.

    What is made of it, and saved, then never asks for code either.
    """
    for key in ASKS_FOR_CODE:
        vars(config).pop(key, None)
    for inner in vars(config).values():
        if hasattr(inner, "to_dict"):
            forget_own_code(inner)


@contextmanager
def own_code_left_alone() -> Iterator[None]:
    """Keep transformers from running a folder's `custom_generate/generate.py` when it is opened.

    transformers 4.55 runs it even where remote code is not trusted; 5.23 does not.
    """
    from transformers import GenerationMixin

    def find_none(network: Any, folder: Any, **_: Any) -> None:
        # What transformers raises, and catches, where there is no such file.
        raise OSError(f"{folder}: custom_generate is left alone.")

    before = GenerationMixin.load_custom_generate
    GenerationMixin.load_custom_generate = find_none
    try:
        yield
    finally:
        GenerationMixin.load_custom_generate = before


def _with_halves(config: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield config
    for inner in config.values():
        if isinstance(inner, Mapping):
            yield from _with_halves(inner)
