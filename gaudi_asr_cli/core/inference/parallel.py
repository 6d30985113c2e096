"""Parallel transcription on a CPU: several clips at once, each on one thread.

Threads that share a clip wait for each other at every layer; threads with a clip each never do.
On two cores that gains a few percent, on many cores it multiplies.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future
from itertools import islice

from gaudi_asr_cli.core.inference.prefetch import Clip
from gaudi_asr_cli.core.inference.results import TimedResult
from gaudi_asr_cli.core.models.threads import single_threads


def transcribe_in_parallel(
    clips: Iterable[Clip], transcribe_clip: Callable[[Clip], TimedResult], parallel: int
) -> Generator[TimedResult, None, None]:
    """Yield the result of each clip, in order.

    If at most half as many clips as threads are left, and for long clips, all threads work on one
    clip at a time: a single file must not wait for one thread.

    Args:
        clips: Taken as they are needed; at most twice `parallel` are queued or in progress.
        transcribe_clip: Called on several threads at once.
        parallel: Number of clips transcribed at once, each by one thread.
    """
    remaining = iter(clips)
    pending: deque[Future[TimedResult]] = deque()
    with single_threads(parallel) as pool:
        while group := list(islice(remaining, parallel)):
            if len(group) > parallel / 2 and not any(clip.is_long for clip in group):
                pending.extend(pool.submit(transcribe_clip, clip) for clip in group)
                while len(pending) > parallel:
                    yield pending.popleft().result()
                continue
            while pending:
                yield pending.popleft().result()
            while group:
                yield transcribe_clip(group.pop(0))
        while pending:
            yield pending.popleft().result()
