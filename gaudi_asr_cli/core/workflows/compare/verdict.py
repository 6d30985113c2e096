"""The verdict of a comparison, in one sentence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from gaudi_asr_cli.core.evaluation.paired import PairedTest

Outcome = Literal["worse", "within tolerance", "no difference shown", "better"]


@dataclass(frozen=True, slots=True)
class CompareVerdict:
    """What was found, and the sentence that says so."""

    outcome: Outcome
    sentence: str

    @property
    def is_worse(self) -> bool:
        return self.outcome == "worse"


@dataclass(frozen=True, slots=True)
class Decision:
    """What a verdict depends on; rates and `tolerance` are fractions.

    `p_beyond` is the p value for a difference of exactly the tolerance; None if it is not known.
    """

    test: PairedTest
    rate_name: str
    tolerance: float
    level: float
    p_beyond: float | None


def judge_difference(decision: Decision, name_a: str, name_b: str) -> CompareVerdict:
    """Judge whether B is worse than A.

    B is worse if the whole interval of the difference lies above the tolerance, and the
    permutation test agrees: with few speakers the bootstrap alone is too sure.
    """
    test, error = decision.test, 1 - decision.level
    is_beyond = test.low > decision.tolerance and _agrees(decision.p_beyond, error)
    differs = _agrees(test.p, error)
    if is_beyond:
        outcome: Outcome = "worse"
    elif test.high < 0 and differs:
        outcome = "better"
    elif decision.tolerance > 0 and test.low > 0 and differs:
        outcome = "within tolerance"
    else:
        outcome = "no difference shown"
    return CompareVerdict(outcome, _phrase(outcome, decision, name_a, name_b))


def _agrees(p: float | None, error: float) -> bool:
    return p is None or p <= error


def _phrase(outcome: Outcome, decision: Decision, name_a: str, name_b: str) -> str:
    test = decision.test
    rates = f"{decision.rate_name} {in_percent(test.rate_b)} instead of {in_percent(test.rate_a)}"
    p = "" if test.p is None else f", {format_p(test.p)}"
    found = (
        f"{rates}, {points(test.difference)} points ({100 * decision.level:.3g} % interval "
        f"{points(test.low)} to {points(test.high)}{p})"
    )
    if outcome == "no difference shown":
        return (
            f"No difference is shown between {name_b} and {name_a}: {found}; "
            f"{name_b} may be up to {points(max(test.high, 0.0))} points worse."
        )
    if outcome == "within tolerance":
        return (
            f"{name_b} is worse than {name_a}, but not shown to exceed the tolerance of "
            f"{100 * decision.tolerance:g} points: {found}."
        )
    beyond = (
        f" by more than {100 * decision.tolerance:g} points"
        if outcome == "worse" and decision.tolerance
        else ""
    )
    return f"{name_b} is {outcome} than {name_a}{beyond}: {found}."


def in_percent(rate: float) -> str:
    """Format a rate with two decimals, which close systems need: 0.0463 is "4.63 %"."""
    return f"{100 * rate:.2f} %"


def points(difference: float) -> str:
    """Format a difference of rates in percentage points: 0.065 is "+6.50"."""
    return f"{round(100 * difference, 2) + 0.0:+.2f}"


def format_p(p: float) -> str:
    """Format a p value: "p = 0.03", "p < 0.001"."""
    return "p < 0.001" if p < 0.001 else f"p = {p:.2g}"
