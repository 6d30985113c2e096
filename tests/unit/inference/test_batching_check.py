from dataclasses import replace

import numpy as np
import pytest
from helpers.fake_models import name_utterances
from helpers.tiny_models import save_tiny_model

from gaudi_asr_cli.core.data.audio import LoadedAudio
from gaudi_asr_cli.core.decoding.greedy import GreedyDecoder
from gaudi_asr_cli.core.devices.cpu import CpuDevice
from gaudi_asr_cli.core.errors import DataError
from gaudi_asr_cli.core.inference.batching_check import check_batching
from gaudi_asr_cli.core.inference.ctc import (
    accelerate,
    cast_weights,
    open_ctc_recognizer,
    open_full_precision,
)
from gaudi_asr_cli.core.records import Emissions

CPU = CpuDevice(frozenset(), "a test's CPU")


def load(span):
    if span.path.name == "broken":
        raise DataError("broken", remedy="")
    noise = np.random.default_rng(len(span.path.name)).standard_normal(5000 * len(span.path.name))
    return LoadedAudio((0.1 * noise).astype(np.float32))


def check(folder, usual=None):
    model = open_full_precision(str(folder), device=CPU, dtype="fp32")
    recognizer = accelerate(model) if usual is None else usual
    cast_weights(model)
    utterances = name_utterances("a", "bb", "ccccc", "broken")
    return check_batching(model, recognizer, utterances, GreedyDecoder(model.vocabulary), load=load)


@pytest.mark.parametrize("family", ["wav2vec2", "wav2vec2-layer-norm"])
def test_padded_batches_and_packing_give_the_unbatched_text(tmp_path, family):
    result = check(save_tiny_model(tmp_path, family))

    assert (result.files, result.differences) == (4, ())
    assert result.ways == ("as usual", "in padded batches")


def test_model_that_is_never_batched_is_only_compared_with_the_usual_one(tmp_path):
    result = check(save_tiny_model(tmp_path, "data2vec-audio"))

    assert result.ways == ("as usual",)


def test_model_with_other_emissions_is_detected(tmp_path):
    folder = save_tiny_model(tmp_path)
    correct = open_ctc_recognizer(str(folder), device=CPU, dtype="fp32")

    class Wrong:
        geometry = correct.geometry

        def emissions(self, batch):
            emissions = correct.emissions(batch)
            rolled = np.roll(emissions.log_probs, 1, axis=2)
            return Emissions(rolled, emissions.frames, emissions.frame_s)

    result = check(folder, usual=Wrong())

    assert {one.way for one in result.differences} == {"as usual"}
    assert all(one.alone != one.other for one in result.differences)


def test_weights_are_packed_as_stored_and_cast_for_a_network(tmp_path):
    folder = str(save_tiny_model(tmp_path))
    full = open_full_precision(folder, device=CPU, dtype="bf16")
    batching = replace(CPU, prefers_batching=True)

    cast = open_ctc_recognizer(folder, device=batching, dtype="bf16")

    assert {str(full.weights[name].dtype) for name in full.weights.shapes} == {"torch.float32"}
    assert not full.source.is_loaded
    assert {str(one.dtype) for one in cast.model.network.parameters()} == {"torch.bfloat16"}
    assert (full.dtype, cast.dtype) == ("bf16", "bf16")
