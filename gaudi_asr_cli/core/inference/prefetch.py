"""Loading and decoding audio on threads of its own, ahead of the network."""

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
from gaudi_asr_cli.core.records import AudioSpan, Utterance

if TYPE_CHECKING:
    from numpy.typing import NDArray

Loader = Callable[[AudioSpan], LoadedAudio]


@dataclass(frozen=True, slots=True)
class Clip:
    """An utterance as it was loaded: samples float32 (T,), or the `error` why there are none.

    One that `is_long` was not loaded: it is read while it is heard.
    """

    utterance: Utterance
    samples: NDArray[np.float32]
    lost_s: float = 0.0
    error: str | None = None
    decode_s: float = 0.0
    is_long: bool = False


class ReadAhead(RunAhead[Clip]):
    """Sounds in order, decoded ahead as far as `budget_samples` allow. Use it as a context.

    A file that cannot be loaded gives a `Clip` with an error. What the iterable of utterances
    itself raises (a broken manifest line) is raised where the sounds are iterated. With more than
    one of `readers`, so many more sounds are in their hands. What `is_long` is not loaded.
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
        items = reading if readers == 1 else self._read_together(utterances, readers)
        super().__init__(items, lambda sound: len(sound.samples), budget_samples, "read-ahead")

    def _read_together(self, utterances: Iterable[Utterance], readers: int) -> Iterator[Clip]:
        """The sounds in their order, several being read at once."""
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
        except Exception as error:  # noqa: BLE001 - it is the error of this file, and named there
            return Clip(utterance, np.zeros(0, np.float32), error=describe_failure(error))
        return Clip(utterance, loaded.samples, loaded.lost_s, decode_s=watch.seconds)
