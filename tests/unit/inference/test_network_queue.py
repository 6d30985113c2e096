"""Batches of calls: their rows, padding, and what each call gets back."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from gaudi_asr_cli.core.data.buckets import Batching
from gaudi_asr_cli.core.inference.network_queue import (
    EmissionCall,
    GenerationCall,
    count_rows,
    join_clips,
    join_windows_of,
    split_emissions,
    split_rows,
)
from gaudi_asr_cli.core.inference.recognizer import batch_one
from gaudi_asr_cli.core.models.seq2seq.generation import Generation
from gaudi_asr_cli.core.records import (
    AudioSpan,
    Emissions,
    Generated,
    Hypothesis,
    Utterance,
)

STATIC = Batching((5.0, 10.0), 20.0, static_shapes=True)


def clip(seconds):
    samples = np.full(int(seconds * 16_000), seconds, dtype=np.float32)
    return EmissionCall(batch_one(samples, Utterance(str(seconds), AudioSpan(Path("a")))))


def windows(rows, *, timed=True):
    inputs = {"input_features": torch.full((rows, 2, 3), float(rows))}
    return GenerationCall(inputs, Generation(), [10 * rows] * rows if timed else None, 30.0)


@pytest.mark.parametrize(
    ("lengths_s", "batching", "rows"),
    [
        ([3.0], None, 1),
        ([3.0, 3.0], None, 0),
        ([3.0], STATIC, 4),
        ([3.0] * 4, STATIC, 4),
        ([3.0] * 5, STATIC, 0),
        ([3.0, 9.0], STATIC, 2),
        ([3.0, 3.0, 9.0], STATIC, 0),
        ([3.0], Batching((), 20.0), 1),
        ([4.0] * 5, Batching((), 20.0), 5),
        ([4.0] * 6, Batching((), 20.0), 0),
        ([25.0], Batching((), 20.0), 1),
    ],
)
def test_a_batch_has_the_rows_of_its_plan(lengths_s, batching, rows):
    assert count_rows([clip(seconds) for seconds in lengths_s], batching) == rows


def test_clips_are_padded_to_the_shape_and_their_emissions_cut_again():
    calls = [clip(1.0), clip(2.0)]

    batch = join_clips(calls, 4, 3 * 16_000)
    output = Emissions(
        np.arange(4 * 5 * 2, dtype=np.float32).reshape(4, 5, 2), np.array([2, 4, 0, 0]), 0.5
    )
    parts = split_emissions(output, 2)

    assert batch.samples.shape == (4, 48_000)
    assert batch.lengths.tolist() == [16_000, 32_000, 0, 0]
    assert batch.samples.sum(axis=1).tolist() == [16_000, 64_000, 0, 0]
    assert [one.id for one in batch.utterances] == ["1.0", "2.0"]
    assert [part.log_probs.shape for part in parts] == [(1, 2, 2), (1, 4, 2)]
    assert [part.frames.tolist() for part in parts] == [[2], [4]]


def test_windows_of_several_calls_fill_a_batch_and_each_gets_its_own_back():
    calls = [windows(2), windows(1)]

    inputs, frames = join_windows_of(calls, 5)
    rows = tuple(Hypothesis((number,), str(number)) for number in range(5))
    parts = split_rows(Generated(rows, encoded=(10, 11, 12, 13, 14)), calls)

    assert inputs["input_features"][:, 0, 0].tolist() == [2, 2, 1, 2, 2]
    assert frames == [20, 20, 10, 20, 20]
    assert [[row.text for row in part.rows] for part in parts] == [["0", "1"], ["2"]]
    assert [part.encoded for part in parts] == [(10, 11), (12,)]


def test_windows_share_a_batch_only_where_all_else_is_the_same():
    assert windows(1).key == windows(2).key
    assert windows(1).key != windows(1, timed=False).key
    assert windows(1).key != replace(windows(1), encoded=[object()]).key
