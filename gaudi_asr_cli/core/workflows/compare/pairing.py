"""Pair the predictions of two sides by utterance, or refuse by name what cannot be compared."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from gaudi_asr_cli.core.errors import DataError
from gaudi_asr_cli.core.evaluation.notes import name_ids
from gaudi_asr_cli.core.evaluation.predictions import Prediction
from gaudi_asr_cli.core.text.graphemes import shorten
from gaudi_asr_cli.core.text.normalizers import label_normalizer, open_normalizer
from gaudi_asr_cli.core.workflows.compare.sides import Side

_SHOWN_IDS = 3
_SHOWN_TEXT = 60
Key = tuple[str, int]
"""The id of an utterance and its number among those of the same id."""


@dataclass(frozen=True, slots=True)
class Pair:
    """One utterance: the prediction of each side, and its texts, normalised alike."""

    of_a: Prediction
    of_b: Prediction
    reference: str
    reference_b: str
    a: str
    b: str

    @property
    def speaker(self) -> str | None:
        return self.of_b.speaker if self.of_a.speaker is None else self.of_a.speaker

    @property
    def duration_s(self) -> float | None:
        return self.of_b.duration_s if self.of_a.duration_s is None else self.of_a.duration_s


@dataclass(frozen=True, slots=True)
class Paired:
    """The pairs, the normaliser's label, and notes on what is left out or not known."""

    pairs: tuple[Pair, ...]
    normalizer: str | None
    notes: tuple[str, ...]


def pair_sides(a: Side, b: Side, *, shared: bool, normalizer: str | None) -> Paired:
    """Pair the utterances of two sides.

    Args:
        a: A side with predictions.
        b: The other.
        shared: Leave out utterances that only one side has.
        normalizer: Normalise the raw texts of both sides anew by this; None: texts as scored.

    Raises:
        DataError: Unit, normaliser, utterances or references of the sides differ.
        UsageError: There is no such normaliser.
    """
    if a.unit != b.unit:
        raise DataError(
            f"Other units: {a.path} counts {a.unit}s, {b.path} {b.unit}s.",
            remedy="Compare two runs that count the same unit.",
        )
    if normalizer is None:
        _require_same_normalizer(a, b)
    left, right = _by_key(a.predictions), _by_key(b.predictions)
    notes = [*_require_same_utterances(a, b, left, right, shared=shared)]
    texts = _as_scored if normalizer is None else _normalizing(normalizer)
    pairs = tuple(_pair(one, right[key], texts) for key, one in left.items() if key in right)
    _require_same_references(a, b, pairs)
    if normalizer is None and None in (a.normalizer, b.normalizer):
        unknown = " and ".join(str(side.path) for side in (a, b) if side.normalizer is None)
        notes.append(f"The normaliser of {unknown} is not known; the references are equal.")
    label = (a.normalizer or b.normalizer) if normalizer is None else label_normalizer(normalizer)
    return Paired(pairs, label, tuple(notes))


Texts = Callable[[Prediction], tuple[str, str]]


def _as_scored(prediction: Prediction) -> tuple[str, str]:
    return prediction.reference, prediction.hypothesis


def _normalizing(name: str) -> Texts:
    normalize = open_normalizer(name)

    def texts(prediction: Prediction) -> tuple[str, str]:
        raw = prediction.raw_reference, prediction.raw_hypothesis
        if raw[0] is None or raw[1] is None:
            raise DataError(
                f"Utterance {prediction.id} has no raw texts, which --normalizer needs.",
                remedy="Leave --normalizer out, or score again with eval-ctc.",
            )
        return " ".join(normalize(raw[0]).split()), " ".join(normalize(raw[1]).split())

    return texts


def _pair(of_a: Prediction, of_b: Prediction, texts: Texts) -> Pair:
    (reference_a, hypothesis_a), (reference_b, hypothesis_b) = texts(of_a), texts(of_b)
    return Pair(of_a, of_b, reference_a, reference_b, hypothesis_a, hypothesis_b)


def _by_key(predictions: Sequence[Prediction]) -> dict[Key, Prediction]:
    seen: Counter[str] = Counter()
    keyed = {}
    for one in predictions:
        keyed[one.id, seen[one.id]] = one
        seen[one.id] += 1
    return keyed


def _require_same_normalizer(a: Side, b: Side) -> None:
    if None not in (a.normalizer, b.normalizer) and a.normalizer != b.normalizer:
        raise DataError(
            f"Other normalisers: {a.path} was scored with {a.normalizer}, {b.path} with "
            f"{b.normalizer}.",
            remedy="Pass --normalizer NAME to normalise the raw texts of both anew.",
        )


def _require_same_utterances(
    a: Side, b: Side, left: dict[Key, Prediction], right: dict[Key, Prediction], *, shared: bool
) -> Iterator[str]:
    """Yield a note on what is left out.

    Raises:
        DataError: The utterances differ, and the shared ones alone were not asked for.
    """
    both = left.keys() & right.keys()
    if not both:
        raise DataError(
            f"Other utterances: {a.path} and {b.path} share none; the first are "
            f"{next(iter(left))[0]} and {next(iter(right))[0]}.",
            remedy="Score both models on the same data.",
        )
    problems = [
        f"{len(ids):,} only in {side.path} ({name_ids(ids, _SHOWN_IDS)})"
        for side, own in ((a, left), (b, right))
        if (ids := [key[0] for key in own if key not in both])
    ]
    if not problems:
        return
    if not shared:
        raise DataError(
            f"Other utterances: {' and '.join(problems)}; {len(both):,} shared.",
            remedy="Score both models on the same data, or pass --shared to compare the shared "
            "utterances alone.",
        )
    yield f"Left out: {' and '.join(problems)}."


def _require_same_references(a: Side, b: Side, pairs: Sequence[Pair]) -> None:
    differing = [one for one in pairs if one.reference != one.reference_b]
    if not differing:
        return
    first = differing[0]
    raise DataError(
        f"Other references: those of {len(differing):,} of {len(pairs):,} utterances differ; the "
        f"first, {first.of_a.id}: {shorten(first.reference, _SHOWN_TEXT)!r} in {a.path}, "
        f"{shorten(first.reference_b, _SHOWN_TEXT)!r} in {b.path}.",
        remedy="Score both models against the same transcripts; if only their normalisation "
        "differs, pass --normalizer NAME.",
    )
