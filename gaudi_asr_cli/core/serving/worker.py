"""A worker of the server: transcribes, on one device, the requests that come through a pipe.

python -m gaudi_asr_cli.core.serving.worker DESCRIPTOR DEVICE HPU_MODE
"""

from __future__ import annotations

import os
import sys
import threading
import warnings
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gaudi_asr_cli.core.inference.device_worker import MessageSender, run_worker, settle_shapes
from gaudi_asr_cli.core.inference.worker_process import count_cores

if TYPE_CHECKING:
    from gaudi_asr_cli.core.devices.base import Device
    from gaudi_asr_cli.core.inference.network_queue import NetworkCall
    from gaudi_asr_cli.core.inference.recognizer import Recognizer
    from gaudi_asr_cli.core.serving.messages import OpenModel
    from gaudi_asr_cli.core.serving.request_threads import RequestThreads
    from gaudi_asr_cli.core.serving.scheduler import Lanes

SWITCH_S = 0.0005
"""Python's own 5 ms would pass at each step of a short clip while long audio is transcribed."""
READER_LANES = 4
"""Cores for which one file is decoded at once, with a network on the CPU."""
BATCH_READERS = 4
"""Files that are decoded at once for an accelerator."""
MOST_CPU_WORKERS = 4
"""Workers of a model on a CPU: more cores than these are for the threads of each."""
MOST_SHARED_PARAMETERS = 100_000_000
"""Larger models have one worker on a CPU: the weights would be in memory several times."""
MOST_CPU_ROWS = 6
"""Rows of a batch where several workers share the requests: a batch of all that waits would leave
the others idle, and what comes next would wait for longer."""
SERVED_DURATIONS_S = tuple(range(1, 31))
"""Lengths of clips, in seconds, for which the shapes of batches are chosen; no request is known."""


def serve_requests(
    connection: Connection, send: MessageSender, recognizer: Recognizer, setup: OpenModel
) -> None:
    """Transcribe the requests of a pipe; see `run_worker`."""
    from gaudi_asr_cli.core.serving.messages import BatchDone, ModelOpened
    from gaudi_asr_cli.core.serving.request_threads import RequestThreads
    from gaudi_asr_cli.core.serving.scheduler import CallScheduler
    from gaudi_asr_cli.core.serving.worker_loads import OtherWorkers

    recognizer = settle_shapes(recognizer, SERVED_DURATIONS_S)

    def report(calls: int, requests: int) -> None:
        send(BatchDone(calls, requests, _count_graphs(recognizer)))

    parameters = count_stored_parameters(setup.model)
    has_lm = setup.options.lm is not None
    workers = setup.workers or choose_workers(parameters, recognizer.device, has_lm=has_lm)
    lanes = plan_lanes(recognizer, workers, _count_threads(recognizer, parameters, setup.threads))
    others = OtherWorkers(setup.load)
    scheduler = CallScheduler(recognizer, lanes, report, others.count_busy)
    batches = recognizer.device.prefers_batching
    readers = BATCH_READERS if batches else -(-lanes.count // READER_LANES)
    requests = RequestThreads(recognizer, setup, scheduler, send, readers)
    requests.prepare()
    run_each_shape(recognizer)
    graphs = _count_graphs(recognizer)
    device = recognizer.device.name
    send(ModelOpened(device, recognizer.dtype, recognizer.notes, workers, graphs))
    threading.Thread(target=_read_requests, args=(connection, requests), daemon=True).start()
    scheduler.serve()


def _count_graphs(recognizer: Recognizer) -> int | None:
    return None if recognizer.graphs is None else recognizer.graphs.captured


def count_stored_parameters(model: str) -> int | None:
    """Return the number of parameters of a model; None if only transformers can read them."""
    from gaudi_asr_cli.core.models.folder import find_model
    from gaudi_asr_cli.core.models.weights import read_weights

    weights = read_weights(find_model(model, kind=None))
    return None if weights is None else weights.count()


def choose_workers(parameters: int | None, device: Device, *, has_lm: bool = False) -> int:
    """Return the number of workers of a model on this machine.

    On a CPU the threads of one process wait for Python's lock, so that several are faster. Each has
    the weights, and a language model, for itself.
    """
    if not device.trains_on_cpu or has_lm:
        return 1
    if parameters is None or parameters > MOST_SHARED_PARAMETERS:
        return 1
    return min(count_cores(), MOST_CPU_WORKERS)


def plan_lanes(recognizer: Recognizer, workers: int, threads: int) -> Lanes:
    """Return what runs side by side in each of so many workers.

    On a CPU clips run on a core each. Of batches there are two, so that one of short requests need
    not wait for a window of long audio. Only networks of our own run on several threads.
    """
    from gaudi_asr_cli.core.serving.scheduler import Lanes

    most_rows = MOST_CPU_ROWS if workers > 1 and recognizer.device.trains_on_cpu else None
    if not recognizer.backend.startswith("packed"):
        return Lanes(1, 1, threads, most_rows)
    cores = count_cores()
    if recognizer.batching is not None:
        return Lanes(min(2, cores), 1, threads, most_rows)
    side_by_side = max(1, cores // workers)
    return Lanes(max(min(2, cores), side_by_side), side_by_side, threads)


def _count_threads(recognizer: Recognizer, parameters: int | None, shared: int) -> int:
    """Return the number of torch threads that the calls of a worker share; 1: they are left."""
    from gaudi_asr_cli.core.models.threads import is_small_network

    if not recognizer.device.trains_on_cpu:
        return 1
    small = parameters is not None and is_small_network(parameters, recognizer.device)
    return 1 if small else shared


def run_each_shape(recognizer: Recognizer) -> None:
    """Run the network on silence of each shape of its batches.

    A device that compiles for each shape does so before the first request comes.
    """
    import numpy as np

    from gaudi_asr_cli.core.records import SAMPLE_RATE_HZ, AudioSpan, Utterance

    batching = recognizer.batching
    edges_s = batching.edges_s if batching is not None and batching.static_shapes else ()
    queued = recognizer.queued(_DirectQueue(recognizer))
    for seconds in sorted({1.0, *edges_s}):
        silence = np.zeros(int(seconds * SAMPLE_RATE_HZ), dtype=np.float32)
        queued.infer(silence, Utterance("silence", AudioSpan(Path("silence"))))


@dataclass(frozen=True, slots=True)
class _DirectQueue:
    """Runs each call at once on the calling thread; see `NetworkQueue`."""

    recognizer: Recognizer

    def run(self, call: NetworkCall) -> Any:
        return self.recognizer.run_calls([call])[0]


def _read_requests(connection: Connection, requests: RequestThreads) -> None:
    from gaudi_asr_cli.core.serving.messages import AudioRequest, CancelRequest

    while True:
        try:
            message: Any = connection.recv()
        except (EOFError, OSError):
            # The server has ended, or needs no more.
            os._exit(0)
        match message:
            case AudioRequest():
                requests.add(message)
            case CancelRequest():
                requests.cancel(message.number)
            case _:
                pass


if __name__ == "__main__":
    sys.setswitchinterval(SWITCH_S)
    if not sys.warnoptions:
        warnings.simplefilter("ignore")
    try:
        run_worker(Connection(int(sys.argv[1])), sys.argv[2], sys.argv[3], serve_requests)
    except (EOFError, BrokenPipeError, ConnectionResetError):
        # The server has ended. Threads that still read audio must not keep this process.
        os._exit(0)
