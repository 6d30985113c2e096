from __future__ import annotations

import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.tiny_models import save_tiny_model

from gaudi_asr_cli.core.data.audio import LoadedAudio
from gaudi_asr_cli.core.decoding.greedy import GreedyDecoder
from gaudi_asr_cli.core.devices.cpu import open_cpu
from gaudi_asr_cli.core.inference.parallel import transcribe_in_parallel
from gaudi_asr_cli.core.inference.prefetch import Clip
from gaudi_asr_cli.core.inference.results import TimedResult, name_failure
from gaudi_asr_cli.core.inference.transcribe import transcribe
from gaudi_asr_cli.core.models.cpu.ctc import pack
from gaudi_asr_cli.core.models.ctc.model import open_ctc_model
from gaudi_asr_cli.core.records import AudioSpan, Utterance


def sounds(count: int, *, long: frozenset[int] = frozenset()) -> list[Clip]:
    return [
        Clip(
            Utterance(str(i), AudioSpan(Path(f"{i}.wav"))),
            np.zeros(1, np.float32),
            is_long=i in long,
        )
        for i in range(count)
    ]


class Listeners:
    """Answers late to every second sound; remembers who heard what, on how many CPU threads."""

    def __init__(self) -> None:
        self.heard: dict[str, tuple[str, int]] = {}

    def __call__(self, sound: Clip) -> TimedResult:
        name = sound.utterance.id
        time.sleep(0.01 * (int(name) % 2 == 0))
        self.heard[name] = (threading.current_thread().name, torch.get_num_threads())
        return TimedResult(name_failure(sound, "nothing was said"))


@pytest.fixture
def four_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("count", [0, 1, 3, 4, 5, 11])
def test_every_sound_is_answered_in_order(count):
    answers = [
        one.done.utterance_id for one in transcribe_in_parallel(sounds(count), Listeners(), 4)
    ]

    assert answers == [str(i) for i in range(count)]


@pytest.mark.usefixtures("four_threads")
def test_each_sound_has_a_thread_and_the_caller_keeps_its_own_number():
    parallel = Listeners()
    list(transcribe_in_parallel(sounds(8), parallel, 4))

    assert {threads for _, threads in parallel.heard.values()} == {1}
    assert all(name.startswith("listener") for name, _ in parallel.heard.values())
    assert torch.get_num_threads() == 4


@pytest.mark.usefixtures("four_threads")
def test_what_is_left_over_and_what_is_long_is_heard_by_all_threads_together():
    parallel = Listeners()
    list(transcribe_in_parallel(sounds(9, long=frozenset({5})), parallel, 4))

    alone = {name for name, (thread, _) in parallel.heard.items() if thread == "MainThread"}
    assert alone == {"4", "5", "6", "7", "8"}


def test_a_run_that_is_closed_early_ends_its_threads():
    taken = []

    def endless():
        for sound in sounds(1000):
            taken.append(sound)
            yield sound

    run = transcribe_in_parallel(endless(), Listeners(), 4)
    next(run)
    run.close()

    assert len(taken) <= 12
    assert not [one for one in threading.enumerate() if one.name.startswith("listener")]


@pytest.mark.usefixtures("four_threads")
def test_a_packed_model_hears_the_same_side_by_side(tmp_path):
    save_tiny_model(tmp_path / "tiny", "wav2vec2")
    packed = pack(open_ctc_model(str(tmp_path / "tiny"), device=open_cpu(), dtype="fp32"))
    assert packed is not None
    drawn = np.random.default_rng(0)
    heard = {
        f"{i}.wav": drawn.standard_normal(4_000 + 700 * i).astype(np.float32) for i in range(6)
    }
    decoder = GreedyDecoder(packed.vocabulary)

    def texts() -> list[str]:
        utterances = [Utterance(name, AudioSpan(Path(name))) for name in heard]
        load = lambda span: LoadedAudio(heard[span.path.name], 0.0)  # noqa: E731
        done = transcribe(packed, utterances, decoder, load=load)
        return [one.transcript.text for one in done if one.transcript is not None]

    together = texts()
    torch.set_num_threads(1)

    assert together == texts()
    assert len(together) == len(heard)
