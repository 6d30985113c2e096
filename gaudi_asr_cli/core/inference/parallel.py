"""Several sounds at once on a processor, each on a thread of its own.

Threads that share one sound wait for each other at every layer; those that hear a sound each never
do. On two cores that gains a few percent, on many cores it multiplies.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from itertools import islice
from typing import Any

from gaudi_asr_cli.core.inference.prefetch import Clip
from gaudi_asr_cli.core.inference.results import TimedResult
from gaudi_asr_cli.core.models.cpu.ctc import PackedCtcModel
from gaudi_asr_cli.core.models.threads import threads


def count_parallel(model: Any) -> int:
    """How many sounds the model can hear at once: torch's threads, or one."""
    import torch

    return torch.get_num_threads() if isinstance(model, PackedCtcModel) else 1


def transcribe_in_parallel(
    sounds: Iterable[Clip], hear: Callable[[Clip], TimedResult], parallel: int
) -> Generator[TimedResult, None, None]:
    """What became of each sound, in their order.

    Where no more sounds are left than half the listeners, and for long ones, all threads hear one
    together: a single file is not to wait for one thread.

    Args:
        sounds: Taken as they are needed; at most twice as many as listeners wait or are heard.
        hear: Called on several threads at once.
        parallel: Number of clips transcribed at once, each by one thread.
    """
    waiting = iter(sounds)
    pending: deque[Future[TimedResult]] = deque()
    with _single_threads(parallel) as pool:
        while group := list(islice(waiting, parallel)):
            if len(group) > parallel / 2 and not any(sound.is_long for sound in group):
                pending.extend(pool.submit(hear, sound) for sound in group)
                while len(pending) > parallel:
                    yield pending.popleft().result()
                continue
            while pending:
                yield pending.popleft().result()
            while group:
                yield hear(group.pop(0))
        while pending:
            yield pending.popleft().result()


@contextmanager
def _single_threads(count: int) -> Iterator[ThreadPoolExecutor]:
    """Threads on each of which torch computes alone; the caller's own setting stays."""
    import torch

    # A part of what the other threads set (MKL's) holds for all of them.
    with threads(torch.get_num_threads()):
        pool = ThreadPoolExecutor(count, "listener", initializer=lambda: torch.set_num_threads(1))
        try:
            yield pool
        finally:
            pool.shutdown(cancel_futures=True)
