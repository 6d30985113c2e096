"""Models that receive audio at another rate than 16 kHz."""

import json

import numpy as np
import pytest
import soundfile
import torch
from helpers.audio_files import speech
from helpers.run import run_here
from helpers.tiny_corpus import write_corpus
from helpers.tiny_models import save_tiny_model
from helpers.tiny_seq2seq import save_tiny_seq2seq, save_tiny_whisper
from transformers import AutoModelForCTC, SeamlessM4TFeatureExtractor, Wav2Vec2FeatureExtractor

from gaudi_asr_cli.core.data.audio import load_audio
from gaudi_asr_cli.core.devices import open_device
from gaudi_asr_cli.core.errors import DataError
from gaudi_asr_cli.core.inference.ctc import accelerate, open_full_precision
from gaudi_asr_cli.core.inference.recognizer import batch_one
from gaudi_asr_cli.core.models.ctc.model import open_ctc_model
from gaudi_asr_cli.core.models.geometry import geometry_from_config
from gaudi_asr_cli.core.models.seq2seq.model import open_seq2seq_model
from gaudi_asr_cli.core.records import AudioSpan, Utterance

CPU = open_device("cpu")
WAV2VEC2 = {"model_type": "wav2vec2", "conv_kernel": [10, 3, 3], "conv_stride": [5, 4, 4]}


def set_rate(model, rate_hz):
    path = model / "preprocessor_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "sampling_rate": rate_hz}))
    return model


@pytest.fixture(scope="module")
def recordings(tmp_path_factory):
    """The same telephone speech at 8 and 16 kHz, and its samples at 8 kHz."""
    import soxr

    folder = tmp_path_factory.mktemp("recordings")
    # Below 3.4 kHz, as a telephone transmits: nothing is there that only one rate can hold.
    narrow = soxr.resample(soxr.resample(speech(2.0), 16_000, 6_800, "VHQ"), 6_800, 16_000, "VHQ")
    samples = soxr.resample(narrow, 16_000, 8_000, "VHQ").astype(np.float32)
    soundfile.write(folder / "a8.wav", samples, 8_000, subtype="FLOAT")
    soundfile.write(folder / "a16.wav", narrow, 16_000, subtype="FLOAT")
    return folder, samples


@pytest.mark.parametrize("family", ["wav2vec2", "wav2vec2-layer-norm", "wavlm", "wav2vec2-bert"])
@pytest.mark.parametrize("file", ["a8.wav", "a16.wav"])
def test_an_8_khz_model_reads_files_of_8_and_16_khz_alike(tmp_path, recordings, family, file):
    folder, samples = recordings
    model = set_rate(save_tiny_model(tmp_path / "model", family), 8_000)
    loaded = load_audio(AudioSpan(folder / file)).samples

    recognizer = accelerate(open_full_precision(str(model), device=CPU, dtype="fp32"))
    ours = recognizer.emissions(batch_one(loaded, Utterance("a", AudioSpan(folder / file))))

    mel = family == "wav2vec2-bert"
    kind = SeamlessM4TFeatureExtractor if mel else Wav2Vec2FeatureExtractor
    inputs = kind.from_pretrained(model)(samples, sampling_rate=8_000, return_tensors="pt")
    with torch.inference_mode():
        theirs = AutoModelForCTC.from_pretrained(model)(**inputs).logits.log_softmax(-1).numpy()
    frames = theirs.shape[1]
    assert ours.frames[0] in (frames, frames - mel)
    same = ours.log_probs[0, : ours.frames[0]].argmax(-1) == theirs[0, : ours.frames[0]].argmax(-1)
    assert same.mean() > (0.9 if mel else 0.97)
    assert ours.frame_s * frames == pytest.approx(2.0, abs=0.05)


def test_both_files_have_the_same_text_and_times(tmp_path, recordings):
    folder, _ = recordings
    model = set_rate(save_tiny_model(tmp_path / "model"), 8_000)

    lines = [
        json.loads(
            run_here("infer", folder / name, "--model", model, "--json", "--dtype", "fp32").stdout
        )
        for name in ("a8.wav", "a16.wav")
    ]

    first, second = (line["transcripts"][0] if "transcripts" in line else line for line in lines)
    assert first["text"] == second["text"]
    assert first["text"]
    assert first["words"][-1]["end_s"] == pytest.approx(second["words"][-1]["end_s"], abs=0.05)


def test_a_model_at_8_khz_is_trained_and_saved_at_8_khz(tmp_path):
    model = set_rate(save_tiny_model(tmp_path / "model", letters="efghinorstuvwxz"), 8_000)
    corpus = write_corpus(tmp_path / "corpus", utterances=4)

    result = run_here(
        "finetune-ctc", "--model", model, "--train", corpus, "--eval", corpus, "--run",
        tmp_path / "run", "--max-steps", "2", "--batch", "2", "--dtype", "fp32", "--device", "cpu",
    )  # fmt: skip

    assert result.exit_code == 0, result.stderr
    saved = json.loads((tmp_path / "run/model/preprocessor_config.json").read_text())
    assert saved["sampling_rate"] == 8_000


@pytest.mark.parametrize("rate_hz", [8_000, 16_000, 32_000])
@pytest.mark.parametrize("seconds", [0.001, 0.5, 1.00003])
def test_frames_are_counted_at_the_rate_of_the_model(rate_hz, seconds):
    geometry = geometry_from_config(WAV2VEC2, rate_hz)
    at_rate = geometry_from_config(WAV2VEC2)

    samples = max(int(seconds * 16_000), geometry.minimum_samples)

    assert geometry.count_frames(samples) == at_rate.count_frames(-(-samples * rate_hz // 16_000))
    assert geometry.count_frames(0) == 1
    assert geometry.frame_s == pytest.approx(at_rate.frame_s * 16_000 / rate_hz)


def test_a_rate_with_fractional_frames_is_rejected(tmp_path):
    model = set_rate(save_tiny_model(tmp_path), 44_100)

    with pytest.raises(DataError, match="44100 Hz"):
        open_ctc_model(str(model), device=CPU)


@pytest.mark.parametrize("rate_hz", [0, -8_000, "8000", 8000.5, True, 10**9, [8_000]])
def test_a_rate_that_is_none_of_speech_is_named(tmp_path, rate_hz):
    model = set_rate(save_tiny_model(tmp_path), rate_hz)

    with pytest.raises(DataError, match="sampling_rate is"):
        open_ctc_model(str(model), device=CPU)


def test_a_whisper_at_another_rate_is_rejected(tmp_path):
    model = set_rate(save_tiny_whisper(tmp_path), 8_000)

    with pytest.raises(DataError, match="a Whisper receives 16000 Hz"):
        open_seq2seq_model(str(model), device=CPU)


def test_the_encoder_of_an_encoder_decoder_receives_its_rate(tmp_path, recordings):
    folder, samples = recordings
    model = set_rate(save_tiny_seq2seq(tmp_path, "speech-encoder-decoder"), 8_000)
    opened = open_seq2seq_model(str(model), device=CPU, dtype="fp32")
    loaded = load_audio(AudioSpan(folder / "a8.wav")).samples

    inputs = opened.frontend.prepare(batch_one(loaded, Utterance("a", AudioSpan(folder))))

    assert inputs["input_values"].shape[1] == len(samples)
