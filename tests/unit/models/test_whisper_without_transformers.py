"""What replaces transformers for a Whisper: mel filters, timestamp rules, tokens to text."""

import json
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import transformers
from helpers.tiny_seq2seq import save_tiny_whisper
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gaudi_asr_cli.core.errors import DataError
from gaudi_asr_cli.core.models.cpu.whisper_timestamps import TimestampRules
from gaudi_asr_cli.core.models.folder import ModelFolder
from gaudi_asr_cli.core.models.log_mel import mel_filters, open_log_mel
from gaudi_asr_cli.core.models.quiet import quiet_transformers
from gaudi_asr_cli.core.models.seq2seq.token_decoder import open_token_decoder

FIRST_TIME, END, COLUMNS = 20, 15, 40


@pytest.fixture(scope="module")
def whisper(tmp_path_factory):
    return save_tiny_whisper(tmp_path_factory.mktemp("whisper"))


@pytest.fixture(scope="module")
def with_one_file(whisper, tmp_path_factory):
    """The same tokenizer, its tokens in tokenizer.json."""
    folder = shutil.copytree(whisper, tmp_path_factory.mktemp("one") / "whisper")
    with quiet_transformers():
        transformers.AutoTokenizer.from_pretrained(whisper).save_pretrained(folder)
    return folder


@pytest.mark.parametrize(("count", "n_fft", "rate_hz"), [(80, 400, 16_000), (128, 400, 16_000)])
def test_mel_filters_are_those_of_transformers(count, n_fft, rate_hz):
    extractor = transformers.WhisperFeatureExtractor(
        feature_size=count, n_fft=n_fft, sampling_rate=rate_hz
    )

    assert np.array_equal(mel_filters(count, n_fft, rate_hz), extractor.mel_filters.T)


@pytest.mark.parametrize("value", ["160", None, 0, True, 2.5])
def test_a_feature_setting_that_is_no_number_is_named(value):
    with pytest.raises(DataError, match="hop_length"):
        open_log_mel({"hop_length": value})


@given(
    st.lists(st.lists(st.integers(0, COLUMNS - 1), min_size=4, max_size=4), min_size=1, max_size=3),
    st.integers(0, 4),
    st.sampled_from([None, 0, 3, 50]),
    st.integers(0, 2**16),
)
def test_timestamps_follow_the_rules_of_transformers(rows, generated, latest, seed):
    tokens = torch.tensor([[1, *row[:generated]] for row in rows])
    logits = torch.randn(len(rows), COLUMNS, generator=torch.Generator().manual_seed(seed))
    config = SimpleNamespace(
        no_timestamps_token_id=FIRST_TIME - 1,
        eos_token_id=END,
        bos_token_id=END,
        max_initial_timestamp_index=latest,
    )
    expected = transformers.WhisperTimeStampLogitsProcessor(config, begin_index=1)(tokens, logits)

    assert torch.equal(TimestampRules.of(config, 1)(tokens, logits), expected)


@pytest.mark.parametrize("kind", ["whisper", "with_one_file"])
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.data())
def test_tokens_give_the_text_of_transformers(request, kind, data):
    folder = request.getfixturevalue(kind)
    with quiet_transformers():
        expected = transformers.AutoTokenizer.from_pretrained(folder)
    decoder = open_token_decoder(ModelFolder("whisper", folder))

    rows = data.draw(st.lists(st.lists(st.integers(0, len(expected) + 3)), max_size=20))

    assert decoder.eos_token_id == expected.eos_token_id
    assert decoder.pad_token_id == expected.pad_token_id
    for row in rows:
        text = decoder.decode(row, skip_special_tokens=True)
        assert text == expected.decode(row, skip_special_tokens=True)


@pytest.mark.parametrize(
    "fields",
    [
        {"tokenizer_class": "GPT2Tokenizer"},
        {"auto_map": {"AutoTokenizer": ["theirs.Tokenizer", None]}},
        {"pad_token": "zero"},
        {"added_tokens_decoder": {"7": {"content": "<|endoftext|>", "special": True}}},
        {"added_tokens_decoder": {"seven": 7}},
    ],
)
def test_a_tokenizer_of_another_kind_is_left_to_transformers(whisper, tmp_path, fields):
    folder = shutil.copytree(whisper, tmp_path / "whisper")
    path = folder / "tokenizer_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))

    assert open_token_decoder(ModelFolder("whisper", folder)) is None
