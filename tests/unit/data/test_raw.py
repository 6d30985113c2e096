"""Headerless audio: rejected by name, or read in the given format."""

import numpy as np
import pytest
import soundfile

from gaudi_asr_cli.core.data.audio import load_audio, read_duration_s
from gaudi_asr_cli.core.data.raw import ENCODINGS, parse_raw_format
from gaudi_asr_cli.core.errors import DataError, UsageError
from gaudi_asr_cli.core.records import AudioSpan, RawFormat

TONE = 0.5 * np.sin(2 * np.pi * 300 * np.arange(16_000) / 16_000)


def write_raw(path, encoding="s16le", channels=1):
    subtype, endian = ENCODINGS[encoding]
    samples = np.stack([TONE] * channels, axis=1)
    soundfile.write(path, samples, 16_000, format="RAW", subtype=subtype, endian=endian)
    return path


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("channels", [1, 2])
def test_samples_are_read_in_the_given_format(tmp_path, encoding, channels):
    path = write_raw(tmp_path / "a.raw", encoding, channels)
    span = AudioSpan(path, raw=parse_raw_format(f"16000:{encoding}:{channels}"))

    loaded = load_audio(span)

    assert read_duration_s(span) == 1.0
    assert loaded.lost_s == 0.0
    np.testing.assert_allclose(loaded.samples, TONE, atol=0.02)


def test_a_span_of_a_raw_file_is_read_and_resampled(tmp_path):
    path = write_raw(tmp_path / "a.raw")

    loaded = load_audio(AudioSpan(path, 0.5, 0.5, raw=RawFormat(8_000, "s16le")))

    assert len(loaded.samples) == 8_000


@pytest.mark.parametrize("name", ["a.raw", "a.PCM", "a.ul", "a.al", "a.s16", "a.f32"])
@pytest.mark.parametrize("start", [b"", b"\xff\xff\xff\xff", b"\xff\xfb\x90\x00"])
@pytest.mark.parametrize("read", [load_audio, read_duration_s])
def test_headerless_samples_without_a_format_are_rejected_by_name(tmp_path, name, start, read):
    path = tmp_path / name
    path.write_bytes(start + write_raw(tmp_path / "x").read_bytes())

    with pytest.raises(DataError, match=rf"{name}: samples without a header.*--raw RATE:FORMAT"):
        read(AudioSpan(path))


def test_a_file_with_a_header_is_read_under_any_name(tmp_path):
    soundfile.write(tmp_path / "a.wav", TONE, 16_000)
    path = (tmp_path / "a.wav").rename(tmp_path / "a.raw")

    assert len(load_audio(AudioSpan(path)).samples) == 16_000


@pytest.mark.parametrize(
    ("word", "complaint"),
    [
        ("", "RATE is ''"),
        ("s16le", "RATE is 's16le'"),
        ("8k:s16le", "RATE is '8k'"),
        ("0:s16le", "RATE is '0'"),
        ("-8000:s16le", "RATE is '-8000'"),
        ("9" * 5000 + ":s16le", "RATE is"),
        ("\N{ARABIC-INDIC DIGIT EIGHT}000:s16le", "RATE is"),
        ("8000", "no FORMAT ''"),
        ("8000:s16", "Did you mean s16le?"),
        ("8000:s16le:0", "CHANNELS is '0'"),
        ("8000:s16le:two", "CHANNELS is 'two'"),
        ("8000:s16le:1:1", "CHANNELS is '1:1'"),
    ],
)
def test_a_format_that_makes_no_sense_is_a_usage_error(word, complaint):
    with pytest.raises(UsageError, match=r"--raw") as caught:
        parse_raw_format(word)

    assert complaint in caught.value.message
    assert "8000:s16le" in caught.value.remedy
