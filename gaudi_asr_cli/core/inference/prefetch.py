"""Load and decode audio on background threads, ahead of the network."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from gaudi_asr_cli.core.data.audio import LoadedAudio
from gaudi_asr_cli.core.data.unreadable import describe_failure
from gaudi_asr_cli.core.inference.ahead import RunAhead, until_failure
from gaudi_asr_cli.core.inference.timing import PhaseClock
from gaudi_asr_cli.core.records import AudioSpan, Speech, Utterance

if TYPE_CHECKING:
    from numpy.typing import NDArray

Loader = Callable[[AudioSpan], LoadedAudio]


@dataclass(frozen=True, slots=True)
class Clip:
    """A loaded utterance: samples float32 (T,), or the `error` of loading it.

    A clip that `is_long` is not loaded: it is streamed while it is transcribed.
    """

    utterance: Utterance
    samples: NDArray[np.float32]
    lost_s: float = 0.0
    error: str | None = None
    decode_s: float = 0.0
    is_long: bool = False
    speech: Speech | None = None

    @property
    def is_silent(self) -> bool:
        """Whether it is known that there is no speech."""
        return self.speech is not None and not self.speech.spans


class ReadAhead(RunAhead[Clip]):
    """Clips in order, decoded ahead within a budget of `budget_samples`. Use it as a context.

    A file that cannot be loaded gives a `Clip` with an error. An exception of the iterable of
    utterances (a broken manifest line) is raised where the clips are iterated. With several
    `readers`, up to two clips per reader are pending beyond the budget. Clips for which `is_long`
    is true are not loaded.
    """

    def __init__(
        self,
        utterances: Iterable[Utterance],
        load: Loader,
        clock: PhaseClock,
        budget_samples: int,
        readers: int = 1,
        is_long: Callable[[AudioSpan], bool] = lambda span: False,
    ) -> None:
        self._is_long = is_long
        self._load = load
        self._clock = clock
        reading = map(self._read, utterances)
        items = reading if readers == 1 else self._read_concurrently(utterances, readers)
        super().__init__(items, lambda clip: len(clip.samples), budget_samples, "read-ahead")

    def _read_concurrently(self, utterances: Iterable[Utterance], readers: int) -> Iterator[Clip]:
        """Yield the clips in order while several are read concurrently."""
        pool = ThreadPoolExecutor(readers, "read-ahead")
        pending: deque[Future[Clip]] = deque()
        failures: list[Exception] = []
        try:
            for utterance in until_failure(utterances, failures):
                pending.append(pool.submit(self._read, utterance))
                if len(pending) >= 2 * readers:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
            for failure in failures:
                raise failure
        finally:
            pool.shutdown(cancel_futures=True)

    def _read(self, utterance: Utterance) -> Clip:
        try:
            if self._is_long(utterance.audio):
                return Clip(utterance, np.zeros(0, np.float32), is_long=True)
            with self._clock.time("decode_audio") as watch:
                loaded = self._load(utterance.audio)
        except Exception as error:  # noqa: BLE001 - reported as the error of this file
            return Clip(utterance, np.zeros(0, np.float32), error=describe_failure(error))
        return Clip(
            utterance, loaded.samples, loaded.lost_s, decode_s=watch.seconds, speech=loaded.speech
        )
