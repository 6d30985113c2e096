import threading
import time

import numpy as np
import pytest
import soundfile
from helpers.audio_files import mux, speech
from helpers.fake_models import FakeLoader, FakeModel, fake_recognizer, name_utterances
from helpers.tiny_models import make_batch, save_tiny_model

from gaudi_asr_cli.core.data.audio import LoadedAudio
from gaudi_asr_cli.core.decoding.greedy import GreedyDecoder
from gaudi_asr_cli.core.devices.cpu import CpuDevice
from gaudi_asr_cli.core.errors import DataError
from gaudi_asr_cli.core.events import Noticed
from gaudi_asr_cli.core.inference.chunks import infer_chunks
from gaudi_asr_cli.core.inference.ctc import CtcRecognizer
from gaudi_asr_cli.core.inference.prefetch import ReadAhead
from gaudi_asr_cli.core.inference.recognizer import batch_one
from gaudi_asr_cli.core.inference.timing import PhaseClock
from gaudi_asr_cli.core.inference.transcribe import transcribe
from gaudi_asr_cli.core.models.ctc.model import open_ctc_model
from gaudi_asr_cli.core.records import AudioSpan, Utterance, Vocabulary

SECOND = 16_000


def run(loader, *names, model=None, **arguments):
    recognizer = fake_recognizer(model)
    return transcribe(recognizer, name_utterances(*names), load=loader, **arguments)


def reader_threads():
    return [thread for thread in threading.enumerate() if thread.name == "read-ahead"]


def test_results_are_in_order_with_text_and_duration():
    done = list(run(FakeLoader({"b": 2 * SECOND, "a": SECOND}), "b", "a"))

    assert [one.utterance_id for one in done] == ["b", "a"]
    assert [one.transcript.text for one in done] == ["100 frames of 1", "50 frames of 1"]
    assert [one.duration_s for one in done] == [2.0, 1.0]


def test_loading_error_affects_only_its_own_utterance():
    broken = DataError("bad.wav: the file is empty.", remedy="")
    loader = FakeLoader({"a": SECOND, "bad": broken, "gone": OSError("disk"), "b": SECOND})

    done = list(run(loader, "a", "bad", "gone", "b"))

    assert [one.error for one in done] == [None, "bad.wav: the file is empty.", "disk", None]
    assert [one.transcript is None for one in done] == [False, True, True, False]


def test_network_error_affects_only_its_own_utterance():
    model = FakeModel(fails_on={"big": RuntimeError("out of memory\nstack"), "z": MemoryError()})
    loader = FakeLoader({"a": SECOND, "big": SECOND, "z": SECOND, "b": SECOND})

    done = list(run(loader, "a", "big", "z", "b", model=model))

    assert [one.error for one in done] == [None, "out of memory", "MemoryError", None]


def test_bug_in_the_model_is_raised():
    model = FakeModel(fails_on={"a": TypeError("a bug")})

    with pytest.raises(TypeError, match="a bug"):
        list(run(FakeLoader({"a": SECOND}), "a", model=model))
    assert reader_threads() == []


def test_output_that_is_not_finite_is_an_error():
    def load_infinite(span):
        return LoadedAudio(np.full(SECOND, np.inf, dtype=np.float32))

    (done,) = run(load_infinite, "a")

    assert "not finite" in done.error


def test_error_of_the_source_is_raised_after_the_results_before_it():
    def manifest():
        yield from name_utterances("a")
        raise DataError("line 2 is broken", remedy="Fix it.")

    results = transcribe(fake_recognizer(), manifest(), load=FakeLoader({"a": SECOND}))

    assert next(results).error is None
    with pytest.raises(DataError, match="line 2"):
        next(results)


def test_audio_shorter_than_its_header_is_reported():
    events = []

    def load_damaged(span):
        return LoadedAudio(np.ones(SECOND, dtype=np.float32), lost_s=2.5)

    list(run(load_damaged, "a.wav", observe=events.append))

    assert [type(event) for event in events] == [Noticed]
    assert "a.wav: 2.50 s" in events[0].message


def test_channels_of_opposite_phase_are_reported_once_for_a_file(tmp_path):
    path, ramp = tmp_path / "a.wav", np.linspace(-0.5, 0.5, SECOND, dtype=np.float32)
    soundfile.write(path, np.stack([ramp, -ramp], axis=1), 16_000)
    spans = [AudioSpan(path), AudioSpan(path, 0.0, 0.5), AudioSpan(path, 0.5, 0.5)]
    utterances = [Utterance(str(i), span) for i, span in enumerate(spans)]
    events = []

    list(transcribe(fake_recognizer(), utterances, observe=events.append))

    assert [event.message for event in events] == [
        f"{path}: its channels have opposite phase and cancel each other: channel 0 alone is read."
    ]


def test_several_tracks_of_a_long_file_are_reported(tmp_path, monkeypatch):
    made = mux(tmp_path / "a.mkv", "pcm_s16le", speech(1.0), languages=("eng", "deu"))
    monkeypatch.setattr("gaudi_asr_cli.core.inference.transcribe.LONG_S", 0.5)
    recognizer = CtcRecognizer(FakeModel(), GreedyDecoder(Vocabulary(("a", "_"), blank=1)))
    events = []

    (done,) = transcribe(recognizer, [Utterance("a", AudioSpan(made.path))], observe=events.append)

    assert done.duration_s == 1.0
    assert "it has 2 audio tracks (0: eng, 1: deu); track 0 is read" in events[0].message


def test_nothing_is_read_before_the_first_result_is_requested():
    loader = FakeLoader({"a": SECOND})

    run(loader, "a")

    assert loader.loaded == []


def test_closing_early_ends_the_reading():
    loader = FakeLoader(dict.fromkeys(map(str, range(1000)), 60 * SECOND))
    results = run(loader, *loader.clips)

    next(results)
    results.close()

    assert reader_threads() == []
    assert len(loader.loaded) < 20


def test_interrupt_during_inference_ends_the_reading():
    model = FakeModel(fails_on={"3": KeyboardInterrupt()})
    loader = FakeLoader(dict.fromkeys(map(str, range(1000)), 60 * SECOND))

    with pytest.raises(KeyboardInterrupt):
        list(run(loader, *loader.clips, model=model))

    assert reader_threads() == []
    assert len(loader.loaded) < 20


def test_reading_is_ahead_of_the_network_within_the_budget():
    loader = FakeLoader(dict.fromkeys(map(str, range(100)), SECOND))
    ahead = ReadAhead(name_utterances(*loader.clips), loader, PhaseClock(), 10 * SECOND)

    with ahead as clips:
        next(iter(clips))
        deadline = time.monotonic() + 5
        while len(loader.loaded) < 12 and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(0.05)
        read = len(loader.loaded)

    # One was taken, ten are queued, and one is being read.
    assert read == 12


def test_clip_longer_than_the_budget_is_still_read():
    loader = FakeLoader({"a": 20 * SECOND, "b": 20 * SECOND})

    with ReadAhead(name_utterances("a", "b"), loader, PhaseClock(), SECOND) as clips:
        assert [len(clip.samples) for clip in clips] == [20 * SECOND] * 2


def test_long_audio_is_chunked_and_gives_one_transcript():
    model = FakeModel()

    (done,) = run(FakeLoader({"a": 100 * SECOND}), "a", model=model)

    assert done.transcript.text == "5000 frames of 1"
    assert max(model.transcribed_samples) <= 20 * SECOND


def test_chunked_emissions_nearly_equal_those_of_the_whole_audio(tmp_path):
    model = open_ctc_model(
        str(save_tiny_model(tmp_path, "wav2vec2-layer-norm")),
        device=CpuDevice(frozenset(), "a test's CPU"),
        dtype="fp32",
    )
    batch = make_batch([45 * SECOND + 777])

    whole = model.emissions(batch)
    parts = infer_chunks(
        lambda samples: model.emissions(batch_one(samples, batch.utterances[0])),
        [batch.samples[0]],
        model.geometry,
    )
    chunked = np.concatenate([part.log_probs for part in parts], axis=1)

    assert [chunked.shape[1]] == whole.frames.tolist()
    agreement = chunked.argmax(2) == whole.log_probs.argmax(2)
    assert agreement.mean() > 0.95


def test_clock_counts_the_time_of_each_phase():
    clock = PhaseClock()

    list(run(FakeLoader({"a": SECOND}), "a", clock=clock))

    assert set(clock.phases_s) == {"decode_audio", "compute", "text"}
    assert all(seconds > 0 for seconds in clock.phases_s.values())


def test_word_times_of_a_span_are_on_the_clock_of_its_file(tmp_path):
    from dataclasses import replace

    model = open_ctc_model(
        str(save_tiny_model(tmp_path)), device=CpuDevice(frozenset(), "x"), dtype="fp32"
    )
    (utterance,) = name_utterances("a")
    later = replace(utterance, audio=replace(utterance.audio, start_s=100.0))
    batch = make_batch([SECOND])

    def load(span):
        return LoadedAudio(batch.samples[0])

    recognizer = CtcRecognizer(model, GreedyDecoder(model.vocabulary))
    at_start, in_file = transcribe(recognizer, [utterance, later], load=load)

    starts = [word.start_s for word in at_start.transcript.words]
    assert starts
    assert [w.start_s - 100 for w in in_file.transcript.words] == pytest.approx(starts)
