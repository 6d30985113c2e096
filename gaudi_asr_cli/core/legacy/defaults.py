"""The scripts' own defaults beside those of today's recipes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def unlike_todays(defaults: Mapping[str, Any], kind: str) -> dict[str, Any]:
    """Those that a recipe of that kind has otherwise, or not at all."""
    ours = todays_defaults(kind)
    return {key: value for key, value in defaults.items() if not _same(ours.get(key), value)}


def todays_defaults(kind: str) -> dict[str, Any]:
    """Dotted key -> default of a recipe of that kind; None where the model decides."""
    # Here, not above: pydantic takes a while to import, and no `--help` should wait for it.
    from gaudi_asr_cli.core.recipes.loading import KINDS

    return _flattened(KINDS[kind].model_fields)


def _flattened(fields: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, field in fields.items():
        default = field.get_default(call_default_factory=True)
        inner = getattr(type(default), "model_fields", None)
        if inner is None:
            flat[prefix + name] = default
        else:
            flat |= _flattened(inner, f"{prefix}{name}.")
    return flat


def _same(ours: Any, theirs: Any) -> bool:
    return bool((list(ours) if isinstance(ours, tuple) else ours) == theirs)
