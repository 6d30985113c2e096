import threading
from contextlib import contextmanager

import numpy as np
import pytest
import torch

from gaudi_asr_cli.core.devices.copies import MAX_STREAMS, HostCopier, StreamCopier


class FakeEvent:
    def __init__(self, accelerator, name):
        self.accelerator, self.name = accelerator, name

    def synchronize(self):
        self.accelerator.log.append(("wait", self.name, threading.get_ident()))


class FakeStream:
    def __init__(self, accelerator):
        self.accelerator = accelerator
        self.name = f"s{accelerator.streams}"
        accelerator.streams += 1

    def wait_stream(self, other):
        self.accelerator.log.append(("after", self.name, other.name))

    def record_event(self):
        return FakeEvent(self.accelerator, self.name)


class FakeAccelerator:
    """The common interface of torch.cuda and torch.hpu; copies are synchronous and recorded."""

    def __init__(self):
        self.streams, self.pinned, self.flushed = 0, 0, 0
        self.log, self.entered = [], []
        self.default = FakeStream(self)
        self.streams = 0

    def Stream(self):  # noqa: N802 - torch's name
        return FakeStream(self)

    def current_stream(self):
        return self.default

    @contextmanager
    def stream(self, stream):
        self.entered.append((stream.name, threading.get_ident()))
        yield

    def pin(self, tensor):
        self.pinned += 1
        return tensor

    def flush(self):
        self.flushed += 1


@pytest.fixture
def accelerator():
    return FakeAccelerator()


@pytest.fixture
def copier(accelerator):
    return StreamCopier(accelerator, accelerator.pin, accelerator.flush)


def test_many_pending_copies_keep_their_values_on_a_few_streams(accelerator, copier):
    sources = [torch.full((3, 2), float(number)) for number in range(11)]

    pending = [copier.start(source) for source in sources]

    for number, copy in enumerate(pending):
        np.testing.assert_array_equal(copy.wait(), np.full((3, 2), number, np.float32))
    assert accelerator.streams == MAX_STREAMS
    assert accelerator.pinned == MAX_STREAMS


def test_a_copy_waits_for_work_queued_before_it(accelerator, copier):
    copier.start(torch.zeros(2))

    assert accelerator.flushed == 1
    assert accelerator.log == [("after", "s0", "s0")]


def test_other_threads_wait_for_events_and_enter_no_stream(accelerator, copier):
    copy = copier.start(torch.arange(4.0))
    found = []

    thread = threading.Thread(target=lambda: found.append(copy.wait()))
    thread.start()
    thread.join()

    assert found[0].tolist() == [0, 1, 2, 3]
    assert [one[2] for one in accelerator.log if one[0] == "wait"] == [thread.ident]
    assert {ident for _, ident in accelerator.entered} == {threading.get_ident()}


def test_waiting_twice_waits_once(accelerator, copier):
    copy = copier.start(torch.ones(1))

    assert copy.wait() is copy.wait()
    assert len([one for one in accelerator.log if one[0] == "wait"]) == 1


def test_only_the_creating_thread_may_start_copies(copier):
    caught = []

    def start():
        try:
            copier.start(torch.ones(1))
        except RuntimeError as error:
            caught.append(str(error))

    thread = threading.Thread(target=start)
    thread.start()
    thread.join()

    assert "by the thread that created it" in caught[0]


@pytest.mark.parametrize("shapes", [[(2, 3), (4, 5)], [(4, 5), (2, 3)]])
def test_buffers_grow_and_are_reused_for_any_shape(copier, shapes):
    for shape in shapes * MAX_STREAMS:
        source = torch.rand(shape)

        assert np.array_equal(copier.start(source).wait(), source.numpy())


def test_another_dtype_gets_a_new_buffer(copier):
    for _ in range(MAX_STREAMS):
        copier.start(torch.ones(4)).wait()

    assert copier.start(torch.tensor([True, False])).wait().tolist() == [True, False]


def test_all_copiers_of_a_process_share_its_streams(accelerator):
    for _ in range(3):
        StreamCopier(accelerator, accelerator.pin, accelerator.flush).start(torch.ones(1)).wait()

    assert accelerator.streams == MAX_STREAMS


def test_buffers_allocated_in_inference_mode_can_be_reused_outside_of_it(copier):
    with torch.inference_mode():
        for _ in range(MAX_STREAMS):
            copier.start(torch.ones(2)).wait()

    assert copier.start(torch.zeros(2)).wait().tolist() == [0, 0]


def test_a_cpu_tensor_needs_no_copy():
    source = torch.arange(3.0)

    assert HostCopier().start(source).wait().tolist() == [0, 1, 2]
