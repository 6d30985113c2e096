"""How many workers a model has on a machine, and what runs side by side in each."""

from dataclasses import dataclass

import pytest

from gaudi_asr_cli.core.data.buckets import Batching
from gaudi_asr_cli.core.devices import open_device
from gaudi_asr_cli.core.serving import worker
from gaudi_asr_cli.core.serving.scheduler import Lanes

CPU = open_device("cpu")
WINDOWS = Batching((30.0,), 240.0)


@dataclass(frozen=True)
class Card:
    """A device that is no CPU."""

    trains_on_cpu: bool = False


@dataclass(frozen=True)
class Opened:
    """A recogniser that is open."""

    batching: Batching | None
    device: object = CPU
    backend: str = "packed"


@pytest.mark.parametrize(
    ("cores", "parameters", "device", "workers"),
    [
        (1, 1_000_000, CPU, 1),
        (2, 1_000_000, CPU, 2),
        (64, 1_000_000, CPU, 4),
        (64, 95_000_000, CPU, 4),
        (64, 240_000_000, CPU, 1),
        # transformers alone can read its weights.
        (64, None, CPU, 1),
        (64, 1_000_000, Card(), 1),
    ],
)
def test_a_cpu_has_several_workers_for_a_model_that_is_not_large(
    monkeypatch, cores, parameters, device, workers
):
    monkeypatch.setattr(worker, "count_cores", lambda: cores)

    assert worker.choose_workers(parameters, device) == workers


def test_a_language_model_is_not_in_memory_several_times(monkeypatch):
    monkeypatch.setattr(worker, "count_cores", lambda: 4)

    assert worker.choose_workers(1_000_000, CPU, has_lm=True) == 1


@pytest.mark.parametrize(
    ("cores", "workers", "opened", "lanes"),
    [
        (4, 1, Opened(None), Lanes(4, 4, 3)),
        (4, 4, Opened(None), Lanes(2, 1, 3)),
        (16, 4, Opened(None, backend="packed int8"), Lanes(4, 4, 3)),
        (1, 1, Opened(None), Lanes(1, 1, 3)),
        (4, 1, Opened(WINDOWS), Lanes(2, 1, 3)),
        (4, 4, Opened(WINDOWS), Lanes(2, 1, 3, worker.MOST_CPU_ROWS)),
        (4, 1, Opened(None, backend="transformers"), Lanes(1, 1, 3)),
        (4, 2, Opened(WINDOWS, Card(), "batched"), Lanes(1, 1, 3)),
    ],
)
def test_what_runs_side_by_side_fits_the_cores(monkeypatch, cores, workers, opened, lanes):
    monkeypatch.setattr(worker, "count_cores", lambda: cores)

    assert worker.plan_lanes(opened, workers, 3) == lanes


def test_the_parameters_are_those_of_the_stored_weights():
    assert worker.count_stored_parameters("demo") == 512_978
