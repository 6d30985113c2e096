"""The findings of `doctor`."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class State(str, Enum):
    """Whether a part of the machine can be used."""

    works = "works"
    absent = "absent"
    """Not available, and only needed for optional features."""
    broken = "broken"


@dataclass(frozen=True, slots=True)
class DoctorFinding:
    """The result of one examination; `remedy` says how to fix it if it does not work."""

    group: str
    name: str
    state: State
    detail: str
    remedy: str = ""
