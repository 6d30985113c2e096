import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
from helpers.tiny_models import save_tiny_model
from helpers.tiny_seq2seq import save_tiny_whisper
from helpers.tiny_text_models import WORDS, save_tiny_text_model

from gaudi_asr_cli.core.errors import UsageError
from gaudi_asr_cli.core.models.seq2seq.warm_start import WarmStart, join, save_joined
from gaudi_asr_cli.core.text.vocabulary import build_vocabulary, write_tokenizer_files
from gaudi_asr_cli.core.workflows.check.run import CheckRequest, check


@pytest.fixture
def write_data(tmp_path):
    def write(*utterances):
        lines = []
        for number, (text, duration_s) in enumerate(utterances):
            samples = np.random.default_rng(number).standard_normal(round(duration_s * 16_000))
            soundfile.write(tmp_path / f"{number}.wav", 0.1 * samples, 16_000, subtype="PCM_16")
            lines.append(json.dumps({"audio_filepath": f"{number}.wav", "text": text}))
        manifest = tmp_path / "data.jsonl"
        manifest.write_text("\n".join(lines))
        return (str(manifest),)

    return write


@pytest.fixture
def joined(tmp_path):
    encoder = save_tiny_model(tmp_path / "encoder", "wav2vec2-layer-norm")
    decoder = save_tiny_text_model(tmp_path / "decoder")
    save_joined(join(WarmStart(str(encoder), str(decoder))), tmp_path / "joined")
    return str(tmp_path / "joined")


def find(report, kind):
    return next(finding for finding in report.findings if finding.kind == kind)


def kinds(report):
    return {finding.kind for finding in report.findings}


def test_words_that_the_tokenizer_lacks_stop_training_and_are_shown(write_data, joined):
    data = write_data(("one two", 1.0), ("nine two", 1.0))

    report = check(CheckRequest(data, model=joined))

    found = find(report, "unknown_tokens")
    assert (found.severity, found.count, found.of, found.unit) == ("stops", 1, 4, "tokens")
    assert found.examples == ("nine two",)
    assert find(report, "over_limits").severity == "fine"


def test_texts_over_the_positions_of_the_decoder_are_counted(write_data, joined):
    data = write_data(("one two", 1.0), (" ".join([WORDS[0]] * 30), 9.0), ("two", 1.0))

    report = check(CheckRequest(data, model=joined))

    found = find(report, "over_limits")
    assert (found.severity, found.count, found.of) == ("warns", 1, 3)
    assert "31 tokens, 24 at most" in found.examples[0]
    assert {"unalignable", "unknown_characters"}.isdisjoint(kinds(report))
    assert find(report, "unknown_tokens").severity == "fine"
    assert not report.stops


def test_audio_over_the_window_of_a_whisper_is_counted(write_data, tmp_path):
    whisper = save_tiny_whisper(tmp_path / "whisper")
    data = write_data(("one", 1.0), ("two", 2.5), ("three", 3.0))

    report = check(CheckRequest(data, model=str(whisper)))

    found = find(report, "over_limits")
    assert (found.severity, found.count) == ("stops", 2)
    assert found.examples[0].endswith("2.50 s, 2 s fit")
    assert report.exit_code == 4


def test_no_weights_are_read(write_data, joined):
    Path(joined, "model.safetensors").write_bytes(b"")

    assert not check(CheckRequest(write_data(("one two", 1.0)), model=joined)).stops


def test_a_vocabulary_for_an_encoder_decoder_is_rejected(write_data, joined, tmp_path):
    write_tokenizer_files(build_vocabulary({"o": 1}), tmp_path / "vocab")

    with pytest.raises(UsageError, match="a tokenizer of its own"):
        check(CheckRequest(write_data(("o", 1.0)), model=joined, vocabulary=tmp_path / "vocab"))
