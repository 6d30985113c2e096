"""Inference with seq2seq models: batches, long-form audio, failures."""

from dataclasses import replace
from itertools import count
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from helpers.tiny_seq2seq import WINDOW_S, save_tiny_whisper
from transformers import AutoModelForSpeechSeq2Seq, WhisperFeatureExtractor

from gaudi_asr_cli.core.data.audio import LoadedAudio
from gaudi_asr_cli.core.devices.cpu import CpuDevice
from gaudi_asr_cli.core.errors import UsageError
from gaudi_asr_cli.core.inference import long_form
from gaudi_asr_cli.core.inference.options import InferenceOptions
from gaudi_asr_cli.core.inference.recognizer import batch_one, open_recognizer
from gaudi_asr_cli.core.inference.transcribe import transcribe
from gaudi_asr_cli.core.inference.vad import SpeechDetector
from gaudi_asr_cli.core.models.cpu.whisper_generation import CpuWhisper
from gaudi_asr_cli.core.models.silero import VAD_FRAME_S
from gaudi_asr_cli.core.models.threads import threads
from gaudi_asr_cli.core.records import AudioSpan, Generated, Hypothesis, Utterance

CPU = CpuDevice(frozenset(), "a test's CPU")
HINDI = InferenceOptions(dtype="fp32", language="hi", max_tokens=20, timestamps="none")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save_tiny_whisper(tmp_path_factory.mktemp("whisper"))


def write_noise(tmp_path, *seconds):
    random = np.random.default_rng(7)
    utterances = []
    for index, length_s in enumerate(seconds):
        path = tmp_path / f"{index}.wav"
        amplitude = 0.02 + 0.2 * random.random()
        soundfile.write(path, amplitude * random.standard_normal(int(length_s * 16_000)), 16_000)
        utterances.append(Utterance(f"u{index}", AudioSpan(path)))
    return utterances


def transcribe_all(folder, utterances, options=HINDI, **more):
    recognizer = open_recognizer(str(folder), CPU, replace(options, **more))
    return recognizer, list(transcribe(recognizer, utterances))


def generate_reference(folder, recognizer, path, **more):
    """Run transformers' own long-form `generate` on one file."""
    samples, _ = soundfile.read(path, dtype="float32")
    extractor = WhisperFeatureExtractor.from_pretrained(folder)
    features = extractor(
        samples, sampling_rate=16_000, return_tensors="pt", truncation=False, padding="longest"
    ).input_features
    window = extractor.nb_max_frames
    features = torch.nn.functional.pad(features, (0, max(0, window - features.shape[-1])))
    network = AutoModelForSpeechSeq2Seq.from_pretrained(folder).eval()
    ids = network.generate(features, task="transcribe", **more)[0]
    return recognizer.model.reader.tokenizer.decode(ids, skip_special_tokens=True).strip()


def test_batched_results_are_in_order_and_equal_unbatched_ones(folder, tmp_path):
    clips = write_noise(tmp_path, 0.4, 1.9, 0.1, 1.2, 0.7, 1.6, 2.0, 0.3, 1.1)

    _, batched = transcribe_all(folder, clips, batch_size=4)

    _, unbatched = transcribe_all(folder, clips, batch_size=1)
    assert [one.utterance_id for one in batched] == [one.id for one in clips]
    assert [one.transcript for one in batched] == [one.transcript for one in unbatched]
    assert {one.transcript.language for one in batched} == {"hi"}
    assert len({one.transcript.text for one in batched}) > 4


def test_unreadable_clip_affects_only_itself(folder, tmp_path):
    clips = write_noise(tmp_path, 0.4, 1.9, 0.6)
    clips[1].audio.path.write_bytes(b"")
    soundfile.write(clips[2].audio.path, np.zeros(0), 16_000)

    _, results = transcribe_all(folder, clips)

    assert [one.error is None for one in results] == [True, False, False]
    assert "empty" in results[1].error
    assert "no audio" in results[2].error


def test_output_that_is_not_finite_is_an_error(tmp_path):
    recognizer = open_recognizer(str(save_tiny_whisper(tmp_path)), CPU, HINDI)
    with torch.inference_mode():
        recognizer.model.encoder.positions[-1] = float("inf")

    results = list(transcribe(recognizer, write_noise(tmp_path, 0.4, 5.9)))

    assert [one.transcript for one in results] == [None, None]
    assert "not finite" in results[0].error


@pytest.mark.parametrize("language", ["hi", None])
def test_long_audio_gives_the_text_of_transformers(folder, tmp_path, language):
    clips = write_noise(tmp_path, 3.5 * WINDOW_S, 2.2 * WINDOW_S)

    recognizer, results = transcribe_all(folder, clips, language=language, max_tokens=30)

    for one, clip in zip(results, clips, strict=True):
        expected = generate_reference(
            folder, recognizer, clip.audio.path, language=language, max_new_tokens=30,
            return_timestamps=True,
        )  # fmt: skip
        assert one.transcript.text == expected
        times = [time for word in one.transcript.words for time in (word.start_s, word.end_s)]
        assert times == sorted(times)
        assert times[-1] <= one.duration_s + 1e-6


@pytest.mark.parametrize("long", ["sequential", "batched"])
def test_audio_read_in_blocks_gives_the_transcript_of_the_whole(
    folder, tmp_path, monkeypatch, long
):
    clips = write_noise(tmp_path, 4.3 * WINDOW_S)
    options = replace(HINDI, language="de", max_tokens=30, timestamps="word", long=long)

    _, whole = transcribe_all(folder, clips, options)

    monkeypatch.setattr("gaudi_asr_cli.core.inference.transcribe.LONG_S", 1.0)
    monkeypatch.setattr(long_form, "LONG_BLOCK_S", 3)
    _, blocks = transcribe_all(folder, clips, options)
    assert whole[0].transcript.text == blocks[0].transcript.text
    assert whole[0].transcript.words == blocks[0].transcript.words
    assert blocks[0].duration_s == pytest.approx(whole[0].duration_s)
    words = whole[0].transcript.words
    assert len(words) > 3
    assert any(word.confidence is not None for word in words)
    times = [time_s for word in words for time_s in (word.start_s, word.end_s)]
    assert times == sorted(times)
    assert 0 <= times[0] <= times[-1] <= whole[0].duration_s + 1e-6


def test_long_audio_is_read_lazily(folder):
    recognizer = open_recognizer(str(folder), CPU, HINDI)
    read: list[int] = []

    def blocks():
        for number in range(12):
            read.append(number)
            yield LoadedAudio(np.full(16_000, 0.01 * number, np.float32))

    mel_stream = recognizer.model.frontend.stream(block.samples for block in blocks())
    first = next(mel_stream)

    assert read == [0]
    assert first.shape[1] < 100


def test_streamed_features_equal_those_of_the_whole_audio(folder):
    mel = open_recognizer(str(folder), CPU, HINDI).model.frontend
    samples = np.random.default_rng(0).standard_normal(50_123).astype(np.float32)

    for sizes in ([50_123], [100, 50_000, 23], [16_000] * 3 + [2_123], [1] * 50 + [50_073]):
        blocks = np.split(samples, np.cumsum(sizes)[:-1])
        spectra = list(mel.stream(blocks))
        torch.testing.assert_close(torch.cat(spectra, 1), mel.spectrum(samples), atol=1e-5, rtol=0)


def test_unknown_long_form_algorithm_is_an_error(folder):
    with pytest.raises(UsageError, match="no long-form algorithm 'backwards'"):
        open_recognizer(str(folder), CPU, replace(HINDI, long="backwards"))


def test_queued_attempts_of_the_fallback_encode_a_window_once(folder, tmp_path, monkeypatch):
    encoded = []
    encode = CpuWhisper.encode

    def count(self, windows):
        encoded.append(len(windows))
        return encode(self, windows)

    monkeypatch.setattr(CpuWhisper, "encode", count)
    # No text is as probable as that, so all attempts are made.
    options = {"temperatures": (0.0, 0.4, 0.8), "logprob_threshold": -1e-6, "best_of": 2}
    options |= {"no_speech_threshold": None, "vad": "off"}
    utterances = write_noise(tmp_path, 0.7, 1.3, 0.9)
    recognizer, expected = transcribe_all(folder, utterances, **options)
    encoded.clear()
    calls = []

    class Queue:
        def run(self, call):
            calls.append(call)
            return recognizer.run_calls([call])[0]

    found = list(transcribe(recognizer.queued(Queue()), utterances))

    assert [one.transcript for one in found] == [one.transcript for one in expected]
    assert len(calls) > 2
    assert sum(encoded) == len(utterances)


@pytest.mark.parametrize(
    ("width", "given", "rows"), [(16, None, 16), (16, 3, 3), (512, None, 16), (520, None, 8)]
)
def test_a_narrow_whisper_has_larger_batches(tmp_path, width, given, rows):
    folder = save_tiny_whisper(tmp_path, d_model=width)

    recognizer = open_recognizer(str(folder), CPU, replace(HINDI, batch_size=given))

    assert recognizer.batching.utterances == rows


def test_with_fallback_zeros_follow_the_audio_as_in_openai_whisper(folder):
    samples = np.random.default_rng(0).standard_normal(8_000).astype(np.float32)
    batch = batch_one(samples, Utterance("u", AudioSpan(Path("u.wav"))))
    features = {}
    for temperatures in (None, (0.0,)):
        options = InferenceOptions(dtype="fp32", temperatures=temperatures)
        recognizer = open_recognizer(str(folder), CPU, options)
        features[temperatures] = recognizer.extract_features(batch)["input_features"][0]

    extractor = WhisperFeatureExtractor.from_pretrained(folder)
    expected = extractor(samples, sampling_rate=16_000, return_tensors="pt").input_features[0]
    torch.testing.assert_close(features[0.0,], expected, rtol=0, atol=1e-4)
    torch.testing.assert_close(features[None][:, :50], expected[:, :50], rtol=0, atol=1e-4)
    assert (features[None][:, 50:] == 0).all()


@pytest.mark.parametrize(
    ("long", "vad"), [("sequential", "auto"), ("batched", "auto"), ("auto", "off")]
)
def test_parts_between_pauses_share_batches_and_keep_their_text(
    folder, tmp_path, monkeypatch, long, vad
):
    monkeypatch.setattr("gaudi_asr_cli.core.inference.vad.find_weights", lambda: None)
    monkeypatch.setattr("gaudi_asr_cli.core.inference.seq2seq.PART_S", 1.5 * WINDOW_S)
    random = np.random.default_rng(3)
    burst = 0.2 * random.standard_normal((7, int(0.8 * WINDOW_S * 16_000)))
    samples = np.concatenate([np.append(one, np.zeros(20_000)) for one in burst])
    path = tmp_path / "bursts.wav"
    soundfile.write(path, samples, 16_000)
    utterance = Utterance("u", AudioSpan(path))
    options = replace(HINDI, vad=vad, timestamps="word", long=long)
    batches: list[int] = []

    def transcribe_with(batch_size, thread_count):
        recognizer = open_recognizer(str(folder), CPU, replace(options, batch_size=batch_size))
        generate = type(recognizer.model).generate_from

        def count(self, inputs, *arguments):
            batches.append(len(inputs["input_features"]))
            return generate(self, inputs, *arguments)

        batches.clear()
        with monkeypatch.context() as context, threads(thread_count):
            context.setattr(type(recognizer.model), "generate_from", count)
            transcript = next(iter(transcribe(recognizer, [utterance]))).transcript
        return transcript, max(batches)

    alone, alone_rows = transcribe_with(1, 2)
    together, shared_rows = transcribe_with(3, 1)
    in_lanes, lane_rows = transcribe_with(3, 2)

    assert (alone_rows, shared_rows, lane_rows) == (1, 3, 2)
    assert alone.words
    assert together.text == in_lanes.text == alone.text
    assert together.words == in_lanes.words == alone.words


def test_sequential_windows_of_whole_audio_follow_each_other_over_pauses(
    folder, tmp_path, monkeypatch
):
    monkeypatch.setattr("gaudi_asr_cli.core.inference.seq2seq.PART_S", 1.5 * WINDOW_S)
    burst = np.random.default_rng(4).standard_normal((5, int(0.8 * WINDOW_S * 16_000)))
    samples = np.concatenate([np.append(0.2 * one, np.zeros(20_000)) for one in burst])
    path = tmp_path / "bursts.wav"
    soundfile.write(path, samples, 16_000)

    options = replace(HINDI, language="hi", max_tokens=30, vad="off", long="sequential")
    recognizer, results = transcribe_all(folder, [Utterance("u", AudioSpan(path))], options)

    expected = generate_reference(
        folder, recognizer, path, language="hi", max_new_tokens=30, return_timestamps=True
    )
    assert results[0].transcript.text == expected


class EndingEarly:
    """A Whisper that writes one word per window, in order, which ends after half a second."""

    def __init__(self, model):
        self.model = model
        self.words = iter(("one", "two", "three", "four"))

    def __getattr__(self, name):
        return getattr(self.model, name)

    def generate_from(self, inputs, generation_config, frames=None):
        assert generation_config.timestamps
        first_time = self.settings.no_timestamps_token_id + 1
        rows = []
        for _ in inputs["input_features"]:
            tokens = (first_time, *self.encode_text(next(self.words)), first_time + 25)
            text, segments = self.reader.decode_text(tokens), self.reader.segments(tokens)
            rows.append(Hypothesis(tokens, text, segments=segments))
        return Generated(tuple(rows))


@pytest.mark.parametrize("timestamps", ["word", "none"])
@pytest.mark.parametrize(("speech_s", "text"), [(2.0, "two three"), (1.5, "one")])
def test_a_clip_with_speech_after_its_text_is_transcribed_as_long_audio(
    folder, timestamps, speech_s, text
):
    def open_stream():
        frames = count()
        return lambda samples: np.array(
            [next(frames) * VAD_FRAME_S < speech_s for _ in range(len(samples) // 512)], np.float32
        )

    opened = open_recognizer(str(folder), CPU, replace(HINDI, vad="auto", timestamps=timestamps))
    detector = SpeechDetector(open_stream)
    recognizer = replace(opened, model=EndingEarly(opened.model), vad=detector)
    samples = np.zeros(WINDOW_S * 16_000, np.float32)

    row = recognizer.infer(samples, Utterance("u", AudioSpan(Path()))).rows[0]

    assert row.text == text
    assert [one.start_s for one in row.segments] == (
        [] if timestamps == "none" else [0.0, 0.6][: len(text.split())]
    )
