import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from helpers.fake_models import name_utterances
from helpers.slow_decoder import BATCHES, STEP_S, measure_overlap
from helpers.tiny_models import save_tiny_model

from gaudi_asr_cli.core.data.audio import LoadedAudio
from gaudi_asr_cli.core.data.buckets import Batching
from gaudi_asr_cli.core.decoding.greedy import GreedyDecoder
from gaudi_asr_cli.core.decoding.lm.arpa import write_arpa
from gaudi_asr_cli.core.decoding.lm.kneser_ney import estimate_kneser_ney
from gaudi_asr_cli.core.devices.cpu import CpuDevice
from gaudi_asr_cli.core.errors import DataError, MachineError
from gaudi_asr_cli.core.events import Noticed
from gaudi_asr_cli.core.inference.ctc import (
    BatchedCtcRecognizer,
    CtcRecognizer,
    accelerate,
)
from gaudi_asr_cli.core.inference.options import InferenceOptions
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


class NoiseLoader:
    """Loads noise of given lengths by file name, and records which files were loaded."""

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


def transcribe_clips(recognizer, loader):
    return list(transcribe(recognizer, loader.utterances, load=loader))


def unbatched(model):
    return CtcRecognizer(model, GreedyDecoder(model.vocabulary))


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
def test_text_does_not_depend_on_batch_bucket_or_padding(
    open_model, shape, device, buckets, batch_s
):
    loader = NoiseLoader(LENGTHS)
    single = unbatched(open_model(shape))
    batched = accelerate(
        open_model(shape, device), InferenceOptions(batch_s=batch_s, buckets=buckets)
    )

    expected = transcribe_clips(single, loader)
    results = transcribe_clips(batched, loader)

    assert batched.backend == "batched"
    assert any(texts(expected))
    assert texts(results) == texts(expected)
    assert [one.utterance_id for one in results] == [one.utterance_id for one in expected]
    assert [one.duration_s for one in results] == [one.duration_s for one in expected]


def test_a_search_with_a_language_model_does_not_depend_on_batches(open_model, tmp_path):
    lm = tmp_path / "lm.arpa"
    write_arpa(estimate_kneser_ney([["a", "ab"], ["ab", "cab"], ["bad", "a"]], 2).model, lm)
    options = InferenceOptions(
        lm=str(lm), beams=20, hotwords=("bad",), n_best=3, batch_s=3.0, buckets=2
    )
    loader = NoiseLoader(LENGTHS)

    found = [
        transcribe_clips(accelerate(open_model("large", device), options), loader)
        for device in (PLAIN_CPU, BATCHING_CPU, COMPILING_CPU)
    ]

    assert any(texts(found[0]))
    assert texts(found[1]) == texts(found[2]) == texts(found[0])
    n_best = [[[one.text for one in done.transcript.n_best] for done in one] for one in found]
    assert n_best[1] == n_best[2] == n_best[0]


@pytest.mark.parametrize("shape", ["base", "large"])
def test_packed_model_transcribes_the_same_text(open_model, shape):
    loader = NoiseLoader(LENGTHS)
    single = unbatched(open_model(shape))
    packed = accelerate(open_model(shape))

    assert packed.backend == "packed"
    assert texts(transcribe_clips(packed, loader)) == texts(transcribe_clips(single, loader))


def test_static_shapes_on_a_compiling_device_are_few(open_model):
    shapes = set()
    model = accelerate(
        open_model("base", COMPILING_CPU), InferenceOptions(batch_s=3.0, edges_s=(1.0, 2.6))
    )
    network = model.model.network
    forward = network.forward

    def record(**inputs):
        shapes.add(tuple(inputs["input_values"].shape))
        return forward(**inputs)

    network.forward = record
    transcribe_clips(model, NoiseLoader(LENGTHS))

    # A frame more than the edge, so that a mask is never all ones.
    frame = model.model.geometry.frame_samples
    assert shapes == {(3, 16_000 + frame), (1, 41_600 + frame)}


def test_model_that_is_not_padding_invariant_is_not_batched(tmp_path):
    folder = save_tiny_model(tmp_path, "data2vec-audio")
    model = open_ctc_model(str(folder), device=BATCHING_CPU, dtype="fp32")

    assert accelerate(model).backend == "transformers"


def test_requested_graphs_without_device_support_are_an_error(open_model):
    with pytest.raises(MachineError, match="graphs"):
        accelerate(open_model("base", BATCHING_CPU), InferenceOptions(graphs=True))


def test_loading_error_affects_only_its_own_utterance(open_model):
    loader = NoiseLoader((9000, DataError("broken", remedy=""), 4000, OSError("disk"), 5000))
    model = accelerate(open_model("large", BATCHING_CPU))

    done = transcribe_clips(model, loader)

    assert [one.error for one in done] == [None, "broken", None, "disk", None]


class FailingRecognizer(BatchedCtcRecognizer):
    """Fails on batches of several clips, and on the clip of 5000 samples."""

    def start(self, prepared):
        lengths = prepared.batch.lengths.tolist()
        if len(lengths) > 1 or 5000 in lengths:
            raise RuntimeError("out of memory\nmore")
        return BatchedCtcRecognizer.start(self, prepared)


def make_failing(open_model, kind=FailingRecognizer):
    model = accelerate(open_model("large", BATCHING_CPU))
    return kind(model.model, model.decoder, Batching((), 60.0))


def test_failed_batch_is_retried_one_by_one(open_model):
    loader = NoiseLoader((9000, 5000, 4000))
    model = make_failing(open_model)

    done = transcribe_clips(model, loader)

    assert [one.error for one in done] == [None, "out of memory", None]


def test_bug_is_raised_and_ends_all_threads(open_model):
    class Buggy(BatchedCtcRecognizer):
        def start(self, prepared):
            raise TypeError("a bug")

    model = make_failing(open_model, Buggy)

    with pytest.raises(TypeError, match="a bug"):
        transcribe_clips(model, NoiseLoader(LENGTHS))
    assert pipeline_threads() == []


def pipeline_threads():
    names = ("read-ahead", "prepare-batches", "decode-text", "decode-long")
    return [one.name for one in threading.enumerate() if one.name.startswith(names)]


def test_interrupt_ends_all_threads_and_the_reading(open_model):
    class Interrupted(BatchedCtcRecognizer):
        def start(self, prepared):
            raise KeyboardInterrupt

    model = make_failing(open_model, Interrupted)
    loader = NoiseLoader((5 * SECOND,) * 2000)

    with pytest.raises(KeyboardInterrupt):
        transcribe_clips(model, loader)
    assert pipeline_threads() == []
    assert len(loader.loaded) < 1000


def test_stopping_early_ends_all_threads(open_model):
    model = accelerate(open_model("large", BATCHING_CPU), InferenceOptions(batch_s=2.0))
    loader = NoiseLoader((SECOND,) * 3000)
    results = transcribe(model, loader.utterances, load=loader)

    next(results)
    results.close()

    assert pipeline_threads() == []
    assert len(loader.loaded) < 1000


def test_error_of_the_source_is_raised_after_the_results_before_it(open_model):
    model = accelerate(open_model("large", BATCHING_CPU))
    loader = NoiseLoader((9000, 4000))

    def manifest():
        yield from loader.utterances
        raise DataError("line 3 is broken", remedy="")

    results = transcribe(model, manifest(), load=loader)

    assert [next(results).error, next(results).error] == [None, None]
    with pytest.raises(DataError, match="line 3"):
        next(results)


def test_long_clip_among_short_ones_keeps_its_position(open_model):
    loader = NoiseLoader((9000, 31 * SECOND, 4000))
    single = unbatched(open_model("large"))
    model = accelerate(open_model("large", COMPILING_CPU))

    done = transcribe_clips(model, loader)

    assert texts(done) == texts(transcribe_clips(single, loader))


def test_audio_in_memory_is_bounded_for_any_number_of_files(open_model, monkeypatch):
    monkeypatch.setattr("gaudi_asr_cli.core.inference.transcribe.READ_AHEAD_S", 10.0)
    model = accelerate(open_model("large", BATCHING_CPU), InferenceOptions(batch_s=2.0))
    loader = NoiseLoader((SECOND,) * 400)
    max_held = 0

    for number, _ in enumerate(transcribe(model, loader.utterances, load=loader)):
        max_held = max(max_held, len(loader.loaded) - number)

    # A window of 16 s being batched, one in the network, 10 s queued, eight being read.
    assert len(loader.loaded) == 400
    assert max_held < 60


def test_lost_audio_is_reported(open_model):
    model = accelerate(open_model("large", BATCHING_CPU))
    events = []

    def load(span):
        return LoadedAudio(np.ones(SECOND, np.float32), lost_s=1.5)

    list(
        transcribe(
            model,
            name_utterances("a"),
            load=load,
            observe=events.append,
        )
    )

    assert [type(one) for one in events] == [Noticed]


def test_timings_contain_the_padded_audio(open_model):
    model = accelerate(
        open_model("large", COMPILING_CPU), InferenceOptions(batch_s=4.0, edges_s=(1.0, 2.0))
    )
    loader = NoiseLoader((8000, 24_000))

    results = list(transcribe_timed(model, loader.utterances, load=loader))

    assert [one.timing.padded_s for one in results] == pytest.approx([4.0, 4.0], abs=0.03)
    assert all(one.timing.compute_s > 0 for one in results)
    assert Path(results[0].done.path).name == "0"


class WaitingDecoder:
    """Decodes as a greedy decoder, after waiting for an event of another thread."""

    def __init__(self, vocabulary, threads):
        self.greedy = GreedyDecoder(vocabulary)
        self.threads = threads
        self.met = threading.Barrier(threads) if threads > 1 else None
        self.network_went_on = threading.Event()

    def decode(self, output, index, utterance):
        if self.met is None:
            assert self.network_went_on.wait(30)
        else:
            self.met.wait(30)
        return self.greedy.decode(output, index, utterance)

    def condense(self, output, index):
        return self.greedy.condense(output, index)

    def assemble(self, parts, utterance):
        assert self.network_went_on.wait(30)
        return self.greedy.assemble(parts, utterance)


def test_the_network_runs_the_next_batch_while_one_is_decoded(open_model, monkeypatch):
    batched = accelerate(open_model("base", BATCHING_CPU), InferenceOptions(batch_s=1.0, buckets=1))
    decoder = WaitingDecoder(batched.model.vocabulary, threads=1)
    start, started = BatchedCtcRecognizer.start, []

    def count(recognizer, prepared):
        started.append(prepared)
        if len(started) == 2:
            decoder.network_went_on.set()
        return start(recognizer, prepared)

    monkeypatch.setattr(BatchedCtcRecognizer, "start", count)

    # Decoding the first batch before starting the second would wait in vain.
    results = transcribe_clips(replace(batched, decoder=decoder), NoiseLoader([16_000] * 4))

    assert len(started) == 4
    assert [one.error for one in results] == [None] * 4


def test_the_network_runs_the_next_clip_while_a_long_one_is_decoded(open_model, monkeypatch):
    batched = accelerate(open_model("large", BATCHING_CPU), InferenceOptions(batch_s=1.0))
    decoder = WaitingDecoder(batched.model.vocabulary, threads=1)
    infer = BatchedCtcRecognizer.infer_long
    inferred = []

    def count(recognizer, *arguments):
        found = infer(recognizer, *arguments)
        inferred.append(found)
        if len(inferred) == 2:
            decoder.network_went_on.set()
        return found

    monkeypatch.setattr(BatchedCtcRecognizer, "infer_long", count)
    recognizer = replace(batched, decoder=decoder)

    # Decoding the first file before computing the second would wait in vain.
    results = transcribe_clips(recognizer, NoiseLoader([31 * SECOND, SECOND, 32 * SECOND]))

    assert [one.error for one in results] == [None] * 3


def test_a_slow_decoder_hides_behind_a_slow_network(folders):
    phases = measure_overlap(folders["base"], BATCHING_CPU)

    # One after the other they would take the sum.
    assert phases["text"] >= BATCHES * STEP_S
    assert phases["wall"] < phases["compute"] + 0.6 * phases["text"]


def test_utterances_of_a_batch_are_decoded_at_once_by_a_compiled_search(open_model):
    batched = accelerate(open_model("base", BATCHING_CPU), InferenceOptions(batch_s=9, buckets=1))
    decoder = WaitingDecoder(batched.model.vocabulary, threads=2)
    loader = NoiseLoader([16_000] * 4)

    # Each decode waits for another one.
    results = transcribe_clips(replace(batched, decoder=decoder), loader)

    assert texts(results) == texts(transcribe_clips(batched, loader))
