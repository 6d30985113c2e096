"""The fit of texts to their audio, found by a trained CTC model: `check --align`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from gaudi_asr_cli.core.devices.base import Device
from gaudi_asr_cli.core.errors import UsageError
from gaudi_asr_cli.core.events import Observer
from gaudi_asr_cli.core.models.folder import find_model, has_trained_head, kind_of
from gaudi_asr_cli.core.records import Utterance
from gaudi_asr_cli.core.workflows.align import (
    AlignedUtterance,
    align_utterances,
    find_worst_fits,
)
from gaudi_asr_cli.core.workflows.check.findings import CheckFinding, judge

MISFIT_SCORE = -15.0
"""A text whose worst stretch is less likely than this against what the model recognises is listed.

A natural logarithm; of 100 planted errors of one word in clean and in noisy speech it finds 99, and
51 texts of 900 without one."""
_REMEDY = "Correct the text, or leave the utterance out: a model would be trained on the error."


@dataclass(frozen=True, slots=True)
class CheckedFits:
    """The fits of `aligned` texts, and the reasons why others could not be aligned.

    `worst` have the lowest scores, the lowest first; `misfits` is how many are below
    `MISFIT_SCORE`.
    """

    model: str
    aligned: int
    misfits: int
    worst: tuple[AlignedUtterance, ...]
    failed: tuple[str, ...]

    def findings(self) -> Iterator[CheckFinding]:
        """Yield what was found: texts that cannot be aligned, and texts that fit badly."""
        total = self.aligned + len(self.failed)
        yield judge("not_aligned", self.failed, total, _REMEDY)
        examples = [_show(one) for one in self.worst]
        found = judge("misfits", examples[: self.misfits], self.aligned, _REMEDY)
        yield replace(found, count=self.misfits)

    def to_json(self) -> dict[str, Any]:
        return {
            "model": self.model,
            "aligned": self.aligned,
            "misfits": self.misfits,
            "not_aligned": list(self.failed),
            "worst": [
                {
                    "id": one.done.utterance_id,
                    "path": one.done.path,
                    "worst_score": round(one.fit.worst_score, 4),
                    "score": round(one.fit.score, 4),
                    "reference": one.done.transcript.text,
                    "hypothesis": one.fit.hypothesis,
                }
                for one in self.worst
                if one.fit is not None and one.done.transcript is not None
            ],
        }


def _show(one: AlignedUtterance) -> str:
    assert one.fit is not None  # noqa: S101 - it is among the worst fits
    return f"{one.done.utterance_id}: {one.fit.worst_score:.1f}"


def require_aligner(model: str | None) -> str:
    """Return the name of the model that aligns.

    Raises:
        UsageError: None is named, it is no CTC model, or it was not trained to recognise text.
        DataError: It is no speech recogniser.
        UnreachableError: It is on the hub, and the hub cannot be reached.
    """
    remedy = "Name a trained CTC model of the language with --align-model."
    if model is None:
        raise UsageError("--align needs a model.", remedy=remedy)
    folder = find_model(model, kind=None)
    if kind_of(folder.read_config()) != "ctc":
        raise UsageError(f"{model} is no CTC model: it cannot align.", remedy=remedy)
    if not has_trained_head(folder):
        raise UsageError(
            f"{model} was pretrained only: it recognises no text, and cannot align.", remedy=remedy
        )
    return model


def check_fits(
    model: str,
    utterances: Sequence[Utterance],
    texts: Iterable[str],
    device: Device,
    observe: Observer,
    *,
    worst: int,
) -> CheckedFits:
    """Align the cleaned texts of utterances; empty ones are left out.

    Raises:
        DataError: The model cannot be opened.
    """
    spoken = [
        replace(one, text=text) for one, text in zip(utterances, texts, strict=True) if text.strip()
    ]
    failed: list[str] = []
    scores: list[float] = []

    def follow() -> Iterator[AlignedUtterance]:
        for one in align_utterances(spoken, model, device, observe=observe):
            if one.fit is None:
                failed.append(one.done.error or one.done.utterance_id)
            else:
                scores.append(one.fit.worst_score)
                yield one

    found = tuple(find_worst_fits(follow(), worst))
    misfits = sum(score < MISFIT_SCORE for score in scores)
    return CheckedFits(model, len(scores), misfits, found, tuple(failed))
