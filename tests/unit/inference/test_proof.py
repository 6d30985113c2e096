from dataclasses import replace

import numpy as np
import pytest
from helpers.fake_models import name_utterances
from helpers.tiny_models import save_tiny_model

from gaudi_asr_cli.core.data.audio import LoadedAudio
from gaudi_asr_cli.core.decoding import GreedyDecoder
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
    listener = accelerate(model) if usual is None else usual
    cast_weights(model)
    utterances = name_utterances("a", "bb", "ccccc", "broken")
    return check_batching(model, listener, utterances, GreedyDecoder(model.vocabulary), load=load)


@pytest.mark.parametrize("family", ["wav2vec2", "wav2vec2-layer-norm"])
def test_padded_batches_and_packing_write_what_is_written_alone(tmp_path, family):
    proof = check(save_tiny_model(tmp_path, family))

    assert (proof.files, proof.differences) == (4, ())
    assert proof.ways == ("as usual", "in padded batches")


def test_a_model_that_is_never_batched_is_only_compared_with_the_usual_way(tmp_path):
    proof = check(save_tiny_model(tmp_path, "data2vec-audio"))

    assert proof.ways == ("as usual",)


def test_a_listener_that_hears_something_else_is_found_out(tmp_path):
    folder = save_tiny_model(tmp_path)
    honest = open_ctc_recognizer(str(folder), device=CPU, dtype="fp32")

    class Deaf:
        geometry = honest.geometry

        def emissions(self, batch):
            heard = honest.emissions(batch)
            return Emissions(np.roll(heard.log_probs, 1, axis=2), heard.frames, heard.frame_s)

    proof = check(folder, usual=Deaf())

    assert {one.way for one in proof.differences} == {"as usual"}
    assert all(one.alone != one.other for one in proof.differences)


def test_weights_are_rounded_only_behind_the_packing(tmp_path):
    folder = str(save_tiny_model(tmp_path))
    wide = open_full_precision(folder, device=CPU, dtype="bf16")
    batching = replace(CPU, prefers_batching=True)

    narrow_ = open_ctc_recognizer(folder, device=batching, dtype="bf16")

    assert {str(one.dtype) for one in wide.network.parameters()} == {"torch.float32"}
    assert {str(one.dtype) for one in narrow_.model.network.parameters()} == {"torch.bfloat16"}
    assert (wide.dtype, narrow_.dtype) == ("bf16", "bf16")
