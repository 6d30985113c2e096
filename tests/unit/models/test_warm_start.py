"""Warm start from two checkpoints: pretrained weights, random weights, invalid pairs."""

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
def checkpoints(tmp_path_factory):
    root = tmp_path_factory.mktemp("checkpoints")
    return save_tiny_model(root / "ctc", "wav2vec2"), save_tiny_text_model(root / "bart")


def joined_from(checkpoints, **settings):
    encoder, decoder = checkpoints
    return join(WarmStart(str(encoder), str(decoder), **settings))


def counts(joined):
    return {one.part: (one.pretrained > 0, one.random > 0) for one in joined.weights}


def test_encoder_and_decoder_keep_their_weights_and_the_adapter_is_random(checkpoints):
    joined = joined_from(checkpoints)

    encoder, decoder = (load_file(path / "model.safetensors") for path in checkpoints)
    state = joined.network.state_dict()
    in_encoder = "encoder.layers.0.attention.q_proj.weight"
    in_decoder = "decoder.layers.1.encoder_attn.q_proj.weight"
    assert torch.equal(state[f"encoder.{in_encoder}"], encoder[f"wav2vec2.{in_encoder}"])
    assert torch.equal(state[f"decoder.model.{in_decoder}"], decoder[f"model.{in_decoder}"])
    assert counts(joined)["adapter"] == (False, True)
    assert counts(joined)["decoder"] == (True, False)
    total = sum(one.pretrained + one.random for one in joined.weights)
    assert total == sum(weight.numel() for weight in joined.network.parameters())


def test_a_shared_embedding_is_loaded(checkpoints):
    joined = joined_from(checkpoints)

    shared = load_file(checkpoints[1] / "model.safetensors")["model.shared.weight"]
    assert torch.equal(joined.network.decoder.get_input_embeddings().weight, shared)
    assert torch.equal(joined.network.decoder.get_output_embeddings().weight, shared)


def test_each_adapter_layer_halves_the_frame_rate(checkpoints):
    frames_s = [joined_from(checkpoints, adapter_layers=layers).state_s for layers in (0, 1, 3)]

    assert frames_s[1] == pytest.approx(2 * frames_s[0])
    assert frames_s[2] == pytest.approx(8 * frames_s[0])


def test_dropouts_are_off_and_generation_settings_are_in_the_generation_config(checkpoints):
    joined = joined_from(checkpoints, max_tokens=9, beams=2)

    network = joined.network
    encoder, generation = network.config.encoder, network.generation_config
    assert (encoder.layerdrop, encoder.feat_proj_dropout) == (0.0, 0.0)
    assert (generation.max_length, generation.num_beams) == (9, 2)
    tokens = (generation.decoder_start_token_id, generation.pad_token_id, generation.eos_token_id)
    assert tokens == (0, 1, 2)
    assert network.config.pad_token_id == 1


def test_a_saved_model_opens_in_transformers_and_here(checkpoints, tmp_path):
    save_joined(joined_from(checkpoints), tmp_path / "both")

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
    assert settings["tokenizer_class"] == "PreTrainedTokenizerFast"  # 4.55 knows this class too


def test_labels_do_not_begin_with_the_decoder_start_token(checkpoints, tmp_path):
    save_joined(joined_from(checkpoints), tmp_path / "both")
    model = open_seq2seq_model(str(tmp_path / "both"), device=open_device("cpu"), dtype="fp32")

    labels = open_labeller(model, Generation()).label("one two")

    assert labels == (4, 5, 2)


def test_a_bert_gets_a_random_cross_attention(checkpoints, tmp_path):
    decoder = save_tiny_text_model(tmp_path / "bert", "Bert")

    joined = join(WarmStart(str(checkpoints[0]), str(decoder)))

    part = next(one for one in joined.weights if one.part == "decoder")
    fresh = sum(w.numel() for n, w in joined.network.named_parameters() if "crossattention" in n)
    assert part.pretrained > 0
    assert part.random >= fresh > 0


def test_a_decoder_without_cross_attention_is_rejected(checkpoints, tmp_path):
    decoder = save_tiny_text_model(tmp_path / "llama", "Llama")

    with pytest.raises(DataError, match="no cross-attention") as caught:
        join(WarmStart(str(checkpoints[0]), str(decoder)))

    assert "facebook/bart-base" in caught.value.remedy


def test_a_model_that_generates_no_text_is_rejected_as_decoder(checkpoints):
    with pytest.raises(DataError, match="'wav2vec2' has no class that generates text"):
        join(WarmStart(str(checkpoints[0]), str(checkpoints[0])))


def test_a_tokenizer_without_a_padding_token_needs_pad_token(checkpoints, tmp_path):
    decoder = save_tiny_text_model(tmp_path / "gpt2", "GPT2", pads=False, wraps=False)

    with pytest.raises(DataError, match="no padding token") as caught:
        join(WarmStart(str(checkpoints[0]), str(decoder)))
    named = join(WarmStart(str(checkpoints[0]), str(decoder), pad_token="</s>"))

    assert "--pad-token '</s>'" in caught.value.remedy
    assert named.network.config.pad_token_id == named.tokenizer.eos_token_id


def test_a_tokenizer_of_another_model_is_rejected(checkpoints, tmp_path):
    decoder = save_tiny_text_model(tmp_path / "bart", words=[*WORDS, "nine"])
    state = load_file(decoder / "model.safetensors")
    cut = {n: t[:-1].clone() if "shared" in n else t for n, t in state.items()}
    cut = {n: t[:, :-1].clone() if "final_logits_bias" in n else t for n, t in cut.items()}
    save_file(cut, decoder / "model.safetensors", metadata={"format": "pt"})
    config = json.loads((decoder / "config.json").read_text())
    (decoder / "config.json").write_text(json.dumps({**config, "vocab_size": 10}))

    with pytest.raises(DataError, match="11 tokens, the decoder only 10"):
        join(WarmStart(str(checkpoints[0]), str(decoder)))


def test_an_encoder_family_without_adapter_works_with_zero_adapter_layers(checkpoints, tmp_path):
    encoder = save_tiny_model(tmp_path / "hubert", "hubert")

    with pytest.raises(RecipeError, match="add_adapter"):
        join(WarmStart(str(encoder), str(checkpoints[1])))
    plain = join(WarmStart(str(encoder), str(checkpoints[1]), adapter_layers=0))

    assert "adapter" not in counts(plain)


def test_wider_positions_do_not_change_the_output_before_training(checkpoints):
    plain = joined_from(checkpoints)
    widened = joined_from(checkpoints, position_frames=24)

    samples = torch.from_numpy(make_batch([16_000]).samples)
    features = [one.network.encoder.eval()(samples).extract_features for one in (plain, widened)]
    encoded = [
        one.network.encoder.encoder(features[0].new_ones(1, 30, 16)).last_hidden_state
        for one in (plain, widened)
    ]
    added = next(one for one in widened.weights if one.part == "positions")
    kernel = widened.network.encoder.encoder.pos_conv_embed.conv.weight
    assert torch.allclose(encoded[0], encoded[1], atol=1e-6)
    assert kernel.shape[-1] == widened.network.config.encoder.num_conv_pos_embeddings == 24
    assert (added.pretrained, added.random) == (0, 16 * 8 * 16 + 16)  # 16 frames more, and gains


@pytest.mark.parametrize("frames", [6, 9])
def test_an_invalid_number_of_position_frames_is_rejected(checkpoints, frames):
    with pytest.raises(UsageError, match="covers 8"):
        joined_from(checkpoints, position_frames=frames)
