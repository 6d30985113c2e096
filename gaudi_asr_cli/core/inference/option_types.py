"""Check options that a program gives by name: which there are, their types and least values."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import lru_cache
from math import isfinite
from numbers import Integral, Real
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from gaudi_asr_cli.core.errors import UsageError
from gaudi_asr_cli.core.inference.options import InferenceOptions
from gaudi_asr_cli.core.registry import suggest_names

_LEAST = {
    "batch_s": 0.1,
    "batch_size": 1,
    "beams": 0,
    "best_of": 1,
    "max_tokens": 1,
    "n_best": 1,
    "seed": 0,
}
_NUMBERS = {int: Integral, float: Real}


@lru_cache(maxsize=1)
def _hints() -> dict[str, Any]:
    return get_type_hints(InferenceOptions)


def check_given(given: Mapping[str, Any], known: Collection[str], elsewhere: str = "") -> None:
    """Check the names, types and least values of options.

    Args:
        given: Options by name.
        known: Names that may be given here.
        elsewhere: The function that takes the other options.

    Raises:
        UsageError: One of them is unknown, of another type or too small.
    """
    for name, value in given.items():
        if name not in known:
            belongs = elsewhere if name in _hints() and elsewhere else ""
            raise UsageError(
                f"'{name}' is an option of {belongs}."
                if belongs
                else f"There is no option '{name}'.{suggest_names(name, list(known))}",
                remedy=f"Pass it there. Here the options are {', '.join(known)}."
                if belongs
                else f"The options are {', '.join(known)}.",
            )
        _check_value(name, value)


def _check_value(name: str, value: object) -> None:
    hint = _hints()[name]
    if not _fits(value, hint):
        raise UsageError(
            f"The option {name} is {str(value)[:60]!r}, of type {type(value).__name__}.",
            remedy=f"Its type is {_describe(hint)}; leave it out for its default.",
        )
    least = _LEAST.get(name)
    if least is not None and isinstance(value, Real) and value < least:
        raise UsageError(
            f"The option {name} is {value}; it is at least {least}.",
            remedy="Pass a larger number, or leave it out.",
        )


def _fits(value: object, hint: Any) -> bool:
    if get_origin(hint) in (UnionType, Union):
        return any(_fits(value, one) for one in get_args(hint))
    if get_origin(hint) is tuple:
        inner = get_args(hint)[0]
        return isinstance(value, tuple | list) and all(_fits(one, inner) for one in value)
    if hint in _NUMBERS:
        number = isinstance(value, _NUMBERS[hint]) and not isinstance(value, bool)
        return number and isfinite(value)  # type: ignore[arg-type]
    return isinstance(value, hint)


def _describe(hint: Any) -> str:
    if get_origin(hint) in (UnionType, Union):
        return " or ".join(_describe(one) for one in get_args(hint))
    if get_origin(hint) is tuple:
        return f"tuple of {_describe(get_args(hint)[0])}"
    return "None" if hint is NoneType else str(hint.__name__)
