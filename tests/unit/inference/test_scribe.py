"""Models that write with a decoder, through the engine: batches, long sound, failures."""

import numpy as np
import pytest
import soundfile
import torch
from helpers.tiny_seq2seq import WINDOW_S, save_tiny_whisper
from transformers import AutoModelForSpeechSeq2Seq, WhisperFeatureExtractor

from gaudi_asr_cli.core.data.audio import LoadedAudio
from gaudi_asr_cli.core.decoding.hypotheses import HypothesisDecoder
from gaudi_asr_cli.core.devices.cpu import CpuDevice
from gaudi_asr_cli.core.errors import UsageError
from gaudi_asr_cli.core.inference import long_form as long_audio
from gaudi_asr_cli.core.inference.seq2seq import open_seq2seq_recognizer
from gaudi_asr_cli.core.inference.transcribe import transcribe
from gaudi_asr_cli.core.models.seq2seq.generation import Generation
from gaudi_asr_cli.core.records import AudioSpan, Utterance

CPU = CpuDevice(frozenset(), "a test's CPU")
HINDI = Generation(language="hi", max_tokens=20)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save_tiny_whisper(tmp_path_factory.mktemp("whisper"))


def draw_sounds(tmp_path, *seconds):
    random = np.random.default_rng(7)
    utterances = []
    for place, length_s in enumerate(seconds):
        path = tmp_path / f"{place}.wav"
        loud = 0.02 + 0.2 * random.random()
        soundfile.write(path, loud * random.standard_normal(int(length_s * 16_000)), 16_000)
        utterances.append(Utterance(f"u{place}", AudioSpan(path)))
    return utterances


def hear(folder, utterances, how=HINDI, **more):
    recognizer = open_seq2seq_recognizer(str(folder), device=CPU, dtype="fp32", how=how, **more)
    return recognizer, list(transcribe(recognizer, utterances, HypothesisDecoder()))


def reference(folder, recognizer, path, **more):
    """transformers' own long-form `generate`, one file at a time."""
    sound, _ = soundfile.read(path, dtype="float32")
    extractor = WhisperFeatureExtractor.from_pretrained(folder)
    features = extractor(
        sound, sampling_rate=16_000, return_tensors="pt", truncation=False, padding="longest"
    ).input_features
    window = extractor.nb_max_frames
    features = torch.nn.functional.pad(features, (0, max(0, window - features.shape[-1])))
    network = AutoModelForSpeechSeq2Seq.from_pretrained(folder).eval()
    ids = network.generate(features, task="transcribe", **more)[0]
    return recognizer.model.reader.tokenizer.decode(ids, skip_special_tokens=True).strip()


def test_batches_write_in_order_what_each_sound_gives_alone(folder, tmp_path):
    sounds = draw_sounds(tmp_path, 0.4, 1.9, 0.1, 1.2, 0.7, 1.6, 2.0, 0.3, 1.1)

    _, together = hear(folder, sounds, rows=4)

    _, alone = hear(folder, sounds, rows=1)
    assert [one.utterance_id for one in together] == [one.id for one in sounds]
    assert [one.transcript for one in together] == [one.transcript for one in alone]
    assert {one.transcript.language for one in together} == {"hi"}
    assert len({one.transcript.text for one in together}) > 4


def test_a_sound_that_cannot_be_read_costs_only_itself(folder, tmp_path):
    sounds = draw_sounds(tmp_path, 0.4, 1.9, 0.6)
    sounds[1].audio.path.write_bytes(b"")
    soundfile.write(sounds[2].audio.path, np.zeros(0), 16_000)

    _, heard = hear(folder, sounds)

    assert [one.error is None for one in heard] == [True, False, False]
    assert "empty" in heard[1].error
    assert "no sound" in heard[2].error


def test_what_is_written_of_no_numbers_is_an_error(tmp_path):
    recognizer = open_seq2seq_recognizer(
        str(save_tiny_whisper(tmp_path)), device=CPU, dtype="fp32", how=HINDI
    )
    recognizer.model.encoder.positions[-1] = float("inf")

    heard = list(transcribe(recognizer, draw_sounds(tmp_path, 0.4, 5.9), HypothesisDecoder()))

    assert [one.transcript for one in heard] == [None, None]
    assert "not finite" in heard[0].error


@pytest.mark.parametrize("language", ["hi", None])
def test_long_sound_gives_the_text_of_transformers(folder, tmp_path, language):
    sounds = draw_sounds(tmp_path, 3.5 * WINDOW_S, 2.2 * WINDOW_S)

    recognizer, heard = hear(folder, sounds, Generation(language=language, max_tokens=30))

    for one, sound in zip(heard, sounds, strict=True):
        expected = reference(
            folder, recognizer, sound.audio.path, language=language, max_new_tokens=30,
            return_timestamps=True,
        )  # fmt: skip
        assert one.transcript.text == expected
        times = [time for word in one.transcript.words for time in (word.start_s, word.end_s)]
        assert times == sorted(times)
        assert times[-1] <= one.duration_s + 1e-6


@pytest.mark.parametrize("long", ["sequential", "batched"])
def test_a_sound_read_in_blocks_gives_what_it_gives_whole(folder, tmp_path, monkeypatch, long):
    sounds = draw_sounds(tmp_path, 4.3 * WINDOW_S)
    how = Generation(language="de", max_tokens=30, timestamps=True)

    _, whole = hear(folder, sounds, how, long=long)

    monkeypatch.setattr("gaudi_asr_cli.core.inference.transcribe.LONG_S", 1.0)
    monkeypatch.setattr(long_audio, "BLOCK_S", 3)
    _, blocks = hear(folder, sounds, how, long=long)
    assert whole[0].transcript.text == blocks[0].transcript.text
    assert whole[0].transcript.words == blocks[0].transcript.words
    assert blocks[0].duration_s == pytest.approx(whole[0].duration_s)
    assert len(whole[0].transcript.words) > 3


def test_long_sound_is_read_no_further_than_it_is_written(folder):
    recognizer = open_seq2seq_recognizer(str(folder), device=CPU, dtype="fp32", how=HINDI)
    seen: list[int] = []

    def blocks():
        for number in range(12):
            seen.append(number)
            yield LoadedAudio(np.full(16_000, 0.01 * number, np.float32))

    mel_stream = recognizer.model.frontend.stream(block.samples for block in blocks())
    first = next(mel_stream)

    assert seen == [0]
    assert first.shape[1] < 100


def test_the_stream_of_features_is_the_whole_of_them(folder):
    mel = open_seq2seq_recognizer(str(folder), device=CPU, how=HINDI).model.frontend
    sound = np.random.default_rng(0).standard_normal(50_123).astype(np.float32)

    for sizes in ([50_123], [100, 50_000, 23], [16_000] * 3 + [2_123], [1] * 50 + [50_073]):
        cuts = np.split(sound, np.cumsum(sizes)[:-1])
        stretches = list(mel.stream(cuts))
        torch.testing.assert_close(torch.cat(stretches, 1), mel.spectrum(sound), atol=1e-5, rtol=0)


def test_a_way_of_long_audio_that_there_is_not_is_refused(folder):
    with pytest.raises(UsageError, match="no way 'backwards'"):
        open_seq2seq_recognizer(str(folder), device=CPU, how=HINDI, long="backwards")
