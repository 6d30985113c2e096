"""Which cases of a parametrised test run in `make test`, and which only in `make test-slow`."""

from collections.abc import Iterable
from typing import Any

import pytest


def slow_after_first(values: Iterable[Any]) -> list[Any]:
    """Return the values for `parametrize`, all but the first marked slow."""
    first, *rest = values
    several = [value if isinstance(value, tuple) else (value,) for value in rest]
    return [first, *(pytest.param(*values, marks=pytest.mark.slow) for values in several)]
