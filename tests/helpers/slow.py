"""Which cases of a parametrised test run in `make test`, and which only in `make test-slow`."""

from collections.abc import Iterable
from typing import Any

import pytest


def slow_after_first(values: Iterable[Any]) -> list[Any]:
    """Return the values for `parametrize`, all but the first marked slow."""
    first, *rest = values
    return [first, *(pytest.param(value, marks=pytest.mark.slow) for value in rest)]
