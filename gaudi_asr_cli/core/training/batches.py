"""A data set whose items are whole planned batches, loaded ahead of the step that needs them."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gaudi_asr_cli.core.data.augment import Augmentation
from gaudi_asr_cli.core.data.batches import LoadedBatch, load_batch
from gaudi_asr_cli.core.data.buckets import Batching, plan_epoch
from gaudi_asr_cli.core.events import Noticed, Observer, ignore
from gaudi_asr_cli.core.models.ctc import CtcModel
from gaudi_asr_cli.core.records import AudioBatch, BucketPlan, PlannedBatch, Utterance
from gaudi_asr_cli.core.text.alignment import alignment_needs

if TYPE_CHECKING:
    import torch

AHEAD = 4
"""Batches that are loaded before they are needed."""

IGNORED_LABEL = -100
"""What transformers takes for padding among labels."""

OURS = frozenset({"planned", "share"})
"""Entries of a batch that are not the network's: what was planned, and the share of rows that is
real, inverted: what a mean over all rows has to be multiplied by."""


AS_IT_IS = Augmentation()


@dataclass(frozen=True)
class TrainingSet:
    """What is trained on: utterances with labels, and how they are put into batches.

    `labels[i]` are the token ids of `utterances[i]`; every epoch is planned from (seed, epoch).
    """

    utterances: tuple[Utterance, ...]
    labels: tuple[tuple[int, ...], ...]
    batching: Batching
    seed: int
    augmentation: Augmentation = AS_IT_IS

    @property
    def durations_s(self) -> list[float]:
        return [utterance.audio.duration_s or 0.0 for utterance in self.utterances]

    @property
    def audio_s(self) -> float:
        return sum(self.durations_s)

    def plan(self, epoch: int) -> BucketPlan:
        """The batches of an epoch, in the order they are run."""
        widths = [len(labels) for labels in self.labels]
        return plan_epoch(self.durations_s, widths, self.batching, seed=self.seed, epoch=epoch)

    def padded_s(self, planned: PlannedBatch) -> float:
        """Seconds that every sound of the batch fits into, however it is augmented."""
        return planned.padded_s * self.augmentation.longest


class PlannedBatches:
    """A map-style data set for a DataLoader without workers: item i is batch i of the epoch.

    An item depends on (seed, epoch, i) alone, never on who asked for what before, so a resumed
    run meets the same ones. A thread loads ahead; reading releases the interpreter's lock.

    An utterance whose audio turns out to be undecodable is left out of its batch; the observer
    is told once of each, and `broken` holds them all.

    With static shapes every batch of a bucket has the same size: what is missing at the end of a
    bucket, or could not be decoded, is filled with rows that teach nothing (`fill_rows`), where
    the model allows it; elsewhere a shorter batch is a shape of its own.
    """

    def __init__(
        self, training_set: TrainingSet, model: CtcModel, observe: Observer = ignore
    ) -> None:
        self.training_set = training_set
        self.model = model
        self.epoch = 0
        self.broken: dict[str, str] = {}
        self._shortened: set[str] = set()
        self._observe = observe
        config = model.config
        self._takes_mean = config.get("ctc_loss_reduction") == "mean"
        # Silent rows teach nothing only where they are masked and their infinite loss is zeroed.
        self._fills = model.frontend.masks and bool(config.get("ctc_zero_infinity"))
        self._plan = lru_cache(maxsize=2)(training_set.plan)
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="batches")
        self._loading: dict[tuple[int, int], Future[tuple[dict[str, Any], LoadedBatch]]] = {}

    def __len__(self) -> int:
        return len(self._plan(0).batches)

    def __getitem__(self, index: int) -> dict[str, Any]:
        wanted = [(self.epoch, i) for i in range(index, min(index + 1 + AHEAD, len(self)))]
        for key in [key for key in self._loading if key not in wanted]:
            self._loading.pop(key).cancel()
        for key in wanted:
            if key not in self._loading:
                self._loading[key] = self._pool.submit(self._load, *key)
        inputs, loaded = self._loading.pop(wanted[0]).result()
        self._tell(loaded)
        return inputs

    def close(self) -> None:
        """Stop loading ahead."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _load(self, epoch: int, index: int) -> tuple[dict[str, Any], LoadedBatch]:
        plan = self._plan(epoch)
        planned = plan.batches[index]
        if not self.training_set.batching.static_shapes:
            return self.load(planned, epoch=epoch)
        whole = bucket_rows(plan, planned.padded_s)
        rows = whole if self._fills else len(planned.indices)
        return self.load(planned, rows=rows, epoch=epoch)

    def load(
        self, planned: PlannedBatch, *, rows: int | None = None, epoch: int | None = None
    ) -> tuple[dict[str, Any], LoadedBatch]:
        """The network's inputs with `labels` (B, L) and the batch as planned; and as loaded.

        With `rows` the batch has the bucket's one shape: so many rows, the bucket's length, and
        the factor `share` beside it. With `epoch` sounds are augmented as that epoch has them.
        """
        training_set = self.training_set
        # A frame more than the longest: a mask that happened to be all ones would take another
        # way through transformers, which a device compiles anew, or a graph has not captured.
        frame_s = self.model.geometry.frame_s
        padded_s = 0.0 if rows is None else training_set.padded_s(planned) + frame_s
        loaded = load_batch(
            [training_set.utterances[index] for index in planned.indices],
            padded_s=padded_s,
            change=None if epoch is None else partial(self._augment, planned.indices, epoch),
        )
        indices = tuple(planned.indices[position] for position in loaded.kept)
        labels = [training_set.labels[index] for index in indices]
        batch, width, share = loaded.batch, planned.label_tokens, None
        if rows is not None:
            width = max(2, width)
            rows = rows if self._fills else len(indices)
            share = rows / len(indices) if self._takes_mean else 1.0
            labels = [*labels, *([(labels[0][0],) * width] * (rows - len(indices)))]
            batch = fill_rows(batch, rows)
        inputs: dict[str, Any] = dict(self.model.frontend.prepare(batch))
        inputs["labels"] = padded_labels(labels, width)
        inputs["planned"] = replace(planned, indices=indices)
        if share is not None:
            inputs["share"] = scalar(share)
        return inputs, loaded

    def _augment(
        self, indices: tuple[int, ...], epoch: int, position: int, samples: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        index, training_set = indices[position], self.training_set
        needed = alignment_needs(training_set.labels[index])
        return training_set.augmentation.change(
            samples,
            seed=training_set.seed,
            epoch=epoch,
            index=index,
            # A frame more than CTC needs: faster sound must still hold its text.
            shortest=self.model.geometry.minimum_samples
            + needed * self.model.geometry.frame_samples,
        )

    def _tell(self, loaded: LoadedBatch) -> None:
        for one in loaded.broken:
            if one.utterance.id not in self.broken:
                self.broken[one.utterance.id] = one.reason
                self._observe(Noticed(f"Left out of training: {one.reason}"))
        for name, lost_s in loaded.shortened:
            if name not in self._shortened:
                self._shortened.add(name)
                self._observe(Noticed(f"{name}: its last {lost_s:.2f} s could not be decoded."))


def bucket_rows(plan: BucketPlan, padded_s: float) -> int:
    """Rows of every batch of the bucket that ends there: those of its largest."""
    return max(len(batch.indices) for batch in plan.batches if batch.padded_s == padded_s)


def fill_rows(batch: AudioBatch, rows: int) -> AudioBatch:
    """The batch with silent rows of no length behind it, up to so many.

    A silent row is heard as one frame, and gets more labels than one frame can hold: its CTC loss
    is infinite, which `ctc_zero_infinity` makes zero together with its gradient.
    """
    missing = rows - len(batch.utterances)
    return AudioBatch(
        utterances=(*batch.utterances, *batch.utterances[:1] * missing),
        samples=np.pad(batch.samples, ((0, missing), (0, 0))),
        lengths=np.pad(batch.lengths, (0, missing)),
    )


def scalar(value: float) -> torch.Tensor:
    """A number as a tensor: a device that compiles would take a plain one for part of a program."""
    import torch

    return torch.tensor(value, dtype=torch.float32)


def padded_labels(labels: Sequence[Sequence[int]], width: int) -> torch.Tensor:
    """Labels as an int64 tensor (B, L) of that width, padded with what the loss ignores."""
    import torch

    padded = np.full((len(labels), width), IGNORED_LABEL, dtype=np.int64)
    for row, tokens in zip(padded, labels, strict=True):
        row[: len(tokens)] = tokens
    return torch.from_numpy(padded)
