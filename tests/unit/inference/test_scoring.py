from dataclasses import replace

import numpy as np
import pytest
from helpers.tiny_models import save_tiny_model

from gaudi_asr_cli.core.devices.cpu import CpuDevice
from gaudi_asr_cli.core.errors import DataError
from gaudi_asr_cli.core.evaluation.comparison import plan_comparison
from gaudi_asr_cli.core.inference.ctc import accelerate
from gaudi_asr_cli.core.inference.scoring import ScorableData, score_utterances
from gaudi_asr_cli.core.models.ctc.model import open_ctc_model
from gaudi_asr_cli.core.records import AudioSpan, Utterance


@pytest.fixture
def model(tmp_path):
    folder = save_tiny_model(tmp_path / "model", "wav2vec2")
    cpu = CpuDevice(frozenset(), "a test's CPU")
    return accelerate(open_ctc_model(str(folder), device=cpu, dtype="fp32"))


@pytest.fixture
def clip(tmp_path):
    import soundfile

    path = tmp_path / "clip.wav"
    soundfile.write(path, np.zeros(8000, dtype=np.float32), 16_000)
    return Utterance("clip", AudioSpan(path), "a text")


def missing(clip, name):
    return replace(clip, id=name, audio=AudioSpan(clip.audio.path.with_name(f"{name}.wav")))


def score(model, utterances):
    data = ScorableData(tuple(utterances), len(utterances), 1.0)
    return score_utterances(model, data, plan_comparison("basic"))


def test_failed_utterances_are_returned_next_to_scored_ones(model, clip):
    result = score(model, [missing(clip, "first"), clip])

    assert [one.utterance_id for one in result.failed] == ["first"]
    assert len(result.scored) == 1
    assert (result.score.utterances, result.score.utterances_total) == (1, 2)


def test_error_if_all_utterances_failed(model, clip):
    with pytest.raises(DataError, match=r"None of the 2 utterances .* The first, first: "):
        score(model, [missing(clip, "first"), missing(clip, "second")])
