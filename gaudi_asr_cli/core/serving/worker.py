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
    from gaudi_asr_cli.core.inference.network_queue import NetworkCall
    from gaudi_asr_cli.core.inference.recognizer import Recognizer
    from gaudi_asr_cli.core.serving.messages import OpenModel
    from gaudi_asr_cli.core.serving.request_threads import RequestThreads

SWITCH_S = 0.0005
"""Python's own 5 ms would pass at each step of a short clip while long audio is transcribed."""
READER_LANES = 4
"""Cores for which one file is decoded at once, with a network on the CPU."""
BATCH_READERS = 4
"""Files that are decoded at once for an accelerator."""
SERVED_DURATIONS_S = tuple(range(1, 31))
"""Lengths of clips, in seconds, for which the shapes of batches are chosen; no request is known."""


def serve_requests(
    connection: Connection, send: MessageSender, recognizer: Recognizer, setup: OpenModel
) -> None:
    """Transcribe the requests of a pipe; see `run_worker`."""
    import torch

    from gaudi_asr_cli.core.serving.messages import BatchDone, ModelOpened
    from gaudi_asr_cli.core.serving.request_threads import RequestThreads
    from gaudi_asr_cli.core.serving.scheduler import CallScheduler

    recognizer = settle_shapes(recognizer, SERVED_DURATIONS_S)

    def report(calls: int, requests: int) -> None:
        send(BatchDone(calls, requests, _count_graphs(recognizer)))

    lanes, threads = _count_lanes(recognizer), torch.get_num_threads()
    scheduler = CallScheduler(recognizer, lanes, threads, report)
    readers = BATCH_READERS if recognizer.device.prefers_batching else -(-lanes // READER_LANES)
    requests = RequestThreads(recognizer, setup, scheduler, send, readers)
    requests.prepare()
    run_each_shape(recognizer)
    graphs = _count_graphs(recognizer)
    send(ModelOpened(recognizer.device.name, recognizer.dtype, recognizer.notes, graphs))
    threading.Thread(target=_read_requests, args=(connection, requests), daemon=True).start()
    scheduler.serve()


def _count_graphs(recognizer: Recognizer) -> int | None:
    return None if recognizer.graphs is None else recognizer.graphs.captured


def _count_lanes(recognizer: Recognizer) -> int:
    """Return the number of calls or batches that run side by side on a CPU.

    Clips run on a core each. Of batches there are two, so that one of short requests need not wait
    for a window of long audio. Only networks of our own run on several threads.
    """
    if not recognizer.backend.startswith("packed"):
        return 1
    return count_cores() if recognizer.batching is None else min(2, count_cores())


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
