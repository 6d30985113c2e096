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

from gaudi_asr_cli.core.errors import AsrError
from gaudi_asr_cli.core.inference.device_worker import MessageSender, settle_shapes
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


def run_serving_worker(connection: Connection, device: str, hpu_mode: str) -> None:
    """Open device and model, and transcribe requests until the other end of the pipe is closed."""
    send = MessageSender(connection)
    try:
        # First: the Gaudi software reads its environment when torch is imported.
        from gaudi_asr_cli.core.devices import open_device
        from gaudi_asr_cli.core.runtime import configure

        opened = open_device(device, hpu_mode=hpu_mode)
        configure(opened)
        from gaudi_asr_cli.core.inference.recognizer import open_recognizer

        setup: OpenModel = connection.recv()
        recognizer = open_recognizer(setup.model, opened, setup.options)
        _serve_requests(connection, send, recognizer, setup)
    except AsrError as error:
        from gaudi_asr_cli.core.inference.device_messages import WorkerFailed

        send(WorkerFailed(error.message, error.remedy, error.exit_code))


def _serve_requests(
    connection: Connection, send: MessageSender, recognizer: Recognizer, setup: OpenModel
) -> None:
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
    """Return the number of calls that run side by side: on a CPU one a core, without batches.

    Only networks of our own run on several threads.
    """
    if recognizer.batching is not None or recognizer.backend == "transformers":
        return 1
    return max(1, count_cores())


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
        run_serving_worker(Connection(int(sys.argv[1])), sys.argv[2], sys.argv[3])
    except (EOFError, BrokenPipeError, ConnectionResetError):
        # The server has ended. Threads that still read audio must not keep this process.
        os._exit(0)
