"""One length and one clock in every container, whatever its header declares.

Expected values come from how the files were made: samples and packets written, not our own code.
"""

from __future__ import annotations

import json
import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile
from helpers.audio_files import (
    HOLE_AT_S,
    HOLE_S,
    LATE_S,
    RATE_HZ,
    Made,
    encode,
    forget_flac_length,
    move_ogg,
    mux,
    patch,
    speech,
)

from gaudi_asr_cli.core.data.audio import load_audio, read_duration_s
from gaudi_asr_cli.core.data.batches import load_batch
from gaudi_asr_cli.core.data.measure import measure
from gaudi_asr_cli.core.data.remarks import describe_loss
from gaudi_asr_cli.core.data.streaming import stream_audio
from gaudi_asr_cli.core.data.timeline import read_timeline
from gaudi_asr_cli.core.errors import DataError
from gaudi_asr_cli.core.records import AudioSpan, Utterance

SECONDS = 4.0
HOLE = (HOLE_AT_S, HOLE_S)
AAC_FRAME = 1_024
MP3_FRAME_S = 576 / RATE_HZ


def put(folder: Path, name: str, data: bytes, end_s: float, tolerance_s: float = 0.001) -> Made:
    path = folder / name
    path.write_bytes(data)
    return Made(path, end_s, tolerance_s)


def data_at(data: bytes) -> int:
    return bytes(data).index(b"data") + 4


def wav(folder: Path, state: str) -> Made:
    whole = bytes(encode(speech(SECONDS), "WAV"))
    at = data_at(whole)
    half = len(whole) // 2
    files = {
        "plain": (whole, SECONDS),
        "streamed": (patch(whole, at, "<I", 0xFFFF_FFFF), SECONDS),
        "zero": (patch(patch(whole, at, "<I", 0), 4, "<I", 0), SECONDS),
        "short": (patch(whole, at, "<I", 20_000), SECONDS),
        "chained": (whole + bytes(encode(speech(1.0, 1), "WAV")), SECONDS + 1.0),
        "two chunks": (two_chunks(whole), SECONDS),
        "truncated": (whole[:half], (half - at - 4) / 2 / RATE_HZ),
    }
    return put(folder, "a.wav", *files[state])


def two_chunks(whole: bytes) -> bytes:
    start = data_at(whole) + 4
    middle = start + (len(whole) - start) // 4 * 2
    second = b"data" + struct.pack("<I", len(whole) - middle) + whole[middle:]
    return patch(whole[:middle], start - 4, "<I", middle - start) + second


def rf64(folder: Path, state: str) -> Made:
    whole = bytes(encode(speech(SECONDS), "RF64"))
    at = whole.index(b"ds64") + 8
    files = {
        "plain": whole,
        "zero": patch(whole, at, "<QQQ", 0, 0, 0),
        "short": patch(whole, at + 8, "<Q", 20_000),
    }
    return put(folder, "a.wav", files[state], SECONDS)


def ulaw(folder: Path, state: str) -> Made:
    whole = bytes(encode(speech(SECONDS), "WAV", subtype="ULAW"))
    files = {
        "plain": whole,
        "zero": patch(whole, data_at(whole), "<I", 0),
        "short": patch(whole, data_at(whole), "<I", 20_000),
        "two chunks": two_chunks(whole),
    }
    return put(folder, "a.wav", files[state], SECONDS)


def au(folder: Path, state: str) -> Made:
    whole = bytes(encode(speech(SECONDS), "AU"))
    half = len(whole) // 2
    start = struct.unpack_from(">I", whole, 4)[0]
    files = {
        "plain": (whole, SECONDS),
        "streamed": (patch(whole, 8, ">I", 0xFFFF_FFFF), SECONDS),
        "zero": (patch(whole, 8, ">I", 0), SECONDS),
        "short": (patch(whole, 8, ">I", 20_000), SECONDS),
        "truncated": (whole[:half], (half - start) / 2 / RATE_HZ),
    }
    return put(folder, "a.au", *files[state])


def caf(folder: Path, state: str) -> Made:
    whole = bytes(encode(speech(SECONDS), "CAF"))
    half = len(whole) // 4 * 2
    files = {
        "plain": (whole, SECONDS),
        "streamed": (patch(whole, data_at(whole), ">q", -1), SECONDS),
        "zero": (patch(whole, data_at(whole), ">q", 0), SECONDS),
        "short": (patch(whole, data_at(whole), ">q", 20_000), SECONDS),
        "truncated": (whole[:half], (half - data_at(whole) - 12) / 2 / RATE_HZ),
    }
    return put(folder, "a.caf", *files[state])


def aiff(folder: Path, state: str) -> Made:
    whole = bytes(encode(speech(SECONDS), "AIFF"))
    common, samples = whole.index(b"COMM") + 8, whole.index(b"SSND") + 4
    half = (len(whole) // 4) * 2
    unknown = patch(patch(whole, common + 2, ">I", 0), samples, ">I", 0)
    files = {
        "plain": (whole, SECONDS),
        "zero": (unknown, SECONDS),
        "short": (patch(whole, samples, ">I", 20_000), SECONDS),
        "truncated": (whole[:half], (half - samples - 12) / 2 / RATE_HZ),
    }
    return put(folder, "a.aiff", *files[state])


def flac(folder: Path, state: str) -> Made:
    whole = bytes(encode(speech(SECONDS), "FLAC"))
    more = bytes(encode(speech(1.0, 1), "FLAC"))
    if state == "truncated":
        return truncated_flac(folder, whole)
    files = {
        "plain": (whole, SECONDS),
        "streamed": (forget_flac_length(whole), SECONDS),
        "huge": (patch(whole, 22, ">I", 0xFFFF_FFFF), SECONDS),
        "short": (patch(whole, 22, ">I", RATE_HZ), SECONDS),
        "chained": (whole + more, SECONDS + 1.0),
        "chained alike": (whole + whole, 2 * SECONDS),
        "tagged": (whole + b"TAG" + bytes(125), SECONDS),
    }
    return put(folder, "a.flac", *files[state])


def truncated_flac(folder: Path, whole: bytes) -> Made:
    """Cut in the middle of the last frame but one, of the 4,096 samples that libFLAC writes."""
    frames = SECONDS * RATE_HZ // 4096
    at = max(
        place
        for place in range(len(whole))
        if whole[place : place + 2] == b"\xff\xf8" and whole[place + 4] == frames - 1
    )
    return put(folder, "a.flac", whole[: at + 20], (frames - 1) * 4096 / RATE_HZ)


def mp3(folder: Path, state: str) -> Made:
    whole = bytes(encode(speech(SECONDS), "MP3"))
    more = bytes(encode(speech(1.0, 1), "MP3"))
    count_at = whole.index(b"Xing" if b"Xing" in whole else b"Info") + 8
    half = len(whole) // 2
    first = count_mp3(whole)[1]
    # Samples per frame, and the decoder's delay of 529 where a header is only written by us.
    files = {
        "plain": (whole, SECONDS, 0.001),
        "chained": (whole + more, SECONDS + 1.0, 0.001),
        "chained alike": (whole + whole, 2 * SECONDS, 0.001),
        "tagged": (b"ID3\4\0\0\0\0\0\12" + bytes(10) + whole + b"TAG" + bytes(125), SECONDS, 0.001),
        "no count": (whole[first:], SECONDS, 4 * MP3_FRAME_S),
        "short": (patch(whole, count_at, ">I", 20), SECONDS, 4 * MP3_FRAME_S),
        "huge": (patch(whole, count_at, ">I", 0x7FFF_FFFF), SECONDS, 4 * MP3_FRAME_S),
        "truncated": (whole[:half], (count_mp3(whole[:half])[0] - 1) * MP3_FRAME_S, 0.08),
    }
    return put(folder, "a.mp3", *files[state])


def count_mp3(data: bytes) -> tuple[int, int]:
    """Return the number of whole frames, the first without audio, and the size of the first."""
    kilobits = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
    at = frames = first = 0
    while at + 4 <= len(data):
        size = 72 * kilobits[data[at + 2] >> 4] * 1000 // RATE_HZ + (data[at + 2] >> 1 & 1)
        if at + size > len(data):
            break
        at, frames, first = at + size, frames + 1, first or size
    return frames, first


def ogg(folder: Path, state: str) -> Made:
    whole = bytes(encode(speech(SECONDS), "OGG"))
    more = bytes(encode(speech(1.0, 1), "OGG"))
    if state == "truncated":
        cut = whole[: len(whole) * 2 // 3]
        return put(folder, "a.ogg", cut, last_ogg_position(cut) / RATE_HZ)
    files = {
        "plain": (whole, SECONDS, 0.001),
        "chained": (whole + more, SECONDS + 1.0, 0.001),
        "chained alike": (whole + whole, 2 * SECONDS, 0.001),
        "late": (move_ogg(whole, late_s=LATE_S), SECONDS + LATE_S, 0.08),
        "hole": (move_ogg(whole, hole=HOLE), SECONDS + HOLE_S, 0.08),
    }
    return put(folder, "a.ogg", *files[state])


def last_ogg_position(data: bytes) -> int:
    """Return the position of the last page that is there as a whole."""
    at = position = 0
    while at + 27 <= len(data):
        size = 27 + data[at + 26] + sum(data[at + 27 : at + 27 + data[at + 26]])
        if at + size > len(data):
            break
        found = struct.unpack_from("<Q", data, at + 6)[0]
        position = found if found < 1 << 63 else position
        at += size
    return position


def opus(folder: Path, state: str) -> Made:
    path = folder / "a.opus"
    if state.startswith("chained"):
        more = speech(SECONDS if state.endswith("alike") else 1.0, 1)
        first = mux(path, "libopus", speech(SECONDS), form="ogg")
        second = mux(folder / "b.opus", "libopus", more, form="ogg")
        path.write_bytes(path.read_bytes() + second.path.read_bytes())
        return Made(path, first.end_s + second.end_s, 0.002)
    return late_or_not(path, "libopus", state, form="ogg")


def ogg_flac(folder: Path, state: str) -> Made:
    if state != "chained":
        return late_or_not(folder / "a.ogg", "flac", state, form="ogg")
    first = mux(folder / "a.ogg", "flac", speech(SECONDS), form="ogg")
    second = mux(folder / "b.ogg", "flac", speech(1.0, 1), form="ogg")
    first.path.write_bytes(first.path.read_bytes() + second.path.read_bytes())
    return Made(first.path, SECONDS + 1.0)


def late_or_not(path: Path, codec: str, state: str, **options) -> Made:
    moved = {"late": {"late_s": LATE_S}, "hole": {"hole": HOLE}}.get(state, {})
    return mux(path, codec, speech(SECONDS), **moved, **options)


def m4a(folder: Path, state: str) -> Made:
    if state == "truncated":
        first = {"movflags": "faststart"}
        made = mux(folder / "a.m4a", "aac", speech(SECONDS), form="mp4", options=first)
        return cut_in_half(made)
    streamed = {"movflags": "frag_keyframe+empty_moov"} if state == "streamed" else None
    made = late_or_not(folder / "a.m4a", "aac", state, form="mp4", options=streamed)
    # In fragments the encoder's delay of a frame is not marked.
    return Made(made.path, made.end_s, 0.07 if streamed else 0.001)


def mkv(folder: Path, state: str) -> Made:
    made = late_or_not(folder / "a.mkv", "pcm_s16le", state)
    return shorten(made) if state == "truncated" else made


def cut_in_half(made: Made) -> Made:
    """Cut a file: about half of its packets are left, as their sizes differ little."""
    data = made.path.read_bytes()
    made.path.write_bytes(data[: len(data) // 2])
    return Made(made.path, made.end_s / 2, 0.25)


def shorten(made: Made) -> Made:
    """Cut in the last packet of PCM: 1,024 samples are lost."""
    made.path.write_bytes(made.path.read_bytes()[:-1_000])
    with_rest = (SECONDS * RATE_HZ) % 1024
    lost = with_rest or 1024
    return Made(made.path, made.end_s - lost / RATE_HZ, 0.07)


def webm(folder: Path, state: str) -> Made:
    if state == "truncated":
        return cut_in_half(mux(folder / "a.webm", "libopus", speech(SECONDS)))
    live = {"live": "1"} if state == "streamed" else None
    made = late_or_not(folder / "a.webm", "libopus", state, options=live)
    return Made(made.path, made.end_s, 0.01)


def ts(folder: Path, state: str) -> Made:
    made = late_or_not(folder / "a.ts", "aac", state, form="mpegts")
    if state == "truncated":
        return cut_in_half(made)
    # The container starts with its first packet, and has no place for the encoder's delay.
    packets = -(-(SECONDS * RATE_HZ + AAC_FRAME) // AAC_FRAME)
    hole_s = HOLE_S if state == "hole" else 0.0
    return Made(made.path, packets * AAC_FRAME / RATE_HZ + hole_s, 0.002)


MAKERS = {
    wav: ("plain", "streamed", "zero", "short", "chained", "two chunks", "truncated"),
    rf64: ("plain", "zero", "short"),
    ulaw: ("plain", "zero", "short", "two chunks"),
    au: ("plain", "streamed", "zero", "short", "truncated"),
    aiff: ("plain", "zero", "short", "truncated"),
    caf: ("plain", "streamed", "zero", "short", "truncated"),
    flac: (
        *("plain", "streamed", "huge", "short", "chained", "chained alike", "truncated", "tagged"),
    ),
    mp3: (
        *("plain", "chained", "chained alike", "tagged", "no count", "short", "huge", "truncated"),
    ),
    ogg: ("plain", "chained", "chained alike", "late", "hole", "truncated"),
    opus: ("plain", "chained", "chained alike", "late", "hole"),
    ogg_flac: ("plain", "chained", "late", "hole"),
    m4a: ("plain", "late", "hole", "streamed", "truncated"),
    mkv: ("plain", "late", "hole", "truncated"),
    webm: ("plain", "late", "hole", "streamed", "truncated"),
    ts: ("plain", "late", "hole", "truncated"),
}
TABLE = [(maker, state) for maker, states in MAKERS.items() for state in states]


@pytest.mark.parametrize(("maker", "state"), TABLE, ids=lambda one: getattr(one, "__name__", one))
def test_everyone_agrees_on_the_length_of_a_file(tmp_path, capfd, maker, state):
    made = maker(tmp_path, state)
    span = AudioSpan(made.path)

    infer_s = len(load_audio(span).samples) / RATE_HZ
    streamed_s = sum(len(block.samples) for block in stream_audio(span)) / RATE_HZ
    (listed,) = measure([Utterance("a", span, text="one")]).utterances
    (trained,) = load_batch([listed]).batch.lengths
    (evaluated,) = [len(load_audio(listed.audio).samples)]

    assert infer_s == pytest.approx(made.end_s, abs=made.tolerance_s)
    assert streamed_s == pytest.approx(infer_s, abs=0.0005)
    assert listed.audio.duration_s == pytest.approx(infer_s, abs=0.001)
    assert trained == evaluated == round(infer_s * RATE_HZ)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(("maker", "state"), TABLE, ids=lambda one: getattr(one, "__name__", one))
def test_a_span_is_that_part_of_the_whole_file(tmp_path, maker, state):
    made = maker(tmp_path, state)
    whole = load_audio(AudioSpan(made.path)).samples
    start_s, duration_s = 0.35 * made.end_s, 0.4 * made.end_s

    part = load_audio(AudioSpan(made.path, start_s, duration_s)).samples

    # Matroska rounds times to milliseconds.
    begin, slack = round(start_s * RATE_HZ), 16 if maker is webm else 0
    shifted = (whole[begin + shift :][: len(part)] for shift in range(-slack, slack + 1))
    assert len(part) / RATE_HZ == pytest.approx(duration_s, abs=0.002)
    assert max(correlate(part, one) for one in shifted) > 0.98


def correlate(one: np.ndarray, other: np.ndarray) -> float:
    return float(one @ other / max(np.linalg.norm(one) * np.linalg.norm(other), 1e-9))


@pytest.mark.parametrize("maker", [ogg, opus, ogg_flac, m4a, mkv, webm])
@pytest.mark.parametrize("state", ["late", "hole"])
def test_what_is_missing_on_the_clock_is_silence(tmp_path, maker, state):
    samples = load_audio(AudioSpan(maker(tmp_path, state).path)).samples
    original = load_audio(AudioSpan(maker(tmp_path, "plain").path)).samples
    first_s, silent_s = (0.0, LATE_S) if state == "late" else (HOLE_AT_S, HOLE_S)

    silence = samples[
        round((first_s + 0.3) * RATE_HZ) : round((first_s + silent_s - 0.3) * RATE_HZ)
    ]
    tail = samples[-2 * RATE_HZ :]

    assert np.abs(silence).max() == 0.0
    assert correlate(tail, original[-2 * RATE_HZ :]) > 0.9


@pytest.mark.parametrize(("seconds", "late_s"), [(0.5, 2.0), (1.0, 0.4), (3.0, 5.0)])
def test_flac_in_ogg_begins_where_its_pages_say(tmp_path, seconds, late_s):
    made = mux(tmp_path / "a.ogg", "flac", speech(seconds), form="ogg", late_s=late_s)
    plain = mux(tmp_path / "b.ogg", "flac", speech(seconds), form="ogg")

    samples = load_audio(AudioSpan(made.path)).samples
    blocks = [block.samples for block in stream_audio(AudioSpan(made.path))]
    tail = load_audio(AudioSpan(made.path, late_s + seconds / 2)).samples

    original = load_audio(AudioSpan(plain.path)).samples
    late = round(late_s * RATE_HZ)
    assert len(samples) == late + len(original)
    assert np.abs(samples[:late]).max() == 0.0
    assert correlate(samples[late:], original) > 0.999
    assert np.array_equal(np.concatenate(blocks), samples)
    assert correlate(tail, original[-len(tail) :]) > 0.98


def test_the_audio_of_a_video_ends_where_the_audio_ends(tmp_path):
    for name, codec in (("a.mkv", "pcm_s16le"), ("a.mp4", "aac"), ("a.ts", "aac")):
        made = mux(tmp_path / name, codec, speech(2.0), pictures=9)

        assert read_duration_s(AudioSpan(made.path)) == pytest.approx(2.0, abs=0.13)
        assert load_audio(AudioSpan(made.path)).lost_s == 0.0


def test_a_length_is_counted_once_until_the_file_changes(tmp_path, monkeypatch):
    path = tmp_path / "a.flac"
    path.write_bytes(forget_flac_length(encode(speech(1.0), "FLAC")))
    counted = []
    count = __import__("gaudi_asr_cli.core.data.timeline", fromlist=["x"]).count_samples
    monkeypatch.setattr(
        "gaudi_asr_cli.core.data.timeline.count_samples",
        lambda file: counted.append(1) or count(file),
    )

    first_s = [read_duration_s(AudioSpan(path)) for _ in range(3)]
    path.write_bytes(forget_flac_length(encode(speech(1.5), "FLAC")))
    second_s = read_duration_s(AudioSpan(path))

    assert (first_s, second_s) == ([1.0] * 3, 1.5)
    assert len(counted) == 2


def test_the_header_of_an_ordinary_file_is_enough(tmp_path, monkeypatch):
    for form in ("wav", "flac", "ogg", "aiff", "au", "mp3"):
        soundfile.write(tmp_path / f"a.{form}", speech(1.0), RATE_HZ)

    def fail(*_, **__):
        raise AssertionError("decoded")

    monkeypatch.setattr(soundfile.SoundFile, "read", fail)
    monkeypatch.setattr("gaudi_asr_cli.core.data.timeline.count_samples", fail)
    monkeypatch.setattr("gaudi_asr_cli.core.data.timeline.inspect_with_ffmpeg", fail)

    found = [read_duration_s(AudioSpan(path)) for path in sorted(tmp_path.iterdir())]

    assert found == pytest.approx([1.0] * 6)


@pytest.mark.parametrize(
    ("maker", "state"),
    [(wav, "zero"), (wav, "streamed"), (flac, "streamed"), (flac, "huge"), (au, "zero"),
     (mp3, "huge"), (wav, "chained"), (ogg, "chained"), (mp3, "chained"), (flac, "chained")],
    ids=lambda one: getattr(one, "__name__", one),
)  # fmt: skip
def test_a_header_that_does_not_know_promises_nothing(tmp_path, maker, state):
    made = maker(tmp_path, state)

    measured = measure([Utterance("a", AudioSpan(made.path))])

    assert measured.notes == ()
    assert load_audio(AudioSpan(made.path)).lost_s == 0.0


@pytest.mark.parametrize("maker", [wav, ulaw, au, aiff, caf])
def test_a_header_that_declares_too_little_is_noted(tmp_path, maker):
    made = maker(tmp_path, "short")

    (note,) = measure([Utterance("a", AudioSpan(made.path))]).notes

    assert note.startswith(f"{made.path}: the header declares ")
    assert note.endswith("all is read")


@pytest.mark.parametrize(
    ("trailer", "tail"),
    [(b"LIST" + struct.pack("<I", 4) + b"INFO", 0), (bytes(512), 0), (b"TAG" + bytes(125), 0),
     (b"id3 " + struct.pack("<I", 10**6), 0), (b"\x01\x80\x02\x90" * 4_000, 0.5)],
    ids=["chunk", "padding", "tag", "cut chunk", "audio"],
)  # fmt: skip
def test_what_follows_the_audio_of_a_wav_is_audio_only_if_it_is_nothing_else(
    tmp_path, trailer, tail
):
    made = put(tmp_path, "a.wav", bytes(encode(speech(1.0), "WAV")) + trailer, 1.0 + tail)

    assert read_duration_s(AudioSpan(made.path)) == pytest.approx(made.end_s)


def test_a_wav_without_audio_stays_without(tmp_path):
    empty = bytes(encode(np.zeros(0, np.float32), "WAV"))
    made = put(tmp_path, "a.wav", empty + b"LIST" + struct.pack("<I", 4) + b"INFO", 0.0)

    with pytest.raises(DataError, match="no audio"):
        load_audio(AudioSpan(made.path))


def test_links_of_another_rate_and_more_channels_are_joined(tmp_path):
    stereo = np.stack([speech(1.0, 1)] * 2, axis=1)
    soundfile.write(tmp_path / "b.ogg", stereo, 8_000)
    data = bytes(encode(speech(1.0), "OGG")) + (tmp_path / "b.ogg").read_bytes()
    made = put(tmp_path, "a.ogg", data, 3.0)

    loaded = load_audio(AudioSpan(made.path))
    streamed = sum(len(block.samples) for block in stream_audio(AudioSpan(made.path)))

    assert len(loaded.samples) / RATE_HZ == pytest.approx(3.0, abs=0.001)
    assert streamed == pytest.approx(len(loaded.samples), abs=2)


def test_a_clock_that_jumps_back_or_too_far_is_not_filled_and_said(tmp_path):
    made = mux(tmp_path / "a.mkv", "pcm_s16le", speech(2.0), hole=(1.0, 90_000.0))

    loaded = load_audio(AudioSpan(made.path))
    timeline = read_timeline(AudioSpan(made.path))

    assert len(loaded.samples) / RATE_HZ == pytest.approx(2.0)
    assert timeline.total_s == pytest.approx(2.0)
    assert "its clock jumps" in timeline.notes[0]


def test_a_link_that_cannot_be_read_is_said(tmp_path):
    second = bytearray(encode(speech(1.0, 1), "OGG"))
    second[28 + 8 : 28 + 20] = bytes(12)
    made = put(tmp_path, "a.ogg", bytes(encode(speech(1.0), "OGG")) + bytes(second), 1.0)

    (note,) = read_timeline(AudioSpan(made.path)).notes

    assert "1 of the 2 recordings joined in it cannot be read" in note
    assert len(load_audio(AudioSpan(made.path)).samples) == RATE_HZ


# --- who promised lost seconds ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("span", "says"),
    [
        ((0.0, None), "a.wav: 0.50 s of the duration in its header could not be decoded."),
        ((0.0, 4.0), "a.wav: 0.50 s of the duration in its header could not be decoded."),
        ((1.0, 2.0), "a.wav: 0.50 s of its segment from 1.00 to 3.00 s (t.csv, line 7) could not"),
    ],
)
def test_a_note_names_who_promised_what_is_lost(tmp_path, span, says):
    soundfile.write(tmp_path / "a.wav", speech(4.0), RATE_HZ)
    utterance = Utterance("a", AudioSpan(tmp_path / "a.wav", *span), origin="t.csv, line 7")

    assert says in describe_loss(utterance, 0.5)


# --- tracks and channels ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("track", "number"),
    [(None, 0), (1, 1), ("de", 1), ("deu", 1), ("german", 1), ("en", 0), ("fr", 0)],
)
def test_a_track_is_chosen_by_number_or_language(tmp_path, track, number):
    made = mux(tmp_path / "a.mkv", "pcm_s16le", speech(1.0), languages=("eng", "ger"))

    (note, *_) = read_timeline(AudioSpan(made.path, track=track)).notes or ("",)

    assert (f"track {number}" in note) == (not isinstance(track, int))
    assert ("2 audio tracks (0: eng, 1: ger)" in note) == (not isinstance(track, int))
    assert len(load_audio(AudioSpan(made.path, track=track)).samples) == RATE_HZ


@pytest.mark.parametrize("form", ["mkv", "wav"])
def test_a_track_that_is_not_there_is_rejected_with_the_tracks_there_are(tmp_path, form):
    path = tmp_path / f"a.{form}"
    if form == "mkv":
        mux(path, "pcm_s16le", speech(1.0), languages=("eng", "ger"))
    else:
        soundfile.write(path, speech(1.0), RATE_HZ)

    with pytest.raises(DataError, match=r"there is no audio track 2, the file has [12] audio tr"):
        load_audio(AudioSpan(path, track=2))


@pytest.mark.parametrize(("gain", "says"), [(-1.0, True), (-0.8, True), (0.9, False), (0.0, False)])
def test_channels_of_opposite_phase_do_not_cancel(tmp_path, gain, says):
    samples = speech(1.0)
    soundfile.write(tmp_path / "a.wav", np.stack([samples, gain * samples], axis=1), RATE_HZ)

    loaded = load_audio(AudioSpan(tmp_path / "a.wav"))
    (batch_notes) = load_batch([Utterance("a", AudioSpan(tmp_path / "a.wav"))]).notes

    assert correlate(loaded.samples, samples) > 0.99
    assert np.abs(loaded.samples).max() > 0.2 * np.abs(samples).max()
    assert any("channel 0 alone is read" in note for note in loaded.notes) == says
    assert bool(batch_notes) == says


# --- lists and their files ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("duration", "says"),
    [(2_000.0, "milliseconds?"), (32_000.0, "samples?"), (5e8, "the file holds 2.000 s")],
)
@pytest.mark.parametrize("form", ["flac", "mkv"])
def test_a_list_that_contradicts_its_file_is_said_and_read_by_the_file(
    tmp_path, duration, says, form
):
    from gaudi_asr_cli.core.data.reading import read_measured
    from gaudi_asr_cli.core.data.sources import ReadOptions

    path = tmp_path / f"a.{form}"
    if form == "flac":
        path.write_bytes(forget_flac_length(encode(speech(2.0), "FLAC")))
    else:
        mux(path, "pcm_s16le", speech(2.0))
    row = {"audio_filepath": path.name, "duration": duration, "text": "one"}
    (tmp_path / "t.jsonl").write_text(json.dumps(row))

    measured = read_measured([str(tmp_path / "t.jsonl")], ReadOptions())

    assert measured.audio_s == pytest.approx(2.0)
    assert says in measured.notes[0]
    assert "the list says" in measured.notes[0]
    assert load_audio(measured.utterances[0].audio).lost_s == 0.0
