import copy
import time
from contextlib import contextmanager
from dataclasses import replace

import pytest
import torch
from helpers.tiny_models import make_batch
from helpers.tiny_seq2seq import save_tiny_whisper

from gaudi_asr_cli.core.devices.cpu import CpuDevice
from gaudi_asr_cli.core.models.cpu.linear import can_fuse
from gaudi_asr_cli.core.models.cpu.whisper import KVCache, WhisperDecoder
from gaudi_asr_cli.core.models.cpu.whisper_generation import pack_whisper
from gaudi_asr_cli.core.models.seq2seq.fallback import Fallback
from gaudi_asr_cli.core.models.seq2seq.generation import Generation
from gaudi_asr_cli.core.models.seq2seq.model import open_seq2seq_model
from gaudi_asr_cli.core.models.threads import threads

CPU = CpuDevice(frozenset(), "a test's CPU")
LENGTHS = (32_000, 20_003, 9_600, 700, 25_000, 14_000, 3_000)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = save_tiny_whisper(tmp_path_factory.mktemp("whisper"))
    return open_seq2seq_model(str(folder), device=CPU, dtype="fp32")


@pytest.fixture(scope="module")
def packed(model):
    return pack_whisper(model)


def test_the_logits_of_the_first_step_match_transformers(model, packed):
    inputs = model.frontend.prepare(make_batch(LENGTHS))
    prompt = torch.tensor(
        [packed.reader.plan_prompt(Generation(language="<|de|>", task="translate"))]
    )
    prompt = prompt.expand(len(LENGTHS), -1)

    encoded = packed.encode(inputs["input_features"])
    states = packed.decoder.step(prompt, packed.decoder.allocate(encoded, 20))
    logits = packed.decoder.compute_logits(states[:, -1])

    expected = model.network(**inputs, decoder_input_ids=prompt).logits[:, -1]
    torch.testing.assert_close(logits, expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("count", [2, 3, 4])
@pytest.mark.parametrize("windows", [1, 5, 7])
def test_windows_are_encoded_in_order_on_any_number_of_threads(model, packed, count, windows):
    features = model.frontend.prepare(make_batch(LENGTHS[:windows]))["input_features"]
    with threads(1):
        one_by_one = packed.encode(features)

    with threads(count):
        together = packed.encode(features)
        assert torch.get_num_threads() == count

    for window, alone in zip(together, one_by_one, strict=True):
        torch.testing.assert_close(window.frames, alone.frames, rtol=0, atol=1e-5)


@pytest.mark.parametrize("times", [False, True])
@pytest.mark.parametrize("language", ["hindi", None])
@pytest.mark.parametrize("tokens", [None, 5])
def test_greedy_decoding_matches_transformers(model, packed, times, language, tokens):
    inputs = model.frontend.prepare(make_batch(LENGTHS, seed=3))
    config = Generation(language=language, max_tokens=tokens, timestamps=times)

    assert packed.generate_from(inputs, config) == model.generate_from(inputs, config)


def test_finished_rows_are_removed_from_the_batch_and_returned_in_order(model, packed):
    inputs = model.frontend.prepare(make_batch(LENGTHS, seed=5))
    network, settings = model.network, copy.deepcopy(model.settings)
    first = packed.generate_from(inputs, Generation(language="en", max_tokens=12)).rows
    # Tokens that some rows generate later become end tokens.
    candidates = sorted({token for row in first for token in row.tokens[2:]})
    try:
        for end in candidates[:6]:
            network.generation_config.eos_token_id = [settings.eos_token_id, end]
            config = Generation(language="en", max_tokens=12)
            generated = packed.generate_from(inputs, config)
            lengths = {len(row.tokens) for row in generated.rows}
            assert generated == model.generate_from(inputs, config)
            if len(lengths) > 3:
                break
        assert len(lengths) > 1
    finally:
        network.generation_config.eos_token_id = settings.eos_token_id


@pytest.mark.skipif(not can_fuse(torch.bfloat16), reason="no bf16 of oneDNN here")
def test_a_token_in_bf16_does_not_depend_on_the_number_of_rows(tmp_path):
    # Long products, which oneDNN may sum up in another order for a single row.
    fields = {"d_model": 512, "decoder_ffn_dim": 2048, "decoder_layers": 1}
    folder = save_tiny_whisper(tmp_path, **fields)
    packed = pack_whisper(open_seq2seq_model(str(folder), device=CPU, dtype="bf16"))
    (window,) = packed.encode(packed.frontend.prepare(make_batch([9_000]))["input_features"])
    tokens = torch.arange(60)[:, None]

    together = packed.decoder.step(tokens, packed.decoder.allocate([window] * 60, 1))

    for token in range(60):
        alone = packed.decoder.step(tokens[token, None], packed.decoder.allocate([window], 1))
        torch.testing.assert_close(alone[0], together[token], rtol=0, atol=0)


def test_the_time_to_the_first_token_includes_the_encoder(model, packed, monkeypatch):
    inputs = model.frontend.prepare(make_batch(LENGTHS[:2]))
    encode = type(packed).encode
    monkeypatch.setattr(
        type(packed), "encode", lambda self, windows: (time.sleep(0.2), encode(self, windows))[1]
    )

    assert packed.generate_from(inputs, Generation(language="en")).first_token_s > 0.2


@pytest.mark.parametrize("rows", [[0, 1, 2], [2, 0, 1], [1, 1, 2], [2], [0, 0, 0, 1, 1, 1, 2]])
def test_rows_of_the_kv_cache_are_kept_dropped_and_repeated(rows):
    filled = torch.arange(2 * 3 * 2 * 9 * 4).view(2, 3, 2, 9, 4).float()
    kv_cache = KVCache(["a", "b", "c"], [filled.clone(), -filled], length=5)

    kv_cache.select_rows(rows)

    assert kv_cache.windows == ["abc"[row] for row in rows]
    for layer, sign in zip(kv_cache.self_attn, (1, -1), strict=True):
        assert layer.shape == (2, len(rows), 2, 9, 4)
        assert torch.equal(layer[:, :, :, :5], sign * filled[:, rows, :, :5])


def avg_logprobs(generated):
    return [row.stats.avg_logprob for row in generated.rows]


@contextmanager
def settings_of(model, **values):
    """Give the model other generation settings while the block runs."""
    settings = model.network.generation_config
    before = {name: getattr(settings, name) for name in values}
    settings.update(**values)
    try:
        yield
    finally:
        settings.update(**before)


@pytest.mark.parametrize("times", [False, True])
@pytest.mark.parametrize("language", ["hindi", None])
@pytest.mark.parametrize("beams", [2, 5, 30])
def test_beam_search_matches_transformers(model, packed, times, language, beams):
    inputs = model.frontend.prepare(make_batch(LENGTHS, seed=3))
    config = Generation(language=language, beams=beams, max_tokens=9, timestamps=times)

    found, expected = (one.generate_from(inputs, config) for one in (packed, model))

    assert found == expected
    assert avg_logprobs(found) == pytest.approx(avg_logprobs(expected), abs=1e-4)
    assert found.first_token_s > 0


@pytest.mark.parametrize("stopping", [False, True, "never"])
@pytest.mark.parametrize("ends_late", [False, True])
def test_beam_search_ends_where_that_of_transformers_does(model, packed, stopping, ends_late):
    inputs = model.frontend.prepare(make_batch(LENGTHS, seed=5))
    config = Generation(language="en", beams=3, max_tokens=12)
    texts = [row.tokens for row in packed.generate_from(inputs, config).rows]
    # Tokens that some texts have become end tokens.
    ends = {one[-1] for one in texts} if ends_late else {texts[0][5], texts[1][7]}
    ends = [model.settings.eos_token_id, *sorted(ends)]
    lengths = set()

    for penalty in (-1.0, 0.0, 1.0, 2.5):
        settings = {"eos_token_id": ends, "early_stopping": stopping, "length_penalty": penalty}
        with settings_of(model, **settings):
            found, expected = (one.generate_from(inputs, config) for one in (packed, model))
        assert found == expected
        assert avg_logprobs(found) == pytest.approx(avg_logprobs(expected), abs=1e-4)
        lengths.add(tuple(len(row.tokens) for row in found.rows))

    assert len(lengths) > 1
    assert max(len(set(one)) for one in lengths) > 1


def test_beam_search_of_a_row_does_not_depend_on_the_batch(model, packed):
    features = model.frontend.prepare(make_batch(LENGTHS, seed=7))["input_features"]
    config = Generation(language="en", beams=4, max_tokens=10)

    together = packed.generate_from({"input_features": features}, config).rows

    for row, expected in enumerate(together):
        one = {"input_features": features[row : row + 1]}
        assert packed.generate_from(one, config).rows == (expected,)


def test_utterances_with_many_beams_are_searched_in_smaller_batches(model, packed, monkeypatch):
    inputs = model.frontend.prepare(make_batch(LENGTHS))
    config = Generation(language="en", beams=4, max_tokens=6)
    together = packed.generate_from(inputs, config)
    rows = []
    step = WhisperDecoder.step

    def record(self, tokens, kv_cache):
        rows.append(len(tokens))
        return step(self, tokens, kv_cache)

    monkeypatch.setattr(WhisperDecoder, "step", record)
    monkeypatch.setattr("gaudi_asr_cli.core.models.cpu.whisper_generation.BEAM_ROWS", 9)
    with threads(1):
        apart = packed.generate_from(inputs, config)

    assert apart == together
    assert max(rows) == 8


def test_a_poor_text_of_beam_search_is_sampled_again(model, packed):
    inputs = model.frontend.prepare(make_batch(LENGTHS[:2]))
    fallback = Fallback(temperatures=(0.0, 0.5), logprob_threshold=0.0)
    config = Generation(language="en", beams=2, max_tokens=5, fallback=fallback)

    rows = packed.generate_from(inputs, config).rows

    sampled = replace(config, fallback=replace(fallback, temperatures=(0.5,)))
    assert [row.stats.temperature for row in rows] == [0.5, 0.5]
    assert rows == packed.generate_from(inputs, sampled).rows


@pytest.mark.parametrize(
    ("where", "name", "value"),
    [
        ("settings", "no_repeat_ngram_size", 3),
        ("settings", "repetition_penalty", 1.3),
        ("config", "activation_function", "relu"),
        ("config", "scale_embedding", True),
    ],
)
def test_an_unsupported_whisper_is_not_packed(tmp_path, where, name, value):
    model = open_seq2seq_model(str(save_tiny_whisper(tmp_path)), device=CPU, dtype="fp32")
    setattr(model.network.config if where == "config" else model.settings, name, value)

    assert pack_whisper(model) is None


def test_an_english_only_model_is_packed_as_well(tmp_path):
    folder = save_tiny_whisper(tmp_path, multilingual=False)
    model = open_seq2seq_model(str(folder), device=CPU, dtype="fp32")
    inputs = model.frontend.prepare(make_batch(LENGTHS))

    generated = pack_whisper(model).generate_from(inputs, Generation(max_tokens=9))

    assert generated == model.generate_from(inputs, Generation(max_tokens=9))
