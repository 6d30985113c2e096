"""Word and character error rate as an `evaluate.Metric`, without network access.

    from gaudi_asr_cli.core.evaluation.metric import WordErrorRate
    WordErrorRate().compute(predictions=["one too"], references=["one two"])  # {"wer": 0.5, ...}

or `evaluate.load(path of this file)`. Needs the extra `metric`. Nothing in this package uses it:
`evaluate` takes seconds to import, so the class is created on first access.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

from gaudi_asr_cli.core.errors import MachineError
from gaudi_asr_cli.core.evaluation.counts import count_errors
from gaudi_asr_cli.core.evaluation.utterances import count_words
from gaudi_asr_cli.core.records import ErrorCounts

_DESCRIPTION = "Word and character error rate: (substitutions + deletions + insertions) / reference"


def __getattr__(name: str) -> Any:
    if name == "WordErrorRate":
        return _make_metric()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def compute_rates(predictions: Sequence[str], references: Sequence[str]) -> dict[str, float]:
    """Return rates and word counts over all pairs: counts are summed before the division."""
    pairs = list(zip(references, predictions, strict=True))
    words = sum((count_words(*pair) for pair in pairs), ErrorCounts())
    characters = sum((count_errors(*pair) for pair in pairs), ErrorCounts())
    return {
        "wer": words.rate,
        "cer": characters.rate,
        "hits": words.hits,
        "substitutions": words.substitutions,
        "deletions": words.deletions,
        "insertions": words.insertions,
    }


@cache
def _make_metric() -> type[Any]:
    try:
        import evaluate
    except ImportError as error:
        raise MachineError(
            "The metric needs the package evaluate, which is not installed.",
            remedy="Run pip install 'gaudi-asr[metric]'.",
        ) from error

    # Imported from evaluate: scoring itself may not import datasets.
    from evaluate.module import Features, Value

    class WordErrorRate(evaluate.Metric):  # type: ignore[misc]  # evaluate has no types
        """Metric whose `compute(predictions=texts, references=texts)` returns rates and counts."""

        def _info(self) -> evaluate.MetricInfo:
            text = Value("string", id="sequence")
            return evaluate.MetricInfo(
                description=_DESCRIPTION,
                citation="",
                inputs_description="predictions and references: lists of texts",
                features=Features({"predictions": text, "references": text}),
            )

        def _compute(
            self, predictions: Sequence[str], references: Sequence[str]
        ) -> dict[str, float]:
            return compute_rates(predictions, references)

    return WordErrorRate


if not __name__.startswith("gaudi_asr_cli."):
    # `evaluate.load` imports a copy of this file and looks through it for a class.
    WordErrorRate = _make_metric()
