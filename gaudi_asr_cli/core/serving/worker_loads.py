"""Which workers have requests: a byte for each, in memory that they share with the service."""

from __future__ import annotations

import mmap
import tempfile
from dataclasses import dataclass

MOST_WORKERS = mmap.PAGESIZE
MOST_COUNTED = 255


@dataclass(frozen=True, slots=True)
class LoadPlace:
    """The byte of a worker, in the file of a descriptor that it has inherited."""

    descriptor: int
    number: int


class WorkerLoads:
    """The numbers of requests of workers, which the service writes."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the service
        self._file.truncate(MOST_WORKERS)
        self._bytes = mmap.mmap(self._file.fileno(), MOST_WORKERS)

    @property
    def descriptor(self) -> int:
        """Return what a worker process inherits."""
        return self._file.fileno()

    def write(self, number: int, requests: int) -> None:
        """Note how many requests a worker has."""
        self._bytes[number] = min(requests, MOST_COUNTED)

    def close(self) -> None:
        """Free the memory; workers keep theirs."""
        self._bytes.close()
        self._file.close()


class OtherWorkers:
    """The other workers, as one of them sees them."""

    def __init__(self, place: LoadPlace) -> None:
        self._number = place.number
        self._bytes = mmap.mmap(place.descriptor, MOST_WORKERS, access=mmap.ACCESS_READ)

    def count_busy(self) -> int:
        """Return how many of them have a request."""
        loads = self._bytes[:]
        busy = len(loads) - loads.count(0)
        return busy - bool(loads[self._number])
