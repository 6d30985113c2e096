from __future__ import annotations

import io
import json
import multiprocessing
import struct
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from gaudi_asr_cli.core.data.audio import load_audio, read_duration_s
from gaudi_asr_cli.core.data.cells import read_cell
from gaudi_asr_cli.core.data.containers import plan_file
from gaudi_asr_cli.core.data.ffmpeg import _has_its_planes
from gaudi_asr_cli.core.errors import DataError
from gaudi_asr_cli.core.records import AudioSpan

SHARED = Path(__file__).resolve().parents[4] / "shared" / "data"
FORMATS = SHARED / "snippets" / "formats"
needs_shared = pytest.mark.skipif(
    not SHARED.is_dir(), reason="needs the development data beside the checkout (../shared)"
)


def tone(seconds: float, rate_hz: int = 16_000, hz: float = 440.0) -> np.ndarray:
    time_s = np.arange(round(seconds * rate_hz)) / rate_hz
    return (0.4 * np.sin(2 * np.pi * hz * time_s)).astype(np.float32)


def write(path: Path, samples: np.ndarray, rate_hz: int = 16_000, **options) -> Path:
    soundfile.write(path, samples, rate_hz, **options)
    return path


def write_m4a(path: Path, seconds: float) -> Path:
    import av

    with av.open(path, "w", format="mp4") as container:
        stream = container.add_stream("aac", rate=16_000, layout="mono")
        frame = av.AudioFrame.from_ndarray(tone(seconds)[None, :], format="fltp", layout="mono")
        frame.sample_rate = 16_000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def cut(path: Path, share: float) -> Path:
    data = path.read_bytes()
    damaged = path.with_stem(f"{path.stem}-cut")
    damaged.write_bytes(data[: int(len(data) * share)])
    return damaged


def is_tone(samples: np.ndarray, hz: float = 440.0) -> bool:
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    return abs(np.argmax(spectrum) * 16_000 / len(samples) - hz) < 5


@pytest.mark.parametrize(
    ("suffix", "tolerance"), [(".wav", 1e-4), (".flac", 1e-4), (".aiff", 1e-4)]
)
def test_a_lossless_file_gives_the_samples_that_were_written(tmp_path, suffix, tolerance):
    waveform = tone(0.5)
    path = write(tmp_path / f"a{suffix}", waveform)

    loaded = load_audio(AudioSpan(path))

    assert loaded.samples.dtype == np.float32
    np.testing.assert_allclose(loaded.samples, waveform, atol=tolerance)
    assert loaded.lost_s == 0.0


@pytest.mark.parametrize("suffix", [".mp3", ".ogg"])
def test_a_lossy_file_gives_the_tone_in_its_length(tmp_path, suffix):
    path = write(tmp_path / f"a{suffix}", tone(2.0))

    loaded = load_audio(AudioSpan(path))

    assert is_tone(loaded.samples)
    assert len(loaded.samples) == pytest.approx(32_000, abs=2_000)
    assert loaded.lost_s == 0.0


def test_what_soundfile_cannot_read_is_decoded_by_ffmpeg(tmp_path):
    path = write_m4a(tmp_path / "a.m4a", 2.0)

    loaded = load_audio(AudioSpan(path))
    part = load_audio(AudioSpan(path, start_s=0.5, duration_s=0.75))

    assert is_tone(loaded.samples)
    assert read_duration_s(AudioSpan(path)) == pytest.approx(2.0, abs=0.15)
    assert len(part.samples) == pytest.approx(12_000, abs=2)
    np.testing.assert_allclose(part.samples, loaded.samples[8_000:20_000], atol=0.02)


@pytest.mark.parametrize("rate_hz", [8_000, 11_025, 22_050, 44_100, 48_000])
def test_any_rate_becomes_16_khz(tmp_path, rate_hz):
    path = write(tmp_path / "a.wav", tone(1.0, rate_hz), rate_hz)

    samples = load_audio(AudioSpan(path)).samples

    assert len(samples) == pytest.approx(16_000, abs=1)
    np.testing.assert_allclose(samples[200:-200], tone(1.0)[200 : len(samples) - 200], atol=2e-3)


def test_channels_are_mixed_down_or_one_is_picked(tmp_path):
    left, right = tone(0.2, hz=440), tone(0.2, hz=1000)
    path = write(tmp_path / "a.wav", np.stack([left, right], axis=1), subtype="FLOAT")

    mixed = load_audio(AudioSpan(path)).samples
    second = load_audio(AudioSpan(path), channel=1).samples

    np.testing.assert_allclose(mixed, (left + right) / 2, atol=1e-6)
    np.testing.assert_allclose(second, right, atol=1e-6)


def test_a_sample_rate_too_low_for_speech_is_rejected(tmp_path):
    path = write(tmp_path / "a.wav", tone(0.5), 1)

    with pytest.raises(DataError, match="1 samples per second"):
        load_audio(AudioSpan(path))


def test_a_header_that_declares_more_than_fits_in_memory_is_only_an_error_of_its_file(tmp_path):
    path = write(tmp_path / "a.flac", tone(1.0))
    data = bytearray(path.read_bytes())
    # STREAMINFO: the low 32 of the 36 bits that count samples.
    data[22:26] = b"\xff\xff\xff\xff"
    path.write_bytes(data)

    loaded = load_audio(AudioSpan(path))

    assert len(loaded.samples) == 16_000
    # No file of its size holds as much, so its header promises nothing.
    assert loaded.lost_s == 0.0
    assert read_duration_s(AudioSpan(path)) == 1.0


def test_a_missing_channel_is_rejected_with_the_number_of_channels(tmp_path):
    path = write(tmp_path / "a.wav", tone(0.1))

    with pytest.raises(DataError, match=r"a\.wav: there is no channel 2, the file has 1"):
        load_audio(AudioSpan(path), channel=2)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 15_000), st.integers(1, 16_000))
def test_a_span_equals_that_part_of_the_whole_file(tmp_path_factory, start, frames):
    path = tmp_path_factory.getbasetemp() / "span.flac"
    if not path.exists():
        write(path, np.random.default_rng(0).uniform(-0.5, 0.5, 16_000))
    whole = load_audio(AudioSpan(path)).samples

    part = load_audio(AudioSpan(path, start / 16_000, frames / 16_000)).samples

    # A span that ends within two milliseconds of the end of the file reaches it.
    stop = 16_000 if abs(start + frames - 16_000) <= 32 else start + frames
    np.testing.assert_array_equal(part, whole[start:stop])


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".mp3", ".aiff"])
def test_a_truncated_file_gives_the_rest_and_the_seconds_lost(tmp_path, suffix):
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, 16_000 * 10)
    path = cut(write(tmp_path / f"a{suffix}", noise), 0.7)

    loaded = load_audio(AudioSpan(path))

    left_s = len(loaded.samples) / 16_000
    assert left_s == pytest.approx(7.0, abs=0.4)
    assert loaded.lost_s == pytest.approx(10.0 - left_s, abs=0.1)


@pytest.mark.parametrize("suffix", [".flac", ".mp3"])
def test_a_file_damaged_in_the_middle_gives_what_can_be_decoded(tmp_path, suffix):
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, 16_000 * 10)
    path = write(tmp_path / f"a{suffix}", noise)
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 4_000] = np.random.default_rng(1).bytes(4_000)
    path.write_bytes(data)

    loaded = load_audio(AudioSpan(path))

    assert 5.0 < len(loaded.samples) / 16_000 <= 10.0
    assert loaded.lost_s > 0


def test_a_wav_of_unknown_size_from_a_pipe_has_no_loss(tmp_path):
    path = write(tmp_path / "a.wav", tone(1.0))
    data = bytearray(path.read_bytes())
    at = data.index(b"data") + 4
    data[at : at + 4] = struct.pack("<I", 0xFFFFFFFF)
    path.write_bytes(data)

    loaded = load_audio(AudioSpan(path))

    assert len(loaded.samples) == 16_000
    assert loaded.lost_s == 0.0


def test_an_aiff_header_with_an_impossible_rate_declares_no_duration():
    common = struct.pack(">hIh", 1, 16_000, 16)
    audio = b"SSND" + struct.pack(">I", 32_008) + bytes(32_008)
    chunks = {
        rate: b"FORM\0\0\0\x2eAIFFCOMM\0\0\0\x12" + common + rate
        for rate in (b"\x40\x0c\xfa" + bytes(7), b"\x7f\xff" + bytes([255] * 8))
    }

    promised = [
        plan_file(io.BytesIO(data + audio), len(data + audio)).declared_s
        for data in chunks.values()
    ]

    assert promised == [1.0, None]


def test_a_span_beyond_the_end_of_the_file_reports_the_seconds_missing(tmp_path):
    path = write(tmp_path / "a.wav", tone(2.0))

    loaded = load_audio(AudioSpan(path, start_s=1.0, duration_s=5.0))

    assert len(loaded.samples) == 16_000
    assert loaded.lost_s == pytest.approx(4.0)


@pytest.mark.parametrize("declared_s", [1.9995, 2.0005])
def test_a_duration_rounded_to_milliseconds_loses_no_sample(tmp_path, declared_s):
    path = write(tmp_path / "a.wav", tone(2.0))

    loaded = load_audio(AudioSpan(path, duration_s=declared_s))

    assert len(loaded.samples) == 32_000
    assert loaded.lost_s == 0.0


def _bad_file(tmp_path: Path, kind: str) -> Path:
    path = tmp_path / "bad.wav"
    if kind == "empty":
        path.write_bytes(b"")
    elif kind == "text":
        path.write_text("This is a letter, not audio.\n" * 40)
    elif kind == "no samples":
        write(path, np.zeros(0, dtype=np.float32))
    elif kind == "not finite":
        write(path, np.array([0.1, np.nan, 0.2], dtype=np.float32), subtype="FLOAT")
    elif kind == "directory":
        path.mkdir()
    elif kind == "header only":
        write(path, tone(1.0))
        path.write_bytes(path.read_bytes()[:44])
    return path


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("missing", "no such file"),
        ("empty", r"empty \(0 bytes\)"),
        ("text", "neither libsndfile nor FFmpeg"),
        ("no samples", "no audio"),
        ("header only", "no audio"),
        ("not finite", "not finite"),
        ("directory", "not a file"),
    ],
)
def test_audio_that_cannot_be_decoded_is_an_error_that_names_the_file(tmp_path, kind, expected):
    path = _bad_file(tmp_path, kind)

    with pytest.raises(DataError, match=expected) as caught:
        load_audio(AudioSpan(path))

    assert str(path) in caught.value.message
    assert caught.value.remedy


def test_a_span_after_the_end_is_an_error_with_the_length(tmp_path):
    path = write(tmp_path / "a.wav", tone(1.0))

    for act in (load_audio, read_duration_s):
        with pytest.raises(DataError, match=r"no audio from 3\.00 s on; the file is 1\.00 s long"):
            act(AudioSpan(path, start_s=3.0))


@pytest.fixture(scope="module")
def whole_files(tmp_path_factory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("whole")
    waveform = np.random.default_rng(0).uniform(-0.5, 0.5, 8_000)
    suffixes = (".wav", ".flac", ".mp3", ".ogg", ".aiff", ".caf", ".w64", ".au")
    files = [write(folder / f"a{suffix}", waveform) for suffix in suffixes]
    return {file.suffix: file.read_bytes() for file in [*files, write_m4a(folder / "a.m4a", 0.5)]}


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_a_file_damaged_in_any_way_is_decoded_or_rejected_by_name(
    whole_files, tmp_path_factory, data
):
    suffix = data.draw(st.sampled_from(sorted(whole_files)))
    damaged = bytearray(whole_files[suffix])
    for _ in range(data.draw(st.integers(1, 8))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.getbasetemp() / f"damaged{suffix}"
    path.write_bytes(damaged[: data.draw(st.integers(1, len(damaged)))])

    samples = np.ones(1, dtype=np.float32)
    message = str(path)
    try:
        samples = load_audio(AudioSpan(path)).samples
    except DataError as error:
        message = error.message

    assert str(path) in message
    assert len(samples) > 0
    assert np.isfinite(samples).all()


def test_a_playlist_named_wav_opens_no_other_file(tmp_path):
    write(tmp_path / "secret.wav", tone(1.0))
    path = tmp_path / "list.wav"
    path.write_text(f"ffconcat version 1.0\nfile {tmp_path / 'secret.wav'}\n")

    with pytest.raises(DataError, match=r"list\.wav"):
        load_audio(AudioSpan(path))


def test_the_duration_is_that_of_the_header_and_of_the_span(tmp_path):
    path = write(tmp_path / "a.flac", tone(3.0))

    assert read_duration_s(AudioSpan(path)) == pytest.approx(3.0)
    assert read_duration_s(AudioSpan(path, start_s=1.0)) == pytest.approx(2.0)
    assert read_duration_s(AudioSpan(path, start_s=1.0, duration_s=0.5)) == pytest.approx(0.5)


@pytest.mark.parametrize("suffix", [".parquet", ".arrow"])
def test_bytes_in_a_cell_are_decoded_like_a_file(tmp_path, suffix):
    waveforms = [tone(0.2 + 0.1 * i, hz=300 + 100 * i) for i in range(7)]
    rows = []
    for i, waveform in enumerate(waveforms):
        encoded = io.BytesIO()
        soundfile.write(encoded, waveform, 16_000, format="FLAC")
        rows.append({"bytes": encoded.getvalue(), "path": f"{i}.flac"})
    path = tmp_path / f"a{suffix}"
    write_table(path, pa.table({"audio": rows}))

    loaded = [
        load_audio(AudioSpan(path, row=i, column="audio")).samples for i in (6, 0, 3, 5, 1, 2, 4)
    ]

    for i, samples in zip((6, 0, 3, 5, 1, 2, 4), loaded, strict=True):
        np.testing.assert_allclose(samples, waveforms[i], atol=1e-4)
    assert read_duration_s(AudioSpan(path, row=3, column="audio")) == pytest.approx(0.5)


def write_table(path: Path, table: pa.Table) -> None:
    if path.suffix == ".parquet":
        pq.write_table(table, path, row_group_size=3)
        return
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, table.schema) as writer:
        writer.write_table(table, max_chunksize=3)


def test_a_forked_reader_reads_cells_too(tmp_path):
    path = tmp_path / "a.parquet"
    write_table(path, pa.table({"audio": [b"one", b"two"]}))
    spans = [AudioSpan(path, row=row, column="audio") for row in (0, 1)]
    here = [read_cell(span) for span in spans]

    with multiprocessing.get_context("fork").Pool(1) as pool:
        there = pool.map(read_cell, spans)

    assert there == here == [b"one", b"two"]


def test_a_path_in_a_cell_starts_at_the_table(tmp_path):
    write(tmp_path / "a.wav", tone(0.3))
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table({"audio": [{"bytes": None, "path": "a.wav"}]}), path)

    assert read_duration_s(AudioSpan(path, row=0, column="audio")) == pytest.approx(0.3)


@pytest.mark.parametrize(
    ("row", "column", "expected"),
    [(9, "audio", "row 9"), (0, "sound", "'sound' cannot be read"), (1, "audio", "no audio")],
)
def test_a_cell_that_holds_no_audio_is_named_by_its_row(tmp_path, row, column, expected):
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table({"audio": [b"x", None]}), path)

    with pytest.raises(DataError, match=expected) as caught:
        load_audio(AudioSpan(path, row=row, column=column))

    assert "t.parquet" in caught.value.message


def references() -> list[dict]:
    listed = SHARED / "DECODE_REFERENCE.jsonl"
    lines = listed.read_text().splitlines() if listed.is_file() else []
    return [json.loads(line) for line in lines]


@needs_shared
@pytest.mark.parametrize("reference", references(), ids=lambda reference: reference["file"])
def test_a_reference_file_decodes_to_its_length(reference):
    span = AudioSpan(SHARED / reference["file"])

    loaded = load_audio(span)

    expected_s = reference["sf"]["dur"]
    assert len(loaded.samples) / 16_000 == pytest.approx(expected_s, abs=0.002)
    # The header of an mp3 counts the encoder's padding too.
    assert read_duration_s(span) == pytest.approx(expected_s, abs=0.01)
    assert loaded.lost_s == 0.0
    assert np.abs(loaded.samples).max() > 0.01


@needs_shared
@pytest.mark.parametrize(
    ("name", "bits"),
    [
        ("audio-stereo-16-bit-44100Hz.wav", 16),
        ("audio-mono-16-bit-44100Hz.aiff", 16),
        ("english.wav", 16),
        ("audio-mono-24-bit-44100Hz.wav", 24),
        ("audio-mono-24-bit-44100Hz.flac", 24),
        ("audio-mono-8-bit-44100Hz.wav", 8),
    ],
)
def test_copies_of_one_utterance_agree_within_their_precision(name, bits):
    best = load_audio(AudioSpan(FORMATS / "audio-mono-32-bit-44100Hz.wav")).samples

    copy = load_audio(AudioSpan(FORMATS / name)).samples

    # Half a step of rounding, one of dither, and what the filter makes of both.
    np.testing.assert_allclose(copy, best, atol=4 / 2 ** (bits - 1))


@needs_shared
@pytest.mark.parametrize(
    "name", [Path(r["file"]).name for r in references() if "formats" in r["file"]]
)
def test_ffmpeg_and_soundfile_decode_the_same_samples(name, monkeypatch):
    span = AudioSpan(FORMATS / name, start_s=0.5, duration_s=1.0)
    with_soundfile = load_audio(span).samples

    monkeypatch.setattr("gaudi_asr_cli.core.data.audio._decode_with_soundfile", lambda *_: None)
    with_ffmpeg = load_audio(span).samples

    assert len(with_ffmpeg) == len(with_soundfile)
    lossy = name.endswith(".mp3")
    np.testing.assert_allclose(with_ffmpeg, with_soundfile, atol=0.05 if lossy else 1e-5)


@pytest.mark.parametrize(
    "failure",
    [
        TypeError("samplerate must be specified"),
        OverflowError("too large"),
        EOFError("end"),
        KeyError("x"),
        AssertionError(),
        OSError(5, "Input/output error"),
        MemoryError(),
    ],
    ids=lambda one: type(one).__name__,
)
@pytest.mark.parametrize("read", [load_audio, read_duration_s])
def test_any_exception_of_a_decoder_is_an_error_of_the_file(tmp_path, monkeypatch, failure, read):
    soundfile.write(tmp_path / "a.wav", np.zeros(100), 16_000)

    def fail(*_, **__):
        raise failure

    monkeypatch.setattr(soundfile, "SoundFile", fail)

    with pytest.raises(DataError, match=r"a\.wav: ") as caught:
        read(AudioSpan(tmp_path / "a.wav"))

    known = isinstance(failure, OSError | MemoryError)
    assert known or f"unexpected {type(failure).__name__}" in caught.value.message
    assert "\n" not in caught.value.message


def test_a_disk_failure_while_a_decoder_reads_is_an_error_of_the_file(tmp_path, monkeypatch, capfd):
    soundfile.write(tmp_path / "a.wav", np.zeros(100_000), 16_000)

    class FailingFile(io.FileIO):
        def readinto(self, buffer):
            raise OSError(5, "Input/output error")

    monkeypatch.setattr(io, "FileIO", FailingFile)

    with pytest.raises(DataError, match=r"a\.wav: Input/output error\."):
        load_audio(AudioSpan(tmp_path / "a.wav"))

    # libsndfile's bridge prints what is raised in it.
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    ("planar", "planes", "whole"),
    [(True, 2, True), (True, 5, False), (True, 1, False), (False, 1, True)],
)
def test_a_frame_with_other_planes_than_channels_is_damaged(planar, planes, whole):
    frame = SimpleNamespace(
        format=SimpleNamespace(is_planar=planar),
        layout=SimpleNamespace(nb_channels=2),
        planes=[b""] * planes,
    )

    assert _has_its_planes(frame) is whole
