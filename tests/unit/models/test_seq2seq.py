import copy
import json
from dataclasses import dataclass

import pytest
import torch
from helpers.tiny_models import make_batch, save_tiny_model
from helpers.tiny_seq2seq import WRITERS, save_tiny_whisper, save_tiny_writer
from transformers import (
    AutoFeatureExtractor,
    AutoModelForSpeechSeq2Seq,
    GenerationConfig,
    WhisperFeatureExtractor,
)

from gaudi_asr_cli.core.devices.cpu import CpuDevice
from gaudi_asr_cli.core.errors import DataError, UsageError
from gaudi_asr_cli.core.models.folder import find_model, kind_of
from gaudi_asr_cli.core.models.seq2seq.generation import Generation, settle
from gaudi_asr_cli.core.models.seq2seq.model import open_seq2seq_model
from gaudi_asr_cli.core.models.seq2seq.sequences import SequenceReader

CPU = CpuDevice(frozenset(), "a test's CPU")
LENGTHS = (32_000, 20_003, 9_600, 700)


@pytest.fixture(scope="module")
def whisper(tmp_path_factory):
    folder = save_tiny_whisper(tmp_path_factory.mktemp("whisper"))
    return open_seq2seq_model(str(folder), device=CPU, dtype="fp32")


def reference(model, batch, **more):
    """What transformers' own feature extractor and `generate` make of a batch."""
    extractor = WhisperFeatureExtractor.from_pretrained(model.folder.path)
    network = AutoModelForSpeechSeq2Seq.from_pretrained(model.folder.path).eval()
    sounds = [row[:length] for row, length in zip(batch.samples, batch.lengths, strict=True)]
    features = extractor(sounds, sampling_rate=16_000, return_tensors="pt").input_features
    ids = network.generate(features, **more)
    return [text.strip() for text in model.tokenizer.batch_decode(ids, skip_special_tokens=True)]


def test_features_are_those_of_transformers(whisper):
    batch = make_batch(LENGTHS)

    features = whisper.frontend.prepare(batch)["input_features"]

    extractor = WhisperFeatureExtractor.from_pretrained(whisper.folder.path)
    sounds = [row[:length] for row, length in zip(batch.samples, batch.lengths, strict=True)]
    expected = extractor(sounds, sampling_rate=16_000, return_tensors="pt").input_features
    torch.testing.assert_close(features, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("beams", [1, 3])
@pytest.mark.parametrize("asked", [{"language": "hindi", "task": "translate"}, {}])
def test_texts_are_those_of_transformers(whisper, beams, asked):
    batch = make_batch(LENGTHS)

    heard = whisper.generate(batch, Generation(**asked, beams=beams, max_tokens=12))

    told = {"task": "transcribe", **asked}
    texts = reference(whisper, batch, **told, num_beams=beams, max_new_tokens=12)
    assert [row.text for row in heard.rows] == texts
    assert len(set(texts)) > 1
    if asked:
        assert {row.language for row in heard.rows} == {"hi"}


def test_a_text_that_does_not_end_is_called_capped(whisper):
    whole, cut = (
        whisper.generate(make_batch(LENGTHS), Generation(language="de", max_tokens=tokens))
        for tokens in (None, 3)
    )

    assert all(row.truncated and len(row.tokens) == 3 for row in cut.rows)
    assert [row.tokens[:3] for row in whole.rows] == [row.tokens for row in cut.rows]
    # Four ids are the prompt.
    assert {len(row.tokens) for row in whole.rows if row.truncated} <= {48 - 4}


def test_times_are_there_where_they_are_wanted(whisper):
    heard = whisper.generate(make_batch(LENGTHS), Generation(language="en", timestamps=True))

    for row in heard.rows:
        times = [time for one in row.segments for time in (one.start_s, one.end_s)]
        assert times == sorted(times)
        assert times[-1] <= 2.0
        spoken = "".join(one.text for one in row.segments)
        assert spoken.replace(" ", "") == row.text.replace(" ", "")


@pytest.mark.parametrize(
    ("wish", "remedy"),
    [("hindy", "Did you mean hindi?"), ("xx", "code such as en"), ("qqq", "code such as en")],
)
def test_an_unknown_language_is_refused_with_a_suggestion(whisper, wish, remedy):
    with pytest.raises(UsageError, match=f"knows no language '{wish}'") as error:
        whisper.generate(make_batch([3200]), Generation(language=wish))
    assert remedy in error.value.remedy


def test_a_model_of_one_language_cannot_be_told_another(tmp_path):
    model = open_seq2seq_model(str(save_tiny_whisper(tmp_path, multilingual=False)), device=CPU)

    with pytest.raises(UsageError, match="cannot be told 'hindi'"):
        model.generate(make_batch([3200]), Generation(language="hindi"))
    with pytest.raises(UsageError, match="cannot translate"):
        model.generate(make_batch([3200]), Generation(task="translate"))
    assert model.generate(make_batch([3200]), Generation(language="english")).rows[0].tokens


@pytest.mark.parametrize("wish", [Generation(task="sing"), Generation(beams=-1)])
def test_wishes_that_nobody_can_fulfil_are_refused(whisper, wish):
    with pytest.raises(UsageError):
        whisper.generate(make_batch([3200]), wish)


def test_kinds_are_told_by_the_configuration(whisper, tmp_path):
    ctc = find_model(str(save_tiny_model(tmp_path)), kind=None)

    assert kind_of(ctc.read_config()) == "ctc"
    assert kind_of(whisper.folder.read_config()) == "seq2seq"
    with pytest.raises(DataError, match="no decoder"):
        open_seq2seq_model(str(tmp_path), device=CPU)
    with pytest.raises(DataError, match="no CTC head"):
        find_model(whisper.name)


def test_a_decoder_that_cannot_hear_is_refused(tmp_path):
    save_tiny_model(tmp_path)
    decoder = {"model_type": "gpt2", "add_cross_attention": False}
    config = {"model_type": "speech-encoder-decoder", "encoder": {}, "decoder": decoder}
    (tmp_path / "config.json").write_text(json.dumps(config))

    with pytest.raises(DataError, match="has no cross-attention"):
        open_seq2seq_model(str(tmp_path), device=CPU)


def test_a_tokenizer_without_a_filler_fills_with_the_end(whisper):
    settings = copy.deepcopy(whisper.settings)
    settings.pad_token_id = None
    tokenizer = copy.deepcopy(whisper.tokenizer)
    tokenizer.pad_token = None

    reader = SequenceReader.for_model(tokenizer, settings, whisper=True)

    assert reader.filler == whisper.settings.eos_token_id


def test_a_model_without_tokenizer_says_so(tmp_path):
    save_tiny_whisper(tmp_path)
    for name in ("vocab.json", "merges.txt", "tokenizer_config.json"):
        (tmp_path / name).unlink()

    with pytest.raises(DataError, match="tokenizer"):
        open_seq2seq_model(str(tmp_path), device=CPU)


@dataclass(frozen=True)
class StaticCpu(CpuDevice):
    """A CPU that wants one shape for every token, as a Gaudi does."""

    def generation_arguments(self):
        return {"cache_implementation": "static", "disable_compile": True}


@pytest.mark.parametrize("family", WRITERS)
def test_a_static_cache_changes_no_text_where_a_family_has_one(tmp_path, family):
    folder = str(save_tiny_writer(tmp_path, family))
    batch, how = make_batch([9_600]), Generation(max_tokens=9)

    static, plain = (
        open_seq2seq_model(folder, device=kind(frozenset(), "a CPU"), dtype="fp32")
        for kind in (StaticCpu, CpuDevice)
    )

    assert static.generate(batch, how) == plain.generate(batch, how)


@pytest.mark.parametrize("family", WRITERS)
@pytest.mark.parametrize("beams", [1, 2])
def test_other_families_write_what_transformers_has_them_write(tmp_path, family, beams):
    model = open_seq2seq_model(str(save_tiny_writer(tmp_path, family)), device=CPU, dtype="fp32")
    texts = []

    for length in (16_000, 9_600, 5_003):
        batch = make_batch([length], seed=length)
        written = model.generate(batch, Generation(beams=beams, max_tokens=9)).rows[0]
        extractor = AutoFeatureExtractor.from_pretrained(tmp_path)
        inputs = extractor(
            batch.samples[0], sampling_rate=16_000, return_tensors="pt", return_attention_mask=True
        )
        ids = model.network.generate(**inputs, num_beams=beams, max_new_tokens=9)
        texts.append(written.text)
        assert written.text == model.tokenizer.decode(ids[0], skip_special_tokens=True).strip()
        assert written.truncated == (2 not in ids[0, 1:])
    assert any(texts)
    assert not model.padding_invariant or family == "speech-encoder-decoder"
    with pytest.raises(UsageError, match="knows no languages"):
        model.generate(make_batch([3200]), Generation(language="hindi"))


def test_no_beams_are_as_many_as_the_model_says_itself():
    settings = GenerationConfig(num_beams=3)

    assert settle(Generation(beams=0), settings, "a model").beams == 3
    assert settle(Generation(), settings, "a model").beams == 1
