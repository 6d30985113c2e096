"""A data set whose items are whole planned batches, prefetched by a thread."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gaudi_asr_cli.core.data.augment import Augmentation
from gaudi_asr_cli.core.data.batches import LoadedBatch, load_batch
from gaudi_asr_cli.core.data.buckets import Batching, plan_epoch
from gaudi_asr_cli.core.distributed.ranks import Ranks
from gaudi_asr_cli.core.events import Noticed, Observer, ignore
from gaudi_asr_cli.core.records import BucketPlan, PlannedBatch, Utterance
from gaudi_asr_cli.core.training.tasks.base import Labels, Task, scalar

PREFETCHED = 4
"""Number of batches loaded before they are needed."""

NO_AUGMENTATION = Augmentation()


@dataclass(frozen=True)
class TrainingSet:
    """Utterances with labels, and the policy that batches them.

    `labels[i]` are the token ids of `utterances[i]`; every epoch is planned from (seed, epoch).
    With `window_s` every clip counts as that long, because the model pads it to that length.
    """

    utterances: tuple[Utterance, ...]
    labels: tuple[Labels, ...]
    batching: Batching
    seed: int
    augmentation: Augmentation = NO_AUGMENTATION
    window_s: float | None = None

    @property
    def durations_s(self) -> list[float]:
        return [utterance.audio.duration_s or 0.0 for utterance in self.utterances]

    @property
    def audio_s(self) -> float:
        return sum(self.durations_s)

    def plan(self, epoch: int) -> BucketPlan:
        """Return the batches of an epoch, in the order in which they are trained."""
        widths = [len(labels) for labels in self.labels]
        lengths_s = [one if self.window_s is None else self.window_s for one in self.durations_s]
        return plan_epoch(lengths_s, widths, self.batching, seed=self.seed, epoch=epoch)

    def padded_s(self, planned: PlannedBatch) -> float:
        """Return the length in seconds that every clip of the batch fits into once augmented."""
        return planned.padded_s * self.augmentation.max_length_factor


class PlannedBatches:
    """A map-style data set for a DataLoader without workers: item i is batch i of the epoch.

    An item depends on (seed, epoch, i) alone, never on earlier accesses, so a resumed run trains
    on the same batches. A thread prefetches; decoding releases the interpreter's lock.

    An utterance whose audio cannot be decoded is left out of its batch, reported to the observer
    once and collected in `broken`.

    With static shapes every batch of a bucket has the same size: rows that are missing at the end
    of a bucket, or that could not be decoded, are replaced by dummy rows where the task supports
    them; elsewhere a smaller batch is a shape of its own.

    Each of several ranks gets its own part of every planned batch, padded to the same length.
    """

    def __init__(self, training_set: TrainingSet, task: Task, observe: Observer = ignore) -> None:
        self.training_set = training_set
        self.task = task
        self.epoch = 0
        self.broken: dict[str, str] = {}
        self._shortened: set[str] = set()
        self._noted: set[str] = set()
        self._observe = observe
        self._ranks = task.device.ranks
        self._plan = lru_cache(maxsize=2)(training_set.plan)
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="batches")
        self._loading: dict[tuple[int, int], Future[tuple[dict[str, Any], LoadedBatch]]] = {}

    def __len__(self) -> int:
        return len(self._plan(0).batches)

    def __getitem__(self, index: int) -> dict[str, Any]:
        wanted = [(self.epoch, i) for i in range(index, min(index + 1 + PREFETCHED, len(self)))]
        for key in [key for key in self._loading if key not in wanted]:
            self._loading.pop(key).cancel()
        for key in wanted:
            if key not in self._loading:
                self._loading[key] = self._pool.submit(self._load, *key)
        inputs, loaded = self._loading.pop(wanted[0]).result()
        self._report_broken(loaded)
        return inputs

    def close(self) -> None:
        """Stop prefetching."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _load(self, epoch: int, index: int) -> tuple[dict[str, Any], LoadedBatch]:
        plan = self._plan(epoch)
        global_batch = plan.batches[index]
        planned = shard_batch(global_batch, self._ranks)
        batch_size = None
        if self.training_set.batching.static_shapes:
            batch_size = bucket_batch_size(plan, planned.padded_s, self._ranks.count)
        return self.load(planned, batch_size=batch_size, epoch=epoch, global_batch=global_batch)

    def load(
        self,
        planned: PlannedBatch,
        *,
        batch_size: int | None = None,
        epoch: int | None = None,
        global_batch: PlannedBatch | None = None,
    ) -> tuple[dict[str, Any], LoadedBatch]:
        """Load a batch: the network's inputs with `labels` (B, L) and `BATCH_METADATA`.

        Args:
            planned: Indices of the utterances and the lengths they are padded to.
            batch_size: Under static shapes, the one size of all batches of the bucket, which are
                then padded to the bucket's length.
            epoch: Augment the clips as this epoch has them; without it they are not augmented.
            global_batch: The batch of all ranks, of which `planned` is this rank's part.
        """
        training_set = self.training_set
        margin_s = self.task.margin_s
        padded_s = 0.0 if batch_size is None else training_set.padded_s(planned) + margin_s
        if batch_size is None and global_batch is not None and self._ranks.count > 1:
            padded_s = global_batch.padded_s
        loaded = load_batch(
            [training_set.utterances[index] for index in planned.indices],
            padded_s=padded_s,
            augment=None if epoch is None else partial(self._augment, planned.indices, epoch),
        )
        indices = tuple(planned.indices[position] for position in loaded.kept)
        labels = [training_set.labels[index] for index in indices]
        inputs: dict[str, Any] = dict(
            self.task.inputs(
                loaded.batch, labels, width=planned.label_tokens, batch_size=batch_size
            )
        )
        inputs["planned"] = replace(planned, indices=indices)
        inputs["global_batch"] = inputs["planned"] if global_batch is None else global_batch
        if global_batch is not None and self._ranks.count > 1:
            lost = set(planned.indices) - set(indices)
            scale = self._loss_scale(
                labels, [one for one in global_batch.indices if one not in lost]
            )
            inputs["loss_scale"] = scalar(scale) * inputs.get("loss_scale", 1.0)
        return inputs, loaded

    def _loss_scale(self, labels: Sequence[Labels], global_indices: Sequence[int]) -> float:
        """Return the factor of this rank's loss; gradients are averaged over ranks equally.

        A rank without an utterance of its own in this step runs another rank's utterance with
        factor 0, because all ranks must take every step.
        """
        if self._ranks.index >= len(global_indices):
            return 0.0
        global_labels = [self.training_set.labels[index] for index in global_indices]
        return self._ranks.count * self.task.loss_scale(labels, global_labels)

    def _augment(
        self, indices: tuple[int, ...], epoch: int, position: int, samples: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        index, training_set = indices[position], self.training_set
        return training_set.augmentation.apply(
            samples,
            seed=training_set.seed,
            epoch=epoch,
            index=index,
            min_samples=self.task.minimum_samples(training_set.labels[index]),
        )

    def _report_broken(self, loaded: LoadedBatch) -> None:
        for one in loaded.broken:
            if one.utterance.id not in self.broken:
                self.broken[one.utterance.id] = one.reason
                self._observe(Noticed(f"Left out of training: {one.reason}"))
        for name, lost_s in loaded.shortened:
            if name not in self._shortened:
                self._shortened.add(name)
                self._observe(Noticed(f"{name}: its last {lost_s:.2f} s could not be decoded."))
        for note in loaded.notes:
            if note not in self._noted:
                self._noted.add(note)
                self._observe(Noticed(note))


def shard_batch(global_batch: PlannedBatch, ranks: Ranks) -> PlannedBatch:
    """Return one rank's part of a batch: every `ranks.count`-th utterance, and at least one."""
    indices = global_batch.indices[ranks.index :: ranks.count] or global_batch.indices[:1]
    return replace(global_batch, indices=indices)


def bucket_batch_size(plan: BucketPlan, padded_s: float, ranks: int = 1) -> int:
    """Return the rows of a rank's part of the largest batch of the bucket that ends there."""
    largest = max(len(batch.indices) for batch in plan.batches if batch.padded_s == padded_s)
    return -(-largest // ranks)
