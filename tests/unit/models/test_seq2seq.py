import copy
import json
from dataclasses import dataclass, replace

import pytest
import torch
from helpers.tiny_models import make_batch, save_tiny_model
from helpers.tiny_seq2seq import SEQ2SEQ_FAMILIES, save_tiny_seq2seq, save_tiny_whisper
from transformers import (
    AutoFeatureExtractor,
    AutoModelForSpeechSeq2Seq,
    AutoTokenizer,
    GenerationConfig,
    WhisperFeatureExtractor,
)

from gaudi_asr_cli.core.devices.cpu import CpuDevice
from gaudi_asr_cli.core.errors import DataError, UsageError
from gaudi_asr_cli.core.models.folder import find_model, kind_of
from gaudi_asr_cli.core.models.seq2seq.generation import Generation, resolve_generation
from gaudi_asr_cli.core.models.seq2seq.model import open_seq2seq_model
from gaudi_asr_cli.core.models.seq2seq.sequences import SequenceReader

CPU = CpuDevice(frozenset(), "a test's CPU")
LENGTHS = (32_000, 20_003, 9_600, 700)


@pytest.fixture(scope="module")
def whisper(tmp_path_factory):
    folder = save_tiny_whisper(tmp_path_factory.mktemp("whisper"))
    return open_seq2seq_model(str(folder), device=CPU, dtype="fp32")


def transformers_texts(model, batch, **arguments):
    """Return the texts of transformers' own feature extractor and `generate` for a batch."""
    extractor = WhisperFeatureExtractor.from_pretrained(model.folder.path)
    network = AutoModelForSpeechSeq2Seq.from_pretrained(model.folder.path).eval()
    clips = [row[:length] for row, length in zip(batch.samples, batch.lengths, strict=True)]
    features = extractor(clips, sampling_rate=16_000, return_tensors="pt").input_features
    ids = network.generate(features, **arguments)
    tokenizer = AutoTokenizer.from_pretrained(model.folder.path)
    return [text.strip() for text in tokenizer.batch_decode(ids, skip_special_tokens=True)]


def test_features_match_transformers(whisper):
    batch = make_batch(LENGTHS)

    features = whisper.frontend.prepare(batch)["input_features"]

    extractor = WhisperFeatureExtractor.from_pretrained(whisper.folder.path)
    clips = [row[:length] for row, length in zip(batch.samples, batch.lengths, strict=True)]
    expected = extractor(clips, sampling_rate=16_000, return_tensors="pt").input_features
    torch.testing.assert_close(features, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("beams", [1, 3])
@pytest.mark.parametrize("options", [{"language": "hindi", "task": "translate"}, {}])
def test_texts_match_transformers(whisper, beams, options):
    batch = make_batch(LENGTHS)

    generated = whisper.generate(batch, Generation(**options, beams=beams, max_tokens=12))

    arguments = {"task": "transcribe", **options, "num_beams": beams, "max_new_tokens": 12}
    texts = transformers_texts(whisper, batch, **arguments)
    assert [row.text for row in generated.rows] == texts
    assert len(set(texts)) > 1
    if options:
        assert {row.language for row in generated.rows} == {"hi"}


def test_a_text_without_end_token_is_marked_as_truncated(whisper):
    whole, cut = (
        whisper.generate(make_batch(LENGTHS), Generation(language="de", max_tokens=tokens))
        for tokens in (None, 3)
    )

    assert all(row.truncated and len(row.tokens) == 3 for row in cut.rows)
    assert [row.tokens[:3] for row in whole.rows] == [row.tokens for row in cut.rows]
    # The context is 48 tokens, 4 of them the prompt.
    assert {len(row.tokens) for row in whole.rows if row.truncated} <= {48 - 4}


def test_timestamps_are_predicted_on_request(whisper):
    generated = whisper.generate(make_batch(LENGTHS), Generation(language="en", timestamps=True))

    for row in generated.rows:
        times = [time for one in row.segments for time in (one.start_s, one.end_s)]
        assert times == sorted(times)
        assert times[-1] <= 2.0
        text = "".join(one.text for one in row.segments)
        assert text.replace(" ", "") == row.text.replace(" ", "")


@pytest.mark.parametrize(
    ("language", "remedy"),
    [("hindy", "Did you mean hindi?"), ("xx", "code such as en"), ("qqq", "code such as en")],
)
def test_an_unknown_language_is_rejected_with_a_suggestion(whisper, language, remedy):
    with pytest.raises(UsageError, match=f"does not support the language '{language}'") as error:
        whisper.generate(make_batch([3200]), Generation(language=language))
    assert remedy in error.value.remedy


def test_an_english_only_model_rejects_other_languages(tmp_path):
    model = open_seq2seq_model(str(save_tiny_whisper(tmp_path, multilingual=False)), device=CPU)

    with pytest.raises(UsageError, match="language 'hindi' cannot be set"):
        model.generate(make_batch([3200]), Generation(language="hindi"))
    with pytest.raises(UsageError, match="cannot translate"):
        model.generate(make_batch([3200]), Generation(task="translate"))
    assert model.generate(make_batch([3200]), Generation(language="english")).rows[0].tokens


@pytest.mark.parametrize("invalid", [Generation(task="sing"), Generation(beams=-1)])
def test_invalid_generation_options_are_rejected(whisper, invalid):
    with pytest.raises(UsageError):
        whisper.generate(make_batch([3200]), invalid)


def test_the_kind_of_a_model_follows_from_its_configuration(whisper, tmp_path):
    ctc = find_model(str(save_tiny_model(tmp_path)), kind=None)

    assert kind_of(ctc.read_config()) == "ctc"
    assert kind_of(whisper.folder.read_config()) == "seq2seq"
    with pytest.raises(DataError, match="no decoder"):
        open_seq2seq_model(str(tmp_path), device=CPU)
    with pytest.raises(DataError, match="no CTC head"):
        find_model(whisper.name)


def test_a_decoder_without_cross_attention_is_rejected(tmp_path):
    save_tiny_model(tmp_path)
    decoder = {"model_type": "gpt2", "add_cross_attention": False}
    config = {"model_type": "speech-encoder-decoder", "encoder": {}, "decoder": decoder}
    (tmp_path / "config.json").write_text(json.dumps(config))

    with pytest.raises(DataError, match="has no cross-attention"):
        open_seq2seq_model(str(tmp_path), device=CPU)


def test_a_tokenizer_without_padding_token_pads_with_the_end_token(whisper):
    settings = copy.deepcopy(whisper.settings)
    settings.pad_token_id = None
    tokenizer = replace(whisper.tokenizer, pad_token_id=None)

    reader = SequenceReader.for_model(tokenizer, settings, whisper=True)

    assert reader.pad_id == whisper.settings.eos_token_id


def test_a_model_without_tokenizer_is_rejected(tmp_path):
    save_tiny_whisper(tmp_path)
    for name in ("vocab.json", "merges.txt", "tokenizer_config.json"):
        (tmp_path / name).unlink()

    with pytest.raises(DataError, match="tokenizer"):
        open_seq2seq_model(str(tmp_path), device=CPU)


@dataclass(frozen=True)
class StaticCpu(CpuDevice):
    """A CPU that needs static shapes, as Gaudi does."""

    def generation_arguments(self):
        return {"cache_implementation": "static", "disable_compile": True}


@pytest.mark.parametrize("family", SEQ2SEQ_FAMILIES)
def test_a_static_kv_cache_does_not_change_the_text(tmp_path, family):
    folder = str(save_tiny_seq2seq(tmp_path, family))
    batch, config = make_batch([9_600]), Generation(max_tokens=9)

    static, dynamic = (
        open_seq2seq_model(folder, device=kind(frozenset(), "a CPU"), dtype="fp32")
        for kind in (StaticCpu, CpuDevice)
    )

    assert static.generate(batch, config) == dynamic.generate(batch, config)


@pytest.mark.parametrize("family", SEQ2SEQ_FAMILIES)
@pytest.mark.parametrize("beams", [1, 2])
def test_other_families_match_transformers(tmp_path, family, beams):
    model = open_seq2seq_model(str(save_tiny_seq2seq(tmp_path, family)), device=CPU, dtype="fp32")
    texts = []

    for length in (16_000, 9_600, 5_003):
        batch = make_batch([length], seed=length)
        generated = model.generate(batch, Generation(beams=beams, max_tokens=9)).rows[0]
        extractor = AutoFeatureExtractor.from_pretrained(tmp_path)
        inputs = extractor(
            batch.samples[0], sampling_rate=16_000, return_tensors="pt", return_attention_mask=True
        )
        ids = model.network.generate(**inputs, num_beams=beams, max_new_tokens=9)
        texts.append(generated.text)
        assert generated.text == model.tokenizer.decode(ids[0], skip_special_tokens=True).strip()
        assert generated.truncated == (2 not in ids[0, 1:])
    assert any(texts)
    assert not model.padding_invariant or family == "speech-encoder-decoder"
    with pytest.raises(UsageError, match="is not multilingual"):
        model.generate(make_batch([3200]), Generation(language="hindi"))


def test_a_beam_size_of_0_is_the_default_of_the_model():
    settings = GenerationConfig(num_beams=3)

    assert resolve_generation(Generation(beams=0), settings, "a model").beams == 3
    assert resolve_generation(Generation(), settings, "a model").beams == 1
