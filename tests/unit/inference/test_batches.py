import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from helpers.fake_models import name_utterances
from helpers.tiny_models import save_tiny_model

from gaudi_asr_cli.core.data.audio import LoadedAudio
from gaudi_asr_cli.core.data.buckets import Batching
from gaudi_asr_cli.core.decoding import GreedyDecoder
from gaudi_asr_cli.core.devices.copies import HostCopier
from gaudi_asr_cli.core.devices.cpu import CpuDevice
from gaudi_asr_cli.core.errors import DataError, MachineError
from gaudi_asr_cli.core.events import Noticed
from gaudi_asr_cli.core.inference.batched import BatchedModel
from gaudi_asr_cli.core.inference.ctc import InferenceOptions, accelerate
from gaudi_asr_cli.core.inference.transcribe import transcribe, transcribe_timed
from gaudi_asr_cli.core.models.ctc.model import open_ctc_model

SECOND = 16_000
LENGTHS = (9000, 33_000, 4100, 16_000, 700, 21_000, 12_345, 40_000)
PLAIN_CPU = CpuDevice(frozenset(), "a test's CPU")
BATCHING_CPU = replace(PLAIN_CPU, prefers_batching=True)
COMPILING_CPU = replace(BATCHING_CPU, recompiles_on_new_shapes=True)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    return {
        "base": save_tiny_model(tmp_path_factory.mktemp("base"), "wav2vec2"),
        "large": save_tiny_model(tmp_path_factory.mktemp("large"), "wav2vec2-layer-norm"),
    }


@pytest.fixture
def open_model(folders):
    def open_(shape, device=PLAIN_CPU):
        return open_ctc_model(str(folders[shape]), device=device, dtype="fp32")

    return open_


class Sounds:
    """Noise of given lengths by the name of the file; remembers how much is held at once."""

    def __init__(self, lengths):
        self.lengths = lengths
        self.loaded = []
        self.lock = threading.Lock()

    @property
    def utterances(self):
        return name_utterances(*map(str, range(len(self.lengths))))

    def __call__(self, span):
        number = int(span.path.name)
        with self.lock:
            self.loaded.append(number)
        length = self.lengths[number]
        if isinstance(length, BaseException):
            raise length
        noise = np.random.default_rng(number).standard_normal(length)
        return LoadedAudio((0.1 * noise).astype(np.float32))


def transcribe_clips(listener, vocabulary, sounds, **arguments):
    return list(
        transcribe(listener, sounds.utterances, GreedyDecoder(vocabulary), load=sounds, **arguments)
    )


def texts(done):
    return [one.transcript.text for one in done]


@pytest.mark.parametrize("shape", ["base", "large"])
@pytest.mark.parametrize(
    ("device", "buckets", "batch_s"),
    [
        (BATCHING_CPU, 1, 0.7),
        (BATCHING_CPU, 1, 60.0),
        (COMPILING_CPU, 1, 40.0),
        (COMPILING_CPU, 3, 5.0),
        (COMPILING_CPU, 5, 0.7),
    ],
)
def test_the_text_does_not_depend_on_batch_bucket_or_padding(
    open_model, shape, device, buckets, batch_s
):
    sounds = Sounds(LENGTHS)
    single = open_model(shape)
    batched = accelerate(
        open_model(shape, device), InferenceOptions(batch_s=batch_s, buckets=buckets)
    )

    alone = transcribe_clips(single, single.vocabulary, sounds)
    together = transcribe_clips(batched, single.vocabulary, sounds)

    assert isinstance(batched, BatchedModel)
    assert any(texts(alone))
    assert texts(together) == texts(alone)
    assert [one.utterance_id for one in together] == [one.utterance_id for one in alone]
    assert [one.duration_s for one in together] == [one.duration_s for one in alone]


@pytest.mark.parametrize("shape", ["base", "large"])
def test_the_packed_model_writes_the_same_text(open_model, shape):
    sounds = Sounds(LENGTHS)
    single = open_model(shape)
    packed = accelerate(open_model(shape))

    assert type(packed).__name__ == "PackedCtcModel"
    assert texts(transcribe_clips(packed, packed.vocabulary, sounds)) == texts(
        transcribe_clips(single, single.vocabulary, sounds)
    )


def test_a_device_that_compiles_meets_few_shapes(open_model):
    shapes = set()
    listener = accelerate(
        open_model("base", COMPILING_CPU), InferenceOptions(batch_s=3.0, edges_s=(1.0, 2.6))
    )
    network = listener.model.network
    forward = network.forward

    def remember(**inputs):
        shapes.add(tuple(inputs["input_values"].shape))
        return forward(**inputs)

    network.forward = remember
    transcribe_clips(listener, listener.vocabulary, Sounds(LENGTHS))

    # A frame more than the edge, so that a mask is never all ones.
    frame = listener.geometry.frame_samples
    assert shapes == {(3, 16_000 + frame), (1, 41_600 + frame)}


def test_a_model_that_cannot_be_padded_is_heard_one_by_one(tmp_path):
    folder = save_tiny_model(tmp_path, "data2vec-audio")
    model = open_ctc_model(str(folder), device=BATCHING_CPU, dtype="fp32")

    assert not isinstance(accelerate(model), BatchedModel)


def test_graphs_that_are_wanted_and_cannot_be_had_are_an_error(open_model):
    with pytest.raises(MachineError, match="graphs"):
        accelerate(open_model("base", BATCHING_CPU), InferenceOptions(graphs=True))


def test_an_utterance_that_cannot_be_loaded_costs_only_itself(open_model):
    sounds = Sounds((9000, DataError("broken", remedy=""), 4000, OSError("disk"), 5000))
    listener = accelerate(open_model("large", BATCHING_CPU))

    done = transcribe_clips(listener, listener.vocabulary, sounds)

    assert [one.error for one in done] == [None, "broken", None, "disk", None]


class FailingModel(BatchedModel):
    """Fails on batches of several, and on the sound of 5000 samples."""

    def start(self, prepared):
        lengths = prepared.batch.lengths.tolist()
        if len(lengths) > 1 or 5000 in lengths:
            raise RuntimeError("out of memory\nmore")
        return super().start(prepared)


def make_failing(open_model, kind=FailingModel):
    model = accelerate(open_model("large", BATCHING_CPU))
    return kind(model.model, HostCopier(), Batching((), 60.0))


def test_a_batch_that_fails_is_heard_one_by_one(open_model):
    sounds = Sounds((9000, 5000, 4000))
    model = make_failing(open_model)

    done = transcribe_clips(model, model.vocabulary, sounds)

    assert [one.error for one in done] == [None, "out of memory", None]


def test_a_bug_is_not_taken_for_a_bad_batch_and_ends_the_threads(open_model):
    class Buggy(BatchedModel):
        def start(self, prepared):
            raise TypeError("a bug")

    model = make_failing(open_model, Buggy)

    with pytest.raises(TypeError, match="a bug"):
        transcribe_clips(model, model.vocabulary, Sounds(LENGTHS))
    assert engine_threads() == []


def engine_threads():
    names = ("read-ahead", "prepare-batches", "write-text")
    return [one.name for one in threading.enumerate() if one.name.startswith(names)]


def test_an_interrupt_ends_all_threads_and_the_reading(open_model):
    class Interrupted(BatchedModel):
        def start(self, prepared):
            raise KeyboardInterrupt

    model = make_failing(open_model, Interrupted)
    sounds = Sounds((5 * SECOND,) * 2000)

    with pytest.raises(KeyboardInterrupt):
        transcribe_clips(model, model.vocabulary, sounds)
    assert engine_threads() == []
    assert len(sounds.loaded) < 1000


def test_stopping_early_ends_all_threads(open_model):
    model = accelerate(open_model("large", BATCHING_CPU), InferenceOptions(batch_s=2.0))
    sounds = Sounds((SECOND,) * 3000)
    heard = transcribe(model, sounds.utterances, GreedyDecoder(model.vocabulary), load=sounds)

    next(heard)
    heard.close()

    assert engine_threads() == []
    assert len(sounds.loaded) < 1000


def test_what_the_source_raises_comes_after_what_was_read(open_model):
    model = accelerate(open_model("large", BATCHING_CPU))
    sounds = Sounds((9000, 4000))

    def manifest():
        yield from sounds.utterances
        raise DataError("line 3 is broken", remedy="")

    heard = transcribe(model, manifest(), GreedyDecoder(model.vocabulary), load=sounds)

    assert [next(heard).error, next(heard).error] == [None, None]
    with pytest.raises(DataError, match="line 3"):
        next(heard)


def test_a_long_sound_among_short_ones_keeps_its_place(open_model):
    sounds = Sounds((9000, 31 * SECOND, 4000))
    single = open_model("large")
    model = accelerate(open_model("large", COMPILING_CPU))

    done = transcribe_clips(model, model.vocabulary, sounds)

    assert texts(done) == texts(transcribe_clips(single, single.vocabulary, sounds))


def test_what_batches_hold_is_bounded_however_many_files_there_are(open_model, monkeypatch):
    monkeypatch.setattr("gaudi_asr_cli.core.inference.transcribe.READ_AHEAD_S", 10.0)
    model = accelerate(open_model("large", BATCHING_CPU), InferenceOptions(batch_s=2.0))
    sounds = Sounds((SECOND,) * 400)
    most = 0

    for number, _ in enumerate(
        transcribe(model, sounds.utterances, GreedyDecoder(model.vocabulary), load=sounds)
    ):
        most = max(most, len(sounds.loaded) - number)

    # A window of 16 s being cut, one being heard, 10 s that wait, eight in the readers' hands.
    assert len(sounds.loaded) == 400
    assert most < 60


def test_sound_that_is_missing_is_told(open_model):
    model = accelerate(open_model("large", BATCHING_CPU))
    events = []

    def load(span):
        return LoadedAudio(np.ones(SECOND, np.float32), lost_s=1.5)

    list(
        transcribe(
            model,
            name_utterances("a"),
            GreedyDecoder(model.vocabulary),
            load=load,
            observe=events.append,
        )
    )

    assert [type(one) for one in events] == [Noticed]


def test_timings_say_what_was_padded(open_model):
    model = accelerate(
        open_model("large", COMPILING_CPU), InferenceOptions(batch_s=4.0, edges_s=(1.0, 2.0))
    )
    sounds = Sounds((8000, 24_000))

    heard = list(
        transcribe_timed(model, sounds.utterances, GreedyDecoder(model.vocabulary), load=sounds)
    )

    assert [one.timing.padded_s for one in heard] == pytest.approx([4.0, 4.0], abs=0.03)
    assert all(one.timing.compute_s > 0 for one in heard)
    assert Path(heard[0].done.path).name == "0"
