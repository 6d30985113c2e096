"""Static shapes: one shape per bucket, with the same losses and gradients."""

from dataclasses import replace

import numpy as np
import pytest
import soundfile
import torch
from helpers.tiny_models import save_tiny_model, tiny_vocabulary

from gaudi_asr_cli.core.data.buckets import Batching
from gaudi_asr_cli.core.devices import open_device
from gaudi_asr_cli.core.events import ignore
from gaudi_asr_cli.core.models.ctc.masked_norm import make_padding_invariant
from gaudi_asr_cli.core.models.ctc.tuning import open_for_training
from gaudi_asr_cli.core.records import AudioSpan, Utterance
from gaudi_asr_cli.core.training.batches import PlannedBatches, TrainingSet
from gaudi_asr_cli.core.training.tasks.base import BATCH_METADATA
from gaudi_asr_cli.core.training.tasks.ctc import CtcTask

EDGES_S = (0.4, 0.8)


@pytest.fixture
def training_set(tmp_path):
    """Eleven utterances in two buckets with batches of four: both end with a smaller batch."""
    draw = np.random.default_rng(0)
    utterances, labels = [], []
    for number, duration_s in enumerate(
        [0.3, 0.35, 0.4, 0.31, 0.4, 0.38, 0.6, 0.7, 0.8, 0.8, 0.61]
    ):
        path = tmp_path / f"{number}.wav"
        soundfile.write(path, 0.1 * draw.standard_normal(int(duration_s * 16_000)), 16_000)
        utterances.append(Utterance(path.stem, AudioSpan(path, 0.0, duration_s), "text"))
        labels.append(
            tuple(int(token) for token in draw.permutation(np.arange(2, 8))[: 2 + number % 3])
        )
    batching = Batching(EDGES_S, batch_s=99, utterances=4, static_shapes=True)
    return TrainingSet(tuple(utterances), tuple(labels), batching, seed=1)


def open_model(tmp_path, family="wav2vec2", **overrides):
    folder = save_tiny_model(tmp_path / family, family)
    calm = {
        "ctc_zero_infinity": True, "ctc_loss_reduction": "mean", "mask_time_prob": 0.0,
        "layerdrop": 0.0, "hidden_dropout": 0.0, "attention_dropout": 0.0,
        "feat_proj_dropout": 0.0, "final_dropout": 0.0, "activation_dropout": 0.0,
    }  # fmt: skip
    model = open_for_training(
        str(folder), device=open_device("cpu"), overrides={**calm, **overrides}, dtype="fp32"
    )
    return make_padding_invariant(model)


def gather(training_set, model, epochs=2):
    batches = PlannedBatches(training_set, CtcTask(model), ignore)
    found = []
    for batches.epoch in range(epochs):
        found += [batches[index] for index in range(len(batches))]
    batches.close()
    return found


def loss_and_gradient(model, inputs):
    """Return the scaled loss, and its gradients as one vector."""
    model.network.zero_grad()
    network_inputs = {name: value for name, value in inputs.items() if name not in BATCH_METADATA}
    loss = model.network(**network_inputs).loss * inputs.get("loss_scale", 1.0)
    loss.backward()
    gradients = [p.grad.flatten() for p in model.network.parameters() if p.grad is not None]
    return loss.item(), torch.cat(gradients)


def test_every_batch_of_a_bucket_has_one_shape_in_every_epoch(tmp_path, training_set):
    batches = gather(training_set, open_model(tmp_path))

    shapes = {(tuple(one["input_values"].shape), tuple(one["labels"].shape)) for one in batches}
    assert len(batches) == 2 * 4
    assert len(shapes) == len(EDGES_S)
    assert sum(float(one["loss_scale"]) > 1 for one in batches) == 2 * 2


def test_no_attention_mask_is_all_ones(tmp_path, training_set):
    model = open_model(tmp_path)

    for one in gather(training_set, model):
        frames = model.network._get_feature_vector_attention_mask(
            model.geometry.count_frames(one["input_values"].shape[1]), one["attention_mask"]
        )
        assert not frames[:, -1].any()


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("family", ["wav2vec2", "hubert", "wav2vec2-layer-norm"])
def test_dummy_rows_do_not_change_loss_or_gradient(tmp_path, training_set, family, reduction):
    model = open_model(tmp_path, family, ctc_loss_reduction=reduction)
    dynamic = replace(training_set, batching=replace(training_set.batching, static_shapes=False))

    filled, unfilled = gather(training_set, model, 1), gather(dynamic, model, 1)

    assert any(len(one["planned"].indices) < len(one["labels"]) for one in filled)
    for one, other in zip(filled, unfilled, strict=True):
        assert one["planned"].indices == other["planned"].indices
        loss, gradient = loss_and_gradient(model, one)
        expected, wanted = loss_and_gradient(model, other)
        assert loss == pytest.approx(expected, rel=1e-5)
        # The order of additions depends on the shape; 1.3e-4 was measured in fp32.
        assert (gradient - wanted).norm() < 5e-4 * wanted.norm()


def test_an_undecodable_file_is_replaced_by_a_dummy_row(tmp_path, training_set):
    model = open_model(tmp_path)
    whole = {tuple(one["labels"].shape) for one in gather(training_set, model, 1)}
    training_set.utterances[2].audio.path.write_bytes(b"no audio")

    batches = gather(training_set, model, 1)

    assert {tuple(one["labels"].shape) for one in batches} == whole
    assert all(2 not in one["planned"].indices for one in batches)
    assert all(np.isfinite(loss_and_gradient(model, one)[0]) for one in batches)


def test_without_ctc_zero_infinity_there_are_no_dummy_rows(tmp_path, training_set):
    model = open_model(tmp_path, ctc_zero_infinity=False)

    batches = gather(training_set, model, 1)

    assert {len(one["labels"]) for one in batches} == {4, 2, 1}
    assert all(len(one["labels"]) == len(one["planned"].indices) for one in batches)


def test_the_vocabulary_covers_the_labels_of_these_tests():
    assert len(tiny_vocabulary().tokens) > 8
