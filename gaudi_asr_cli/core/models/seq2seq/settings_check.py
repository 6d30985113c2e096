"""Checks of the generation settings in a model folder."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from gaudi_asr_cli.core.errors import DataError
from gaudi_asr_cli.core.models.folder import ModelFolder

FIELDS: dict[str, Any] = {
    **dict.fromkeys(("no_timestamps_token_id", "prev_sot_token_id", "decoder_start_token_id"), int),
    **dict.fromkeys(("bos_token_id", "pad_token_id", "forced_bos_token_id"), int),
    **dict.fromkeys(("eos_token_id", "forced_eos_token_id"), int | list),
    "suppress_tokens": list | tuple,
    "begin_suppress_tokens": list | tuple,
    "lang_to_id": dict,
    "task_to_id": dict,
    "max_initial_timestamp_index": int,
    "language": str,
    "task": str,
}
"""Fields of generation settings and their types."""
LARGEST_PENALTY = 100
"""Largest length penalty: the length of a text to a larger power is no number."""


def check_settings(settings: Any, folder: ModelFolder) -> None:
    """Check the types of generation settings, their token ids, and those of a beam search.

    Raises:
        DataError: One is of another kind, a token is no row of the head (tokenizer or settings are
            those of another model), or a length penalty is absurd.
    """
    _check_ids(settings, folder)
    _check_search(settings, folder)


def _check_ids(settings: Any, folder: ModelFolder) -> None:
    """Check types, and that each token that the settings name is a row of the head."""
    rows = folder.read_config().get("vocab_size")
    limit = rows if isinstance(rows, int) else 1 << 31
    for field, kind in FIELDS.items():
        value = getattr(settings, field, None)
        if value is None:
            continue
        if not isinstance(value, kind) or isinstance(value, bool):
            raise _unusable(folder, field, value, "which is of another kind")
        for one in _ids_in(value):
            if type(one) is not int or not 0 <= one < max(limit, 1):
                raise _unusable(folder, field, one, f"but the head has the tokens 0 to {limit - 1}")


def _check_search(settings: Any, folder: ModelFolder) -> None:
    """Check the beam size of generation settings, and what ranks and ends a beam search."""
    beams = getattr(settings, "num_beams", None)
    penalty = getattr(settings, "length_penalty", None)
    stopping = getattr(settings, "early_stopping", None)
    if beams is not None and (type(beams) is not int or beams < 1):
        raise _wrong_search(folder, "num_beams", beams, "a positive integer")
    is_number = isinstance(penalty, int | float) and not isinstance(penalty, bool)
    if penalty is not None and not (is_number and abs(penalty) <= LARGEST_PENALTY):
        wanted = f"a number from -{LARGEST_PENALTY} to {LARGEST_PENALTY}"
        raise _wrong_search(folder, "length_penalty", penalty, wanted)
    if stopping is not None and not isinstance(stopping, bool) and stopping != "never":
        raise _wrong_search(folder, "early_stopping", stopping, 'true, false or "never"')


def _wrong_search(folder: ModelFolder, field: str, value: Any, wanted: str) -> DataError:
    return DataError(
        f"{folder.name}: {field} in the generation settings is {str(value)[:40]!r}, not {wanted}.",
        remedy="Correct it in generation_config.json, or remove it.",
    )


def _ids_in(value: Any) -> Iterable[Any]:
    """Return the token ids in the value of a field; text has none."""
    if isinstance(value, dict):
        return value.values()
    if isinstance(value, str):
        return ()
    return value if isinstance(value, list | tuple) else (value,)


def _unusable(folder: ModelFolder, field: str, value: Any, reason: str) -> DataError:
    return DataError(
        f"{folder.name}: {field} in the generation settings has {str(value)[:40]!r}, {reason}.",
        remedy="Head, tokenizer and generation_config.json must belong together: copy those that "
        "the model was trained with.",
    )
