"""A data set whose items are whole planned batches, loaded ahead of the step that needs them."""

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

AHEAD = 4
"""Batches that are loaded before they are needed."""

AS_IT_IS = Augmentation()


@dataclass(frozen=True)
class TrainingSet:
    """What is trained on: utterances with labels, and how they are put into batches.

    `labels[i]` are the token ids of `utterances[i]`; every epoch is planned from (seed, epoch).
    With `window_s` every sound takes up that much, whatever its length.
    """

    utterances: tuple[Utterance, ...]
    labels: tuple[Labels, ...]
    batching: Batching
    seed: int
    augmentation: Augmentation = AS_IT_IS
    window_s: float | None = None

    @property
    def durations_s(self) -> list[float]:
        return [utterance.audio.duration_s or 0.0 for utterance in self.utterances]

    @property
    def audio_s(self) -> float:
        return sum(self.durations_s)

    def plan(self, epoch: int) -> BucketPlan:
        """The batches of an epoch, in the order they are run."""
        widths = [len(labels) for labels in self.labels]
        taken_s = [one if self.window_s is None else self.window_s for one in self.durations_s]
        return plan_epoch(taken_s, widths, self.batching, seed=self.seed, epoch=epoch)

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
    bucket, or could not be decoded, is filled with rows that teach nothing, where the task has
    such; elsewhere a shorter batch is a shape of its own.

    Of several ranks each has its own part of every planned batch, padded to the same length.
    """

    def __init__(self, training_set: TrainingSet, task: Task, observe: Observer = ignore) -> None:
        self.training_set = training_set
        self.task = task
        self.epoch = 0
        self.broken: dict[str, str] = {}
        self._shortened: set[str] = set()
        self._observe = observe
        self._ranks = task.device.ranks
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
        together = plan.batches[index]
        planned = part_of(together, self._ranks)
        if not self.training_set.batching.static_shapes:
            return self.load(planned, epoch=epoch, together=together)
        rows = bucket_rows(plan, planned.padded_s, self._ranks.count)
        return self.load(planned, rows=rows, epoch=epoch, together=together)

    def load(
        self,
        planned: PlannedBatch,
        *,
        rows: int | None = None,
        epoch: int | None = None,
        together: PlannedBatch | None = None,
    ) -> tuple[dict[str, Any], LoadedBatch]:
        """The network's inputs with `labels` (B, L) and the batch as planned; and as loaded.

        With `rows` the batch has the bucket's one shape: so many rows and the bucket's length.
        With `epoch` sounds are augmented as that epoch has them. With `together` the batch is this
        rank's part of that one.
        """
        training_set = self.training_set
        margin_s = self.task.margin_s
        padded_s = 0.0 if rows is None else training_set.padded_s(planned) + margin_s
        if rows is None and together is not None and self._ranks.count > 1:
            padded_s = together.padded_s
        loaded = load_batch(
            [training_set.utterances[index] for index in planned.indices],
            padded_s=padded_s,
            change=None if epoch is None else partial(self._augment, planned.indices, epoch),
        )
        indices = tuple(planned.indices[position] for position in loaded.kept)
        labels = [training_set.labels[index] for index in indices]
        inputs: dict[str, Any] = dict(
            self.task.inputs(loaded.batch, labels, width=planned.label_tokens, rows=rows)
        )
        inputs["planned"] = replace(planned, indices=indices)
        inputs["together"] = inputs["planned"] if together is None else together
        if together is not None and self._ranks.count > 1:
            lost = set(planned.indices) - set(indices)
            share = self._weigh(labels, [one for one in together.indices if one not in lost])
            inputs["share"] = scalar(share) * inputs.get("share", 1.0)
        return inputs, loaded

    def _weigh(self, own: Sequence[Labels], together: Sequence[int]) -> float:
        """What this rank's loss counts, where the ranks' gradients are averaged with equal weights.

        A rank for which the step has nothing hears another's utterance for naught: it must step
        with the others all the same.
        """
        if self._ranks.index >= len(together):
            return 0.0
        labels = [self.training_set.labels[index] for index in together]
        return self._ranks.count * self.task.loss_scale(own, labels)

    def _augment(
        self, indices: tuple[int, ...], epoch: int, position: int, samples: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        index, training_set = indices[position], self.training_set
        return training_set.augmentation.change(
            samples,
            seed=training_set.seed,
            epoch=epoch,
            index=index,
            shortest=self.task.shortest_samples(training_set.labels[index]),
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


def part_of(together: PlannedBatch, ranks: Ranks) -> PlannedBatch:
    """What one rank hears of a batch: every so-manieth utterance, or one where none is left."""
    own = together.indices[ranks.index :: ranks.count] or together.indices[:1]
    return replace(together, indices=own)


def bucket_rows(plan: BucketPlan, padded_s: float, ranks: int = 1) -> int:
    """Rows of every batch of the bucket that ends there: those of a rank's part of its largest."""
    largest = max(len(batch.indices) for batch in plan.batches if batch.padded_s == padded_s)
    return -(-largest // ranks)
