"""Choose one split of a source."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from difflib import get_close_matches
from typing import TypeVar

from gaudi_asr_cli.core.errors import DataError

PlaceT = TypeVar("PlaceT")

_SAME = ({"dev", "valid", "val", "validation"}, {"test", "eval", "testing"}, {"train", "training"})
"""Names of the same split in different layouts."""


def pick_split(splits: Mapping[str, PlaceT], wanted: str | None, source: object) -> PlaceT:
    """Return the split named `wanted`, or the only one.

    Raises:
        DataError: There is none of that name, or there are several and none was given.
    """
    if not splits:
        raise DataError(
            f"{source}: there is no data of this layout.",
            remedy="Give the path alone to have its layout recognised, or name another layout.",
        )
    if wanted is None:
        if len(splits) == 1:
            return next(iter(splits.values()))
        raise _several(splits, source)
    return splits[find_split_name(splits, wanted, source)]


def find_split_name(names: Collection[str], wanted: str, source: object) -> str:
    """Return the source's name of a split: validation for dev, train-clean-100 for train.clean.100.

    Raises:
        DataError: No name, or more than one, matches `wanted`.
    """
    if wanted in names:
        return wanted
    found = [name for name in names if _is_same(name, wanted)]
    if len(found) == 1:
        return found[0]
    near = get_close_matches(wanted, names, n=1, cutoff=0.5)
    hint = f" Did you mean {near[0]}?" if near else ""
    raise DataError(
        f"{source} has no split {wanted!r}.{hint}",
        remedy=f"There {_list(names)}; several are joined with +.",
    )


def _is_same(name: str, wanted: str) -> bool:
    name, wanted = name.replace(".", "-").lower(), wanted.replace(".", "-").lower()
    return name == wanted or any(name in same and wanted in same for same in _SAME)


def _several(splits: Mapping[str, object], source: object) -> DataError:
    first = next(iter(splits), "train")
    return DataError(
        f"{source} has several splits and none is given.",
        remedy=f"There {_list(splits)}; write {source}#{first}, or join several with +.",
    )


def _list(names: Collection[str]) -> str:
    return f"{'is' if len(names) == 1 else 'are'} {', '.join(sorted(names)) or 'none'}"
