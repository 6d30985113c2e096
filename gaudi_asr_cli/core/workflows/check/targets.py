"""The model that `check` compares data with, by the kind of the model."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from gaudi_asr_cli.core.errors import UsageError
from gaudi_asr_cli.core.models.features import read_rate, read_settings
from gaudi_asr_cli.core.models.folder import ModelFolder, find_model, kind_of
from gaudi_asr_cli.core.models.geometry import Convolution, FrameGeometry, geometry_from_config
from gaudi_asr_cli.core.records import Utterance, Vocabulary
from gaudi_asr_cli.core.text.vocabulary import has_vocabulary, read_vocabulary
from gaudi_asr_cli.core.workflows.check.findings import (
    CheckFinding,
    Target,
    judge_alignment,
    judge_characters,
)
from gaudi_asr_cli.core.workflows.check.seq2seq import judge_seq2seq, outline_task

if TYPE_CHECKING:
    from gaudi_asr_cli.core.training.tasks.seq2seq import Seq2SeqTask

DEFAULT_GEOMETRY = FrameGeometry(
    tuple(
        Convolution(kernel, stride)
        for kernel, stride in zip((10, 3, 3, 3, 3, 2, 2), (5, 2, 2, 2, 2, 2, 2), strict=True)
    )
)
"""Frames of 20 ms as in wav2vec 2.0 and nearly every CTC model; used if no model is named."""


@dataclass(frozen=True, slots=True)
class CheckedTexts:
    """Utterances with their cleaned texts; the first `train` of them are to train on."""

    utterances: tuple[Utterance, ...]
    texts: Sequence[str]
    train: int


class CheckTarget(Protocol):
    """The limits of a model."""

    @property
    def phonemes_of(self) -> str | None:
        """Language whose phonemes the model recognises; None: its text is written in letters."""

    def judge_texts(self, checked: CheckedTexts) -> Iterable[CheckFinding]:
        """Compare texts with the limits: frames for labels, positions for tokens."""


@dataclass(frozen=True, slots=True)
class CtcTarget:
    """See `CheckTarget`."""

    target: Target

    @property
    def phonemes_of(self) -> str | None:
        vocabulary = self.target.vocabulary
        return None if vocabulary is None else vocabulary.phonemes_of

    def judge_texts(self, checked: CheckedTexts) -> Iterator[CheckFinding]:
        train = checked.train
        yield judge_alignment(checked.utterances[:train], checked.texts[:train], self.target)
        yield from judge_characters(checked.utterances, checked.texts, self.target.vocabulary)


@dataclass(frozen=True, slots=True)
class Seq2SeqTarget:
    """See `CheckTarget`."""

    task: Seq2SeqTask

    @property
    def phonemes_of(self) -> None:
        return None

    def judge_texts(self, checked: CheckedTexts) -> Iterable[CheckFinding]:
        train = checked.train
        return judge_seq2seq(
            checked.utterances[:train], checked.texts[:train], checked.texts, self.task
        )


def find_target(model: str | None, vocabulary_folder: Path | None) -> CheckTarget:
    """Find what the data is checked against.

    Args:
        model: The model; None checks against the frames of nearly every CTC model.
        vocabulary_folder: A folder that `vocab` wrote; None is the model's own vocabulary.

    Raises:
        UsageError: A vocabulary for an encoder-decoder, which has a tokenizer.
        DataError: The model or the vocabulary cannot be read.
        UnreachableError: The model is on the hub, and the hub cannot be reached.
    """
    vocabulary = None if vocabulary_folder is None else read_vocabulary(vocabulary_folder)
    if model is None:
        return CtcTarget(Target(DEFAULT_GEOMETRY, vocabulary))
    folder = find_model(model, kind=None)
    return _TARGETS[kind_of(folder.read_config())](folder, vocabulary)


def _open_ctc(folder: ModelFolder, vocabulary: Vocabulary | None) -> CtcTarget:
    # A pretrained model has no head: its vocabulary will be made from the data.
    if vocabulary is None and has_vocabulary(folder.path):
        vocabulary = read_vocabulary(folder.path)
    config = folder.read_config()
    rate_hz = read_rate(read_settings(folder.path, config))
    return CtcTarget(Target(geometry_from_config(config, rate_hz), vocabulary))


def _open_seq2seq(folder: ModelFolder, vocabulary: Vocabulary | None) -> Seq2SeqTarget:
    if vocabulary is not None:
        raise UsageError(
            f"{folder.name} is an encoder-decoder: it has a tokenizer of its own.",
            remedy="Leave --vocab out.",
        )
    return Seq2SeqTarget(outline_task(folder.name))


_TARGETS: dict[str, Callable[[ModelFolder, Vocabulary | None], CheckTarget]] = {
    "ctc": _open_ctc,
    "seq2seq": _open_seq2seq,
}
