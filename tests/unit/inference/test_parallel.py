from __future__ import annotations

import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.tiny_models import save_tiny_model

from gaudi_asr_cli.core.data.audio import LoadedAudio
from gaudi_asr_cli.core.devices.cpu import open_cpu
from gaudi_asr_cli.core.inference.ctc import accelerate
from gaudi_asr_cli.core.inference.parallel import transcribe_in_parallel
from gaudi_asr_cli.core.inference.prefetch import Clip
from gaudi_asr_cli.core.inference.results import TimedResult, report_failure
from gaudi_asr_cli.core.inference.transcribe import transcribe
from gaudi_asr_cli.core.models.ctc.model import open_ctc_model
from gaudi_asr_cli.core.records import AudioSpan, Utterance


def make_clips(count: int, *, long: frozenset[int] = frozenset()) -> list[Clip]:
    return [
        Clip(
            Utterance(str(i), AudioSpan(Path(f"{i}.wav"))),
            np.zeros(1, np.float32),
            is_long=i in long,
        )
        for i in range(count)
    ]


class FakeTranscriber:
    """Delays every second clip; records the thread and the CPU threads of each clip."""

    def __init__(self) -> None:
        self.threads: dict[str, tuple[str, int]] = {}

    def __call__(self, clip: Clip) -> TimedResult:
        name = clip.utterance.id
        time.sleep(0.01 * (int(name) % 2 == 0))
        self.threads[name] = (threading.current_thread().name, torch.get_num_threads())
        return TimedResult(report_failure(clip, "no speech"))


@pytest.fixture
def four_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("count", [0, 1, 3, 4, 5, 11])
def test_results_are_in_the_order_of_clips(count):
    ids = [
        one.done.utterance_id
        for one in transcribe_in_parallel(make_clips(count), FakeTranscriber(), 4)
    ]

    assert ids == [str(i) for i in range(count)]


@pytest.mark.usefixtures("four_threads")
def test_each_clip_has_one_thread_and_the_setting_of_the_caller_is_kept():
    transcriber = FakeTranscriber()
    list(transcribe_in_parallel(make_clips(8), transcriber, 4))

    assert {threads for _, threads in transcriber.threads.values()} == {1}
    assert all(name.startswith("transcribe") for name, _ in transcriber.threads.values())
    assert torch.get_num_threads() == 4


@pytest.mark.usefixtures("four_threads")
def test_remaining_and_long_clips_are_each_transcribed_by_all_threads():
    transcriber = FakeTranscriber()
    list(transcribe_in_parallel(make_clips(9, long=frozenset({5})), transcriber, 4))

    on_main_thread = {
        name for name, (thread, _) in transcriber.threads.items() if thread == "MainThread"
    }
    assert on_main_thread == {"4", "5", "6", "7", "8"}


def test_closing_early_ends_the_threads():
    taken = []

    def endless():
        for clip in make_clips(1000):
            taken.append(clip)
            yield clip

    run = transcribe_in_parallel(endless(), FakeTranscriber(), 4)
    next(run)
    run.close()

    assert len(taken) <= 12
    assert not [one for one in threading.enumerate() if one.name.startswith("transcribe")]


@pytest.mark.usefixtures("four_threads")
def test_packed_model_gives_the_same_texts_in_parallel(tmp_path):
    save_tiny_model(tmp_path / "tiny", "wav2vec2")
    packed = accelerate(open_ctc_model(str(tmp_path / "tiny"), device=open_cpu(), dtype="fp32"))
    random = np.random.default_rng(0)
    samples = {
        f"{i}.wav": random.standard_normal(4_000 + 700 * i).astype(np.float32) for i in range(6)
    }

    def texts() -> list[str]:
        utterances = [Utterance(name, AudioSpan(Path(name))) for name in samples]
        load = lambda span: LoadedAudio(samples[span.path.name], 0.0)  # noqa: E731
        done = transcribe(packed, utterances, load=load)
        return [one.transcript.text for one in done if one.transcript is not None]

    assert packed.parallel == 4
    in_parallel = texts()
    torch.set_num_threads(1)

    assert in_parallel == texts()
    assert len(in_parallel) == len(samples)
