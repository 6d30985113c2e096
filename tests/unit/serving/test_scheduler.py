"""Calls of many requests share one network: who comes first, who shares a batch, who is dropped."""

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Semaphore, Thread

import numpy as np
import pytest
import torch

from gaudi_asr_cli.core.data.buckets import Batching
from gaudi_asr_cli.core.inference.network_queue import EmissionCall
from gaudi_asr_cli.core.inference.recognizer import batch_one
from gaudi_asr_cli.core.records import AudioSpan, Utterance
from gaudi_asr_cli.core.serving.scheduler import (
    CallScheduler,
    Lanes,
    RequestCancelledError,
    Ticket,
    TicketQueue,
)

WAIT_S = 10
THREADS = 4


@dataclass
class SteppedNetwork:
    """A recogniser whose network runs a batch each time it is released."""

    batching: Batching | None = None
    broken: str = ""
    steps: Semaphore = field(default_factory=lambda: Semaphore(0))
    begun: list[list[str]] = field(default_factory=list)
    threads: list[int] = field(default_factory=list)

    def run_calls(self, calls):
        names = [call.batch.utterances[0].id for call in calls]
        self.begun.append(names)
        self.threads.append(torch.get_num_threads())
        assert self.steps.acquire(timeout=WAIT_S)
        if self.broken in names:
            raise RuntimeError(f"{len(names)} at once")
        return names


def call(name, seconds=1.0):
    samples = np.zeros(int(seconds * 16_000), dtype=np.float32)
    return EmissionCall(batch_one(samples, Utterance(name, AudioSpan(Path(name)))))


def wait_until(holds):
    deadline_s = time.monotonic() + WAIT_S
    while not holds():
        assert time.monotonic() < deadline_s
        time.sleep(0.001)


class Running:
    """A scheduler that runs on threads of its own, and calls that are sent in a known order."""

    def __init__(self, network, lanes=1, *, most_short=None, most_rows=None, others=0):
        self.network = network
        self.reports = []
        if most_short is None:
            most_short = lanes if network.batching is None else 1
        self.scheduler = CallScheduler(
            network,
            Lanes(lanes, most_short, THREADS, most_rows),
            lambda *one: self.reports.append(one),
            lambda: others,
        )
        self.pool = ThreadPoolExecutor(16)
        Thread(target=self.scheduler.serve, daemon=True).start()

    def send(self, name, ticket, seconds=1.0):
        before = len(self.scheduler._waiting) + len(self.network.begun)
        output = self.pool.submit(TicketQueue(self.scheduler, ticket).run, call(name, seconds))
        wait_until(lambda: len(self.scheduler._waiting) + len(self.network.begun) > before)
        return output

    def release(self, steps=16):
        for _ in range(steps):
            self.network.steps.release()


def test_a_short_clip_waits_only_for_the_call_in_progress():
    running = Running(SteppedNetwork())
    long = [Ticket(arrived_s=0.0, served_s=served_s) for served_s in (100.0, 200.0)]
    outputs = [running.send("in progress", long[0])]
    wait_until(lambda: running.network.begun)

    outputs += [running.send("long", long[1]), running.send("short", Ticket(arrived_s=50.0))]
    running.release()

    assert [one.result(WAIT_S) for one in outputs] == ["in progress", "long", "short"]
    assert running.network.begun == [["in progress"], ["short"], ["long"]]


def test_long_audio_comes_before_what_arrives_later_than_it_lasts():
    part = Ticket(arrived_s=0.0, served_s=3600.0)

    assert part.due_s(20.0) > Ticket(arrived_s=3600.0).due_s(2.0)
    assert part.due_s(20.0) < Ticket(arrived_s=3620.0).due_s(2.0)


def test_calls_share_a_batch_as_far_as_they_fit_it():
    batching = Batching((5.0, 10.0), 20.0, static_shapes=True)
    running = Running(SteppedNetwork(batching))
    first = running.send("first", Ticket(0.0))
    wait_until(lambda: running.network.begun)

    lengths_s = (4.0, 9.0, 3.0, 4.0, 2.0, 1.0)
    outputs = [
        running.send(f"{number}", Ticket(number), seconds)
        for number, seconds in enumerate(lengths_s)
    ]
    running.release()

    assert [one.result(WAIT_S) for one in outputs] == [*"012345"]
    assert first.result(WAIT_S) == "first"
    # Four rows of 5 s, or two of 10 s.
    assert running.network.begun == [["first"], ["0", "2", "4", "5"], ["3", "1"]]
    assert running.reports == [(1, 1), (4, 4), (2, 2)]


def test_a_batch_of_few_rows_holds_calls_of_like_length_that_are_due():
    running = Running(SteppedNetwork(Batching((30.0,), 240.0)), most_rows=2)
    running.send("first", Ticket(0.0))
    wait_until(lambda: running.network.begun)

    lengths_s = {"2 s": 2.0, "9 s": 9.0, "8 s": 8.0, "5 s": 5.0, "3 s": 3.0, "late 2 s": 2.0}
    outputs = [
        running.send(name, Ticket(float(number), audio_s=audio_s), 30.0)
        for number, (name, audio_s) in enumerate(lengths_s.items())
    ]
    running.release()

    assert [one.result(WAIT_S) for one in outputs] == [*lengths_s]
    # Of the four that are due next; the one that is due first is always in the batch.
    assert running.network.begun[1:] == [["2 s", "3 s"], ["9 s", "8 s"], ["5 s", "late 2 s"]]


def test_a_call_of_more_rows_than_a_batch_holds_runs_by_itself():
    running = Running(SteppedNetwork(Batching((30.0,), 240.0)), most_rows=1)
    running.send("first", Ticket(0.0))
    wait_until(lambda: running.network.begun)
    outputs = [running.send(name, Ticket(1.0), 30.0) for name in ("one", "two")]

    running.release()

    assert [one.result(WAIT_S) for one in outputs] == ["one", "two"]
    assert sorted(running.network.begun[1:]) == [["one"], ["two"]]


@pytest.mark.parametrize(("others", "threads"), [(0, [4, 2]), (1, [2, 1]), (7, [1, 1])])
def test_threads_are_shared_with_the_other_processes_that_compute(others, threads):
    running = Running(SteppedNetwork(), lanes=2, others=others)
    running.send("first", Ticket(0.0))
    wait_until(lambda: len(running.network.threads) == 1)

    running.send("second", Ticket(0.0))
    wait_until(lambda: len(running.network.threads) == 2)
    running.release()

    assert running.network.threads == threads


def test_a_process_of_several_runs_short_calls_one_by_one_but_beside_long_audio():
    running = Running(SteppedNetwork(), lanes=2, most_short=1)
    outputs = [running.send("short", Ticket(0.0)), running.send("next", Ticket(1.0))]
    outputs.append(running.send("long", Ticket(2.0, served_s=100.0)))
    wait_until(lambda: len(running.network.begun) == 1)
    Event().wait(0.05)
    begun = [*running.network.begun]
    running.release()

    assert begun == [["short"]]
    assert [one.result(WAIT_S) for one in outputs] == ["short", "next", "long"]


def test_a_batch_that_fails_is_run_one_by_one():
    running = Running(SteppedNetwork(Batching((5.0,), 20.0), broken="1"))
    running.send("first", Ticket(0.0))
    wait_until(lambda: running.network.begun)
    outputs = [running.send(f"{number}", Ticket(number)) for number in range(3)]

    running.release()

    assert [outputs[0].result(WAIT_S), outputs[2].result(WAIT_S)] == ["0", "2"]
    with pytest.raises(RuntimeError, match="1 at once"):
        outputs[1].result(WAIT_S)


def test_a_cancelled_request_leaves_the_queue_and_gets_nothing_more():
    running = Running(SteppedNetwork())
    ticket = Ticket(0.0)
    running.send("first", Ticket(0.0))
    wait_until(lambda: running.network.begun)
    waiting = running.send("dropped", ticket)

    running.scheduler.cancel(ticket)

    with pytest.raises(RequestCancelledError):
        waiting.result(WAIT_S)
    with pytest.raises(RequestCancelledError):
        TicketQueue(running.scheduler, ticket).run(call("later"))
    running.release()
    assert running.network.begun == [["first"]]


def test_long_audio_leaves_one_of_several_threads_to_short_clips():
    running = Running(SteppedNetwork(), lanes=2)
    long = [Ticket(0.0, served_s=100.0) for _ in range(2)]
    outputs = [running.send(f"long {number}", one) for number, one in enumerate(long)]
    wait_until(lambda: len(running.network.begun) == 1)

    outputs.append(running.send("short", Ticket(50.0)))
    wait_until(lambda: len(running.network.begun) == 2)
    begun = [*running.network.begun]
    running.release()

    assert begun == [["long 0"], ["short"]]
    assert [one.result(WAIT_S) for one in outputs] == ["long 0", "long 1", "short"]


@pytest.mark.parametrize(
    ("served_s", "lanes", "threads"), [(0.0, 2, [4, 2]), (100.0, 2, [3, 2]), (0.0, 4, [4, 2])]
)
def test_a_call_alone_gets_all_threads_and_several_share_them(served_s, lanes, threads):
    running = Running(SteppedNetwork(), lanes)
    outputs = [running.send("first", Ticket(0.0, served_s=served_s))]
    wait_until(lambda: len(running.network.threads) == 1)

    outputs.append(running.send("second", Ticket(0.0)))
    wait_until(lambda: len(running.network.threads) == 2)
    running.release()

    assert [one.result(WAIT_S) for one in outputs] == ["first", "second"]
    assert running.network.threads == threads


def test_batches_run_one_by_one_but_beside_long_audio():
    running = Running(SteppedNetwork(Batching((30.0,), 240.0)), lanes=2)
    outputs = [running.send("long", Ticket(0.0, served_s=100.0))]
    wait_until(lambda: len(running.network.begun) == 1)
    outputs.append(running.send("short", Ticket(0.0)))
    wait_until(lambda: len(running.network.begun) == 2)
    outputs += [running.send(name, Ticket(1.0)) for name in ("next", "with it")]

    running.release()

    assert [one.result(WAIT_S) for one in outputs] == ["long", "short", "next", "with it"]
    assert running.network.begun[:2] == [["long"], ["short"]]
    assert running.network.begun[2] in (["next", "with it"], ["with it", "next"])
    assert running.network.threads[:2] == [3, 2]


def test_the_time_in_the_queue_is_counted():
    running = Running(SteppedNetwork())
    ticket = Ticket(0.0)
    running.send("first", Ticket(0.0))
    wait_until(lambda: running.network.begun)
    waiting = running.send("second", ticket)

    Event().wait(0.05)
    running.release()

    assert waiting.result(WAIT_S) == "second"
    assert 0.05 <= ticket.waited_s < WAIT_S
    assert ticket.served_s == 1.0
