"""A worker: transcribes, on one device, what another process sends it through a pipe.

python -m gaudi_asr_cli.core.inference.device_worker DESCRIPTOR DEVICE HPU_MODE
"""

from __future__ import annotations

import os
import sys
import threading
import warnings
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from multiprocessing.connection import Connection
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, cast

from gaudi_asr_cli.core.errors import AsrError

if TYPE_CHECKING:
    from gaudi_asr_cli.core.inference.device_messages import WorkChunk, WorkerSetup
    from gaudi_asr_cli.core.inference.recognizer import Recognizer
    from gaudi_asr_cli.core.records import Segment, Utterance


class MessageSender:
    """Sends messages from any thread."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._lock = threading.Lock()

    def __call__(self, message: Any) -> None:
        with self._lock:
            self._connection.send(message)


Serve = Callable[[Connection, MessageSender, "Recognizer", Any], None]
"""Answers the messages of a pipe with a recogniser; the last argument is the first message."""


def run_worker(connection: Connection, device: str, hpu_mode: str, serve: Serve) -> None:
    """Open device and model, and serve until the other end of the pipe is closed.

    The first message names the model and the options of its recogniser.
    """
    send = MessageSender(connection)
    try:
        # First: the Gaudi software reads its environment when torch is imported.
        from gaudi_asr_cli.core.devices import open_device
        from gaudi_asr_cli.core.runtime import configure

        opened = open_device(device, hpu_mode=hpu_mode)
        configure(opened)
        from gaudi_asr_cli.core.inference.recognizer import open_recognizer

        setup: Any = connection.recv()
        recognizer = open_recognizer(setup.model, opened, setup.options)
        serve(connection, send, recognizer, setup)
    except AsrError as error:
        from gaudi_asr_cli.core.inference.device_messages import WorkerFailed

        send(WorkerFailed(error.message, error.remedy, error.exit_code))


def _serve(
    connection: Connection, send: MessageSender, recognizer: Recognizer, setup: WorkerSetup
) -> None:
    from gaudi_asr_cli.core.inference.device_messages import (
        CaseAnswer,
        CaseQuestion,
        LengthSample,
        WorkerOpened,
    )

    send(
        WorkerOpened(
            recognizer.device.name,
            recognizer.dtype,
            recognizer.notes,
            recognizer.phonemes_of,
            recognizer.generates,
            *_find_least_chunk(recognizer),
        )
    )
    inbox: SimpleQueue[Any] = SimpleQueue()
    threading.Thread(target=_read_messages, args=(connection, inbox), daemon=True).start()
    while True:
        message = inbox.get()
        if isinstance(message, CaseQuestion):
            send(CaseAnswer(recognizer.suggest_case(message.sample)))
        elif isinstance(message, LengthSample):
            recognizer = settle_shapes(recognizer, message.durations_s)
        else:
            _transcribe_chunk(message, send, recognizer, setup)


def _find_least_chunk(recognizer: Recognizer) -> tuple[float, int]:
    """Return the seconds and the number of utterances that fill batches, 0 for no such limit.

    With static shapes each bucket's last batch is filled with empty rows, so that a chunk should
    have several.
    """
    from gaudi_asr_cli.core.inference.scheduling import WINDOW_BATCHES

    batching = recognizer.batching
    if batching is None:
        return 0.0, 0
    batches = WINDOW_BATCHES if batching.static_shapes else 1
    if batching.utterances is not None:
        return 0.0, batching.utterances * batches
    return batching.batch_s * batches, 0


def settle_shapes(recognizer: Recognizer, durations_s: Sequence[float]) -> Recognizer:
    """Return the recogniser with the shapes of its batches chosen, where it has few."""
    from gaudi_asr_cli.core.inference.scheduling import settle_edges

    fitting = [one for one in durations_s if 0 < one <= recognizer.max_chunk_s]
    batching = recognizer.batching
    if batching is None or not fitting:
        return recognizer
    settled: Recognizer = replace(
        cast(Any, recognizer), batching=settle_edges(batching, fitting, recognizer)
    )
    return settled


def _read_messages(connection: Connection, inbox: SimpleQueue[Any]) -> None:
    """Take messages out of the pipe at once: the other process waits for nothing but results."""
    while True:
        try:
            inbox.put(connection.recv())
        except (EOFError, OSError):
            # The other process has ended, or needs no more.
            os._exit(0)


def _transcribe_chunk(
    chunk: WorkChunk, send: MessageSender, recognizer: Recognizer, setup: WorkerSetup
) -> None:
    from gaudi_asr_cli.core.data.timeline import forget_timelines
    from gaudi_asr_cli.core.events import SegmentDone
    from gaudi_asr_cli.core.inference.device_messages import ChunkFinished, NumberedResult
    from gaudi_asr_cli.core.inference.timing import PhaseClock
    from gaudi_asr_cli.core.inference.transcribe import transcribe

    def report_segment(utterance: Utterance, segment: Segment) -> None:
        send(SegmentDone(utterance.id, segment))

    clock = PhaseClock()
    results = transcribe(
        recognizer,
        chunk.utterances,
        observe=send,
        channel=setup.channel,
        clock=clock,
        report_segment=report_segment if setup.follows else None,
    )
    with closing(results):
        for number, done in zip(chunk.numbers, results, strict=True):
            send(NumberedResult(number, done))
    forget_timelines()
    send(ChunkFinished(clock.phases_s))


if __name__ == "__main__":
    if not sys.warnoptions:
        warnings.simplefilter("ignore")
    try:
        run_worker(Connection(int(sys.argv[1])), sys.argv[2], sys.argv[3], _serve)
    except (EOFError, BrokenPipeError, ConnectionResetError):
        # The other process has ended, or has no more work. Threads that still read audio must not
        # keep this one.
        os._exit(0)
