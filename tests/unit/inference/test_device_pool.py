"""Several processes share the work, and the loss of one costs nothing."""

import os
import signal
from functools import partial

import numpy as np
import pytest
import soundfile
from helpers.tiny_corpus import write_corpus
from helpers.tiny_models import save_tiny_model
from hypothesis import given
from hypothesis import strategies as st

from gaudi_asr_cli.core.devices import open_device
from gaudi_asr_cli.core.errors import AsrError, DataError
from gaudi_asr_cli.core.events import Noticed
from gaudi_asr_cli.core.inference import work_queue
from gaudi_asr_cli.core.inference.device_pool import DevicePool, PoolRequest
from gaudi_asr_cli.core.inference.options import InferenceOptions
from gaudi_asr_cli.core.inference.recognizer import open_recognizer
from gaudi_asr_cli.core.inference.transcribe import transcribe
from gaudi_asr_cli.core.inference.work_queue import MIN_CHUNK_S, WorkQueue, estimate_durations
from gaudi_asr_cli.core.records import AudioSpan, Utterance

OPTIONS = InferenceOptions(dtype="fp32")


def take_all(queue):
    chunks = []
    while chunk := queue.take():
        chunks.append(chunk)
    return chunks


@given(st.lists(st.floats(0, 5000), max_size=60), st.integers(1, 8))
def test_every_utterance_is_taken_once(durations_s, processes):
    chunks = take_all(WorkQueue(durations_s, processes))

    numbers = [number for chunk in chunks for number in chunk]
    assert sorted(numbers) == list(range(len(durations_s)))


@pytest.mark.parametrize("processes", [2, 3, 8])
def test_processes_of_one_speed_end_at_about_the_same_time(processes):
    durations_s = [3.0 + number % 7 for number in range(3000)]
    durations_s[2500] = 300.0
    queue, busy_s = WorkQueue(durations_s, processes), [0.0] * processes

    for chunk in iter(queue.take, ()):
        busy_s[busy_s.index(min(busy_s))] += sum(durations_s[number] for number in chunk)

    assert max(busy_s) - min(busy_s) <= MIN_CHUNK_S + max(durations_s[:2500])


@pytest.mark.parametrize("utterances", [40, 150])
def test_a_slow_process_holds_no_chunk_ahead_that_a_fast_one_could_take(utterances):
    durations_s, least_s, speeds = [3.0] * utterances, 24.0, (1.0, 3.0)
    queue = WorkQueue(durations_s, 2, least_s)
    held, ends_s = [[], []], [0.0, 0.0]

    def feed(process):
        while len(held[process]) < (1 if queue.is_ending else 2) and (chunk := queue.take()):
            held[process].append(sum(durations_s[number] for number in chunk) * speeds[process])

    for process in (0, 1, 0, 1):
        feed(process)
    while any(held):
        working = [process for process in (0, 1) if held[process]]
        first = min(working, key=lambda one: ends_s[one] + held[one][0])
        ends_s[first] += held[first].pop(0)
        feed(first)

    assert abs(ends_s[0] - ends_s[1]) <= least_s + 3.0


def test_work_that_is_given_back_is_taken_next_one_by_one_or_together():
    queue = WorkQueue([1.0] * 200, 2)
    first, second = queue.take(), queue.take()

    queue.give_back(second, alone=False)
    queue.give_back(first, alone=True)

    assert [queue.take() for _ in first] == [(number,) for number in first]
    assert queue.take()[:1] == second[:1]
    assert max(n for chunk in [first, second, *take_all(queue)] for n in chunk) == 199


def test_lengths_are_those_of_headers_or_else_go_by_size(tmp_path, monkeypatch):
    for name, size in (("a", 100), ("b", 300)):
        (tmp_path / name).write_bytes(b"0" * size)
    spans = [AudioSpan(tmp_path / name) for name in ("a", "b", "gone")]
    known = AudioSpan(tmp_path / "a", duration_s=7.0)
    utterances = [Utterance(str(number), one) for number, one in enumerate([*spans, known])]

    def read(span):
        if span.path.name != "a":
            raise DataError("no header", remedy="")
        return 2.0

    monkeypatch.setattr(work_queue, "read_duration_s", read)

    assert estimate_durations(utterances) == [2.0, 6.0, 0.0, 7.0]
    assert estimate_durations(utterances, budget_s=-1) == [100.0, 300.0, 0.0, 7.0]


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    """Return a model, utterances, and the result of each in one process."""
    root = tmp_path_factory.mktemp("pool")
    model = str(save_tiny_model(root / "model"))
    write_corpus(root / "corpus", utterances=12)
    paths = [*sorted((root / "corpus").glob("*.wav")), root / "gone.wav"]
    names = [f"{number}/{path.stem}" for number in range(8) for path in paths]
    utterances = [
        Utterance(one, AudioSpan(path)) for one, path in zip(names, paths * 8, strict=True)
    ]
    recognizer = open_recognizer(model, open_device("cpu"), OPTIONS)
    return model, utterances, list(transcribe(recognizer, utterances))


def content(results):
    """Return what results say; confidence to 1e-3, as rounding depends on the number of threads."""
    return [
        (
            one.utterance_id,
            one.error,
            None if one.transcript is None else one.transcript.text,
            []
            if one.transcript is None
            else [
                (word.word, word.start_s, word.end_s, pytest.approx(word.confidence, abs=1e-3))
                for word in one.transcript.words
            ],
        )
        for one in results
    ]


def opened_pool(model, count, **more):
    return DevicePool(PoolRequest(count, "cpu", "auto", model, OPTIONS, **more))


def kill(worker):
    if worker.process.poll() is None:
        os.kill(worker.process.pid, signal.SIGKILL)
        worker.process.wait()


def test_texts_and_times_are_those_of_one_process_also_if_one_is_killed(work):
    model, utterances, alone = work
    notices = []

    with opened_pool(model, 2) as pool:
        shared = list(pool.transcribe(utterances))
        results = pool.transcribe(utterances, observe=notices.append)
        first = next(results)
        killed = pool._workers[0].process.pid
        kill(pool._workers[0])
        rest = list(results)

    assert content(shared) == content(alone)
    assert content([first, *rest]) == content(alone)
    messages = [one.message for one in notices if isinstance(one, Noticed)]
    assert any(f"Process {killed} on device 0 was killed by SIGKILL" in one for one in messages)


@pytest.mark.slow
def test_an_utterance_that_ends_two_processes_is_given_up_and_nothing_else(work, tmp_path):
    model, utterances, alone = work
    # Long enough to be in progress when another result comes.
    noise = 0.1 * np.random.default_rng(0).standard_normal(500 * 16_000)
    soundfile.write(tmp_path / "long.wav", noise, 16_000)
    utterances = [*utterances, Utterance("bad", AudioSpan(tmp_path / "long.wav"))]
    bad = len(utterances) - 1
    with opened_pool(model, 3) as pool:
        found = {}
        for done in pool.transcribe(utterances, ordered=False):
            found.setdefault(done.utterance_id, []).append(done)
            holders = [one for one in pool._workers if one.chunks and bad in one.chunks[0]]
            if holders and len(pool._workers) > 1:
                kill(holders[0])
        assert "each process that transcribed it has ended" in found.pop("bad")[0].error
        order = [found[one.utterance_id].pop(0).utterance_id for one in alone]
        assert order == [one.utterance_id for one in alone]
        assert not any(found.values())

        kill(pool._workers[0])
        with pytest.raises(AsrError, match="no other is left") as error:
            list(pool.transcribe(utterances))

    assert "--resume" in error.value.remedy


@pytest.mark.slow
def test_an_error_of_opening_is_that_of_one_process(work, tmp_path):
    (tmp_path / "empty").mkdir()
    opening = partial(open_recognizer, str(tmp_path / "empty"), open_device("cpu"))
    with pytest.raises(DataError) as alone:
        opening()

    with pytest.raises(AsrError) as shared, opened_pool(str(tmp_path / "empty"), 2):
        pass

    assert (shared.value.message, shared.value.exit_code) == (alone.value.message, 4)
