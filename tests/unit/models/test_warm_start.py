"""Two checkpoints joined: what is kept of each, what starts at random, what cannot be joined."""

import json

import pytest
import torch
import transformers
from helpers.tiny_models import make_batch, save_tiny_model
from helpers.tiny_text_models import WORDS, save_tiny_text_model
from safetensors.torch import load_file, save_file

from gaudi_asr_cli.core.devices import open_device
from gaudi_asr_cli.core.errors import DataError, RecipeError, UsageError
from gaudi_asr_cli.core.models.quiet import quiet_transformers
from gaudi_asr_cli.core.models.seq2seq.generation import Generation
from gaudi_asr_cli.core.models.seq2seq.labels import open_labeller
from gaudi_asr_cli.core.models.seq2seq.model import open_seq2seq_model
from gaudi_asr_cli.core.models.seq2seq.warm_start import WarmStart, join, save_joined


@pytest.fixture(scope="module")
def halves(tmp_path_factory):
    root = tmp_path_factory.mktemp("halves")
    return save_tiny_model(root / "ctc", "wav2vec2"), save_tiny_text_model(root / "bart")


def joined_from(halves, **settings):
    encoder, decoder = halves
    return join(WarmStart(str(encoder), str(decoder), **settings))


def counts(joined):
    return {one.part: (one.pretrained > 0, one.random > 0) for one in joined.weights}


def test_both_halves_keep_their_weights_and_the_adapter_is_new(halves):
    joined = joined_from(halves)

    spoken, written = (load_file(half / "model.safetensors") for half in halves)
    state = joined.network.state_dict()
    heard = "encoder.layers.0.attention.q_proj.weight"
    wrote = "decoder.layers.1.encoder_attn.q_proj.weight"
    assert torch.equal(state[f"encoder.{heard}"], spoken[f"wav2vec2.{heard}"])
    assert torch.equal(state[f"decoder.model.{wrote}"], written[f"model.{wrote}"])
    assert counts(joined)["adapter"] == (False, True)
    assert counts(joined)["decoder"] == (True, False)
    total = sum(one.pretrained + one.random for one in joined.weights)
    assert total == sum(weight.numel() for weight in joined.network.parameters())


def test_an_embedding_that_a_checkpoint_shares_is_not_lost(halves):
    joined = joined_from(halves)

    shared = load_file(halves[1] / "model.safetensors")["model.shared.weight"]
    assert torch.equal(joined.network.decoder.get_input_embeddings().weight, shared)
    assert torch.equal(joined.network.decoder.get_output_embeddings().weight, shared)


def test_each_adapter_layer_halves_the_states(halves):
    frames_s = [joined_from(halves, adapter_layers=layers).state_s for layers in (0, 1, 3)]

    assert frames_s[1] == pytest.approx(2 * frames_s[0])
    assert frames_s[2] == pytest.approx(8 * frames_s[0])


def test_dropouts_are_off_and_generation_is_set_where_it_belongs(halves):
    joined = joined_from(halves, max_tokens=9, beams=2)

    network = joined.network
    encoder, how = network.config.encoder, network.generation_config
    assert (encoder.layerdrop, encoder.feat_proj_dropout) == (0.0, 0.0)
    assert (how.max_length, how.num_beams) == (9, 2)
    assert (how.decoder_start_token_id, how.pad_token_id, how.eos_token_id) == (0, 1, 2)
    assert network.config.pad_token_id == 1


def test_what_is_saved_opens_in_transformers_and_here(halves, tmp_path):
    save_joined(joined_from(halves), tmp_path / "both")

    with quiet_transformers():
        processor = transformers.AutoProcessor.from_pretrained(tmp_path / "both")
        network, report = transformers.AutoModelForSpeechSeq2Seq.from_pretrained(
            tmp_path / "both", output_loading_info=True
        )
    model = open_seq2seq_model(str(tmp_path / "both"), device=open_device("cpu"), dtype="fp32")
    assert not report["missing_keys"]
    assert processor.tokenizer("one two")["input_ids"] == [0, 4, 5, 2]
    assert network.generation_config.num_beams == 5
    assert len(model.generate(make_batch([16_000])).rows) == 1
    assert not (tmp_path / "both" / "processor_config.json").exists()
    settings = json.loads((tmp_path / "both" / "tokenizer_config.json").read_text())
    assert settings["tokenizer_class"] == "PreTrainedTokenizerFast"  # what 4.55 knows as well


def test_labels_do_not_begin_with_the_start_that_the_decoder_gets_anyway(halves, tmp_path):
    save_joined(joined_from(halves), tmp_path / "both")
    model = open_seq2seq_model(str(tmp_path / "both"), device=open_device("cpu"), dtype="fp32")

    labels = open_labeller(model, Generation()).label("one two")

    assert labels == (4, 5, 2)


def test_a_bert_gets_a_cross_attention_of_random_weights(halves, tmp_path):
    decoder = save_tiny_text_model(tmp_path / "bert", "Bert")

    joined = join(WarmStart(str(halves[0]), str(decoder)))

    part = next(one for one in joined.weights if one.part == "decoder")
    fresh = sum(w.numel() for n, w in joined.network.named_parameters() if "crossattention" in n)
    assert part.pretrained > 0
    assert part.random >= fresh > 0


def test_a_decoder_without_cross_attention_is_refused(halves, tmp_path):
    decoder = save_tiny_text_model(tmp_path / "llama", "Llama")

    with pytest.raises(DataError, match="no attention over what an encoder says") as caught:
        join(WarmStart(str(halves[0]), str(decoder)))

    assert "facebook/bart-base" in caught.value.remedy


def test_a_model_that_writes_nothing_is_no_decoder(halves):
    with pytest.raises(DataError, match="'wav2vec2' has no class that writes text"):
        join(WarmStart(str(halves[0]), str(halves[0])))


def test_a_tokenizer_without_a_padding_token_needs_one_to_be_named(halves, tmp_path):
    decoder = save_tiny_text_model(tmp_path / "gpt2", "GPT2", pads=False, wraps=False)

    with pytest.raises(DataError, match="no padding token") as caught:
        join(WarmStart(str(halves[0]), str(decoder)))
    named = join(WarmStart(str(halves[0]), str(decoder), pad_token="</s>"))

    assert "--pad-token '</s>'" in caught.value.remedy
    assert named.network.config.pad_token_id == named.tokenizer.eos_token_id


def test_a_tokenizer_of_another_model_is_refused(halves, tmp_path):
    decoder = save_tiny_text_model(tmp_path / "bart", words=[*WORDS, "nine"])
    state = load_file(decoder / "model.safetensors")
    cut = {n: t[:-1].clone() if "shared" in n else t for n, t in state.items()}
    cut = {n: t[:, :-1].clone() if "final_logits_bias" in n else t for n, t in cut.items()}
    save_file(cut, decoder / "model.safetensors", metadata={"format": "pt"})
    config = json.loads((decoder / "config.json").read_text())
    (decoder / "config.json").write_text(json.dumps({**config, "vocab_size": 10}))

    with pytest.raises(DataError, match="11 tokens, the decoder only 10"):
        join(WarmStart(str(halves[0]), str(decoder)))


def test_an_encoder_whose_family_has_no_adapter_can_do_without(halves, tmp_path):
    encoder = save_tiny_model(tmp_path / "hubert", "hubert")

    with pytest.raises(RecipeError, match="add_adapter"):
        join(WarmStart(str(encoder), str(halves[1])))
    plain = join(WarmStart(str(encoder), str(halves[1]), adapter_layers=0))

    assert "adapter" not in counts(plain)


def test_wider_positions_change_nothing_before_they_learn(halves):
    plain = joined_from(halves)
    wide = joined_from(halves, position_frames=24)

    sound = torch.from_numpy(make_batch([16_000]).samples)
    heard = [one.network.encoder.eval()(sound).extract_features for one in (plain, wide)]
    inner = [
        one.network.encoder.encoder(heard[0].new_ones(1, 30, 16)).last_hidden_state
        for one in (plain, wide)
    ]
    added = next(one for one in wide.weights if one.part == "positions")
    kernel = wide.network.encoder.encoder.pos_conv_embed.conv.weight
    assert torch.allclose(inner[0], inner[1], atol=1e-6)
    assert kernel.shape[-1] == wide.network.config.encoder.num_conv_pos_embeddings == 24
    assert (added.pretrained, added.random) == (0, 16 * 8 * 16 + 16)  # 16 frames more, and gains


@pytest.mark.parametrize("frames", [6, 9])
def test_positions_are_not_narrowed_or_shifted(halves, frames):
    with pytest.raises(UsageError, match="covers 8"):
        joined_from(halves, position_frames=frames)
