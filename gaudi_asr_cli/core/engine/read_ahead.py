"""Loading and decoding audio on a thread of its own, ahead of the network."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from threading import Condition, Thread
from typing import TYPE_CHECKING

import numpy as np

from gaudi_asr_cli.core.data.audio import LoadedAudio
from gaudi_asr_cli.core.engine.clock import PhaseClock
from gaudi_asr_cli.core.errors import AsrError
from gaudi_asr_cli.core.records import AudioSpan, Utterance

if TYPE_CHECKING:
    from numpy.typing import NDArray

Loader = Callable[[AudioSpan], LoadedAudio]
JOIN_S = 5.0
"""Longest wait for a file that is being decoded when the run is stopped."""


@dataclass(frozen=True, slots=True)
class Sound:
    """An utterance as it was loaded: samples float32 (T,), or the `error` why there are none."""

    utterance: Utterance
    samples: NDArray[np.float32]
    lost_s: float = 0.0
    error: str | None = None
    decode_s: float = 0.0


class ReadAhead:
    """Sounds in order, decoded ahead as far as `budget_samples` allow. Use it as a context.

    A file that cannot be loaded gives a `Sound` with an error. What the iterable of utterances
    itself raises (a broken manifest line) is raised where the sounds are iterated.
    """

    def __init__(
        self, utterances: Iterable[Utterance], load: Loader, clock: PhaseClock, budget_samples: int
    ) -> None:
        self._utterances = utterances
        self._load = load
        self._clock = clock
        self._budget_samples = budget_samples
        self._waiting: deque[Sound] = deque()
        self._waiting_samples = 0
        self._changed = Condition()
        self._finished = False
        self._closed = False
        self._failure: BaseException | None = None
        self._thread = Thread(target=self._read_all, name="read-ahead", daemon=True)

    def __enter__(self) -> ReadAhead:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop reading; the thread ends with the file in its hands."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._thread.join(JOIN_S)

    def __iter__(self) -> Iterator[Sound]:
        while (sound := self._take()) is not None:
            yield sound
        if self._failure is not None:
            raise self._failure

    def _take(self) -> Sound | None:
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._finished)
            if not self._waiting:
                return None
            sound = self._waiting.popleft()
            self._waiting_samples -= len(sound.samples)
            self._changed.notify_all()
            return sound

    def _read_all(self) -> None:
        try:
            for utterance in self._utterances:
                if not self._put(self._read(utterance)):
                    break
        except BaseException as failure:  # noqa: BLE001 - raised again where the sounds are iterated
            self._failure = failure
        finally:
            with self._changed:
                self._finished = True
                self._changed.notify_all()

    def _read(self, utterance: Utterance) -> Sound:
        try:
            with self._clock.time("decode_audio") as watch:
                loaded = self._load(utterance.audio)
        except AsrError as error:
            return Sound(utterance, np.zeros(0, np.float32), error=error.message)
        except (OSError, MemoryError) as error:
            reason = str(error) or type(error).__name__
            return Sound(utterance, np.zeros(0, np.float32), error=reason)
        return Sound(utterance, loaded.samples, loaded.lost_s, decode_s=watch.seconds)

    def _put(self, sound: Sound) -> bool:
        """Hand the sound over once there is room; False when nobody wants it any more."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._has_room(len(sound.samples)))
            if self._closed:
                return False
            self._waiting.append(sound)
            self._waiting_samples += len(sound.samples)
            self._changed.notify_all()
            return True

    def _has_room(self, samples: int) -> bool:
        # An empty queue takes a sound of any length, or one that is over the budget never passes.
        return not self._waiting or self._waiting_samples + samples <= self._budget_samples
