from dataclasses import replace

import numpy as np
import pytest
from helpers.fake_models import name_utterances
from helpers.tiny_models import save_tiny_model
from helpers.tiny_seq2seq import save_tiny_whisper

from gaudi_asr_cli.core.data.audio import LoadedAudio
from gaudi_asr_cli.core.devices.cpu import CpuDevice
from gaudi_asr_cli.core.errors import DataError
from gaudi_asr_cli.core.inference.batching_check import check_batching
from gaudi_asr_cli.core.inference.ctc import CtcRecognizer, open_full_precision
from gaudi_asr_cli.core.inference.options import InferenceOptions
from gaudi_asr_cli.core.inference.recognizer import open_recognizer
from gaudi_asr_cli.core.records import Emissions

CPU = CpuDevice(frozenset(), "a test's CPU")
FP32 = InferenceOptions(dtype="fp32")


def load(span):
    if span.path.name == "broken":
        raise DataError("broken", remedy="")
    noise = np.random.default_rng(len(span.path.name)).standard_normal(5000 * len(span.path.name))
    return LoadedAudio((0.1 * noise).astype(np.float32))


def check(folder, usual=None):
    unbatched = open_recognizer(str(folder), CPU, replace(FP32, mode="unbatched"))
    recognizer = open_recognizer(str(folder), CPU, FP32) if usual is None else usual
    utterances = name_utterances("a", "bb", "ccccc", "broken")
    return check_batching(unbatched, recognizer, utterances, load=load)


@pytest.mark.parametrize("family", ["wav2vec2", "wav2vec2-layer-norm"])
def test_padded_batches_and_packing_give_the_unbatched_text(tmp_path, family):
    result = check(save_tiny_model(tmp_path, family))

    assert (result.files, result.differences) == (4, ())
    assert result.ways == ("as usual", "in padded batches")


def test_model_that_is_never_batched_is_only_compared_with_the_usual_one(tmp_path):
    result = check(save_tiny_model(tmp_path, "data2vec-audio"))

    assert result.ways == ("as usual",)


@pytest.mark.parametrize("family", ["sew", "wav2vec2-conformer"])
def test_model_that_is_only_transcribed_unbatched_is_compared_with_nothing(tmp_path, family):
    result = check(save_tiny_model(tmp_path, family))

    assert (result.files, result.ways, result.differences) == (4, (), ())


def test_batched_encoder_decoder_gives_the_unbatched_text(tmp_path):
    result = check(save_tiny_whisper(tmp_path))

    assert (result.files, result.ways, result.differences) == (4, ("as usual",), ())


def test_model_with_other_emissions_is_detected(tmp_path):
    folder = save_tiny_model(tmp_path)
    correct = open_recognizer(str(folder), CPU, FP32)

    class Wrong(CtcRecognizer):
        def emissions(self, batch):
            emissions = correct.emissions(batch)
            rolled = np.roll(emissions.log_probs, 1, axis=2)
            return Emissions(rolled, emissions.frames, emissions.frame_s)

    result = check(folder, usual=Wrong(correct.model, correct.decoder))

    assert {one.way for one in result.differences} == {"as usual"}
    assert all(one.alone != one.other for one in result.differences)


def test_weights_are_packed_as_stored_and_cast_for_a_network(tmp_path):
    folder = str(save_tiny_model(tmp_path))
    full = open_full_precision(folder, device=CPU, dtype="bf16")
    batching = replace(CPU, prefers_batching=True)

    cast = open_recognizer(folder, batching, InferenceOptions(dtype="bf16"))

    assert {str(full.weights[name].dtype) for name in full.weights.shapes} == {"torch.float32"}
    assert not full.source.is_loaded
    assert {str(one.dtype) for one in cast.model.network.parameters()} == {"torch.bfloat16"}
    assert (full.dtype, cast.dtype) == ("bf16", "bf16")
