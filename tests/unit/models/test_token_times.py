from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from helpers.tiny_models import make_batch
from helpers.tiny_seq2seq import save_tiny_whisper

from gaudi_asr_cli.core.devices.cpu import CpuDevice
from gaudi_asr_cli.core.models.cpu.whisper_generation import pack_whisper
from gaudi_asr_cli.core.models.seq2seq.generation import Generation
from gaudi_asr_cli.core.models.seq2seq.model import open_seq2seq_model
from gaudi_asr_cli.core.models.seq2seq.token_times import (
    choose_alignment_heads,
    find_path,
    smooth_attention,
)

CPU = CpuDevice(frozenset(), "a test's CPU")
LENGTHS = (32_000, 20_003, 9_600, 700)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = save_tiny_whisper(tmp_path_factory.mktemp("whisper"))
    return open_seq2seq_model(str(folder), device=CPU, dtype="fp32")


def warp(costs):
    """Return the first frame of each row by openai-whisper's dynamic time warping."""
    rows, frames = costs.shape
    total = np.full((rows + 1, frames + 1), np.inf)
    move = np.zeros((rows + 1, frames + 1), dtype=int)
    total[0, 0] = 0
    for frame in range(1, frames + 1):
        for row in range(1, rows + 1):
            options = (total[row - 1, frame - 1], total[row - 1, frame], total[row, frame - 1])
            move[row, frame] = int(np.argmin(options))
            total[row, frame] = costs[row - 1, frame - 1] + min(options)
    starts, row, frame = [0] * rows, rows, frames
    while row > 1 or frame > 1:
        starts[row - 1] = frame - 1
        step = 2 if row == 1 else 1 if frame == 1 else move[row, frame]
        row, frame = row - (step != 2), frame - (step != 1)
    starts[0] = 0
    return starts


@pytest.mark.parametrize(("rows", "frames"), [(1, 1), (1, 9), (4, 3), (7, 40), (30, 31)])
def test_the_path_is_that_of_dynamic_time_warping(rows, frames):
    costs = np.random.default_rng(rows).normal(size=(rows, frames))

    assert find_path(costs).tolist() == warp(costs)


def test_attention_is_normalised_over_tokens_and_smoothed_over_frames():
    scores = torch.zeros(1, 2, 20)
    scores[0, 0, 4] = 50.0
    scores[0, 1, 10:15] = 50.0

    attention = smooth_attention(scores)

    # A single frame is removed by the median of seven, five frames are not.
    assert attention[0, 4] < 0.1
    assert attention[1, 12] == attention[1].max() > 0.9


def test_alignment_heads_are_those_of_the_model_or_of_the_last_half_of_the_layers():
    named = SimpleNamespace(alignment_heads=[[1, 0], [7, 7], [0, 1]])

    assert choose_alignment_heads(named, 2, 2) == ((0, 1), (1, 0))
    for none in (SimpleNamespace(), SimpleNamespace(alignment_heads=[[9, 9]])):
        assert choose_alignment_heads(none, 4, 1) == ((2, 0), (3, 0))


@pytest.mark.parametrize("language", ["en", None])
@pytest.mark.parametrize("heads", [None, [[0, 1], [1, 0]]])
def test_word_times_of_both_engines_agree(model, language, heads):
    model.network.generation_config.alignment_heads = heads
    packed = pack_whisper(model)
    inputs = model.frontend.prepare(make_batch(LENGTHS, seed=3))
    config = Generation(language=language, timestamps=True)
    frames = [length // 320 for length in LENGTHS]

    ours = packed.generate_from(inputs, config, frames).rows
    theirs = model.generate_from(inputs, config, frames).rows

    assert any(row.token_times for row in ours)
    for row, expected, length in zip(ours, theirs, frames, strict=True):
        assert row.token_times.starts_s == expected.token_times.starts_s
        assert row.token_times.probabilities == pytest.approx(
            expected.token_times.probabilities, abs=1e-4
        )
        assert list(row.token_times.starts_s) == sorted(row.token_times.starts_s)
        assert row.token_times.starts_s[-1] <= max(length * 0.02, 0.02)
        for one, other in zip(row.segments, expected.segments, strict=True):
            assert [word.word for word in one.words] == one.text.split()
            assert [word.start_s for word in one.words] == [word.start_s for word in other.words]


def test_beam_search_and_samples_have_word_times_too(model):
    inputs = model.frontend.prepare(make_batch(LENGTHS, seed=3))
    frames = [length // 320 for length in LENGTHS]

    config = Generation(beams=3, timestamps=True, max_tokens=20)
    together = model.generate_from(inputs, config, frames).rows

    assert all(row.token_times for row in together if row.text)
    features = inputs["input_features"]
    for row, expected in enumerate(together):
        alone = {"input_features": features[row : row + 1]}
        (found,) = model.generate_from(alone, config, frames[row : row + 1]).rows
        assert found == expected
        assert found.token_times.starts_s == expected.token_times.starts_s
        assert found.stats.avg_logprob == pytest.approx(expected.stats.avg_logprob, abs=1e-4)


def test_word_times_do_not_depend_on_static_shapes(model):
    device = CpuDevice(frozenset(), "a test's CPU", recompiles_on_new_shapes=True)
    static = replace(model, device=device)
    inputs, config = model.frontend.prepare(make_batch(LENGTHS)), Generation(timestamps=True)
    frames = [length // 320 for length in LENGTHS]

    rows = [one.generate_from(inputs, config, frames).rows for one in (model, static)]

    assert [row.token_times.starts_s for row in rows[0]] == [
        row.token_times.starts_s for row in rows[1]
    ]


def test_without_frames_there_are_no_word_times(model):
    inputs = model.frontend.prepare(make_batch(LENGTHS[:1]))

    row = pack_whisper(model).generate_from(inputs, Generation(timestamps=True)).rows[0]

    assert row.token_times is None
    assert all(not segment.words for segment in row.segments)
