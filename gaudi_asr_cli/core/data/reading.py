"""Read and measure the utterances of sources, which every command does before it loads a model."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain, islice

from gaudi_asr_cli.core.data.measure import Measured, measure
from gaudi_asr_cli.core.data.sources import ReadOptions, read_utterances
from gaudi_asr_cli.core.events import Observer, ignore


def read_measured(
    sources: Sequence[str],
    options: ReadOptions,
    observe: Observer = ignore,
    limit: int | None = None,
) -> Measured:
    """Read the sources one after another, and measure their first `limit` utterances.

    Raises:
        DataError: A source is missing or broken.
        UnreachableError: A hub dataset cannot be reached.
    """
    notes: list[str] = []
    read = [read_utterances(source, options, notes.append) for source in sources]
    return measure(islice(chain.from_iterable(read), limit), observe, notes)
