"""Communication between ranks, with threads as ranks and a dictionary as torch's store."""

import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

from gaudi_asr_cli.core.devices import open_device, process_group
from gaudi_asr_cli.core.devices.process_group import join_ranks
from gaudi_asr_cli.core.distributed.ranks import (
    SINGLE_PROCESS,
    STOP_AFTER_STEPS,
    DistributedProcess,
)
from gaudi_asr_cli.core.distributed.world import World, expand_environment, read_world


class DictionaryStore:
    def __init__(self):
        self.values = {}
        self.lock = threading.Lock()

    def set(self, key, value):
        self.values[key] = value

    def get(self, key):
        return self.values[key].encode()

    def check(self, keys):
        return all(key in self.values for key in keys)

    def compare_set(self, key, expected, value):
        with self.lock:
            if self.values.get(key, "") == expected:
                self.values[key] = value


def in_ranks(count, work):
    """Return the results of `work` on so many concurrent ranks."""
    store = DictionaryStore()
    with ThreadPoolExecutor(count) as pool:
        ranks = [DistributedProcess(World(rank, count), store) for rank in range(count)]
        return list(pool.map(work, ranks))


def test_the_first_ranks_value_is_broadcast_to_all():
    made = in_ranks(
        3, lambda ranks: [ranks.broadcast(lambda: [ranks.index, 0.1]) for _ in range(2)]
    )

    assert made == [[[0, 0.1], [0, 0.1]]] * 3


def test_the_first_rank_gathers_the_values_of_all():
    def late(ranks):
        time.sleep(0.05 * ranks.index)
        return ranks.gather({"rank": ranks.index})

    first, *others = in_ranks(3, late)

    assert first == [{"rank": 0}, {"rank": 1}, {"rank": 2}]
    assert others == [[{"rank": 1}], [{"rank": 2}]]


def test_all_ranks_stop_after_the_same_step_for_the_first_request():
    store = DictionaryStore()
    first, second = (DistributedProcess(World(rank, 2), store) for rank in range(2))

    # The second rank gets a signal at step 4, when the first is at step 5; then the first too.
    due = [second.stop_due(4, 2), first.stop_due(5, 15)]
    due += [one.stop_due(4 + STOP_AFTER_STEPS, None) for one in (first, second)]

    assert due == [None, None, 2, 2]


def test_a_single_process_needs_no_communication():
    assert SINGLE_PROCESS.broadcast(lambda: 3) == 3
    assert SINGLE_PROCESS.gather(4) == [4]
    assert SINGLE_PROCESS.stop_due(1, 15) == 15


def test_rank_and_world_size_come_from_the_launchers_environment():
    by_torchrun = {"RANK": "3", "WORLD_SIZE": "8", "LOCAL_RANK": "1"}
    by_mpi = {f"OMPI_COMM_WORLD_{name}": number for name, number in
              (("RANK", "5"), ("SIZE", "8"), ("LOCAL_RANK", "2"))}  # fmt: skip

    assert read_world({}) == World()
    assert read_world({"RANK": "3"}) == World()
    restarted = {**by_torchrun, "TORCHELASTIC_RESTART_COUNT": "1"}
    assert read_world(restarted) == World(3, 8, 1, restarts=1)
    assert read_world(by_mpi) == World(5, 8, 2)
    expand_environment(read_world(by_mpi), by_mpi)
    assert by_mpi["LOCAL_RANK"] == "2"


def test_without_a_launcher_the_device_is_unchanged():
    device = open_device("cpu")

    with join_ranks(device, World()) as same:
        assert same is device


def test_threads_that_wait_for_pythons_lock_run_before_the_group_is_destroyed(monkeypatch):
    # As a thread of gloo that frees a tensor: it needs the lock that the main thread has.
    ended, freed, seen = threading.Semaphore(0), threading.Event(), []

    def free():
        ended.acquire()
        freed.set()

    collectives = SimpleNamespace(
        rendezvous=lambda *_, **__: iter([(None, 0, 2)]),
        PrefixStore=lambda *_: None,
        init_process_group=lambda *_, **__: None,
        destroy_process_group=lambda: seen.append(freed.is_set()),
    )
    monkeypatch.setattr(process_group, "import_module", lambda _: collectives)
    monkeypatch.setattr(process_group, "expand_environment", lambda _: None)
    thread, interval = threading.Thread(target=free), sys.getswitchinterval()
    thread.start()
    # No thread takes the lock from another that does not give it up.
    sys.setswitchinterval(60.0)
    try:
        with join_ranks(open_device("cpu"), World(size=2)):
            ended.release()
    finally:
        sys.setswitchinterval(interval)
        thread.join()

    assert seen == [True]
