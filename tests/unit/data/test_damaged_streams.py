"""Streams whose frames or pages are missing or damaged: the rest keeps its place on the clock."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from helpers.audio_files import RATE_HZ, encode, forget_flac_length, mux, speech

from gaudi_asr_cli.core.data.audio import load_audio, read_duration_s
from gaudi_asr_cli.core.data.timeline import read_timeline
from gaudi_asr_cli.core.inference.long_form import open_blocks
from gaudi_asr_cli.core.records import AudioSpan

SECONDS = 6.0
SPEECH = speech(SECONDS)
TAIL_S = 4.8


def flac_frames(data):
    """Return the offsets of the frames of 4,096 samples that libFLAC writes."""
    return [
        at
        for at in range(len(data) - 5)
        if data[at : at + 2] == b"\xff\xf8" and data[at + 4] < 1 + SECONDS * RATE_HZ / 4096
    ]


def damaged_flac(kind):
    whole = bytes(encode(SPEECH, "FLAC"))
    at = flac_frames(whole)
    kinds = {
        "zeros": whole[: at[8] + 50] + bytes(at[11] - at[8]) + whole[at[11] + 50 :],
        "missing": whole[: at[8]] + whole[at[11] :],
        "first missing": whole[: at[0]] + whole[at[3] :],
    }
    return kinds[kind]


def ogg_pages(data):
    pages, at = [], 0
    while at < len(data):
        size = 27 + data[at + 26] + sum(data[at + 27 : at + 27 + data[at + 26]])
        pages.append(data[at : at + size])
        at += size
    return pages


def damaged_ogg(path, codec, kind):
    if codec == "vorbis":
        path.write_bytes(encode(SPEECH, "OGG"))
    else:
        mux(path, codec, SPEECH, form="ogg")
    pages = ogg_pages(path.read_bytes())
    middle = len(pages) // 2
    page = bytearray(pages[middle])
    page[200:260] = bytes(60)
    kept = {"missing": [], "damaged": [bytes(page)]}[kind]
    path.write_bytes(b"".join([*pages[:middle], *kept, *pages[middle + 1 :]]))


def require_tail_in_place(path):
    """Check that all ways of reading have the whole length, and the end where it was."""
    begin = round(TAIL_S * RATE_HZ)
    whole = load_audio(AudioSpan(path)).samples
    blocks = np.concatenate([block.samples for block in open_blocks(AudioSpan(path))])
    span = load_audio(AudioSpan(path, TAIL_S, 1.0)).samples
    expected = SPEECH[begin : begin + RATE_HZ]

    assert read_duration_s(AudioSpan(path)) == pytest.approx(SECONDS, abs=0.01)
    assert len(whole) / RATE_HZ == pytest.approx(SECONDS, abs=0.01)
    for found in (whole[begin : begin + RATE_HZ], blocks[begin : begin + RATE_HZ], span):
        match = expected @ found / (np.linalg.norm(expected) * np.linalg.norm(found))
        assert match > 0.9


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("kind", ["zeros", "missing", "first missing"])
def test_what_follows_damaged_frames_of_flac_keeps_its_place(tmp_path, kind, streamed):
    data = damaged_flac(kind)
    path = tmp_path / "a.flac"
    path.write_bytes(forget_flac_length(data) if streamed else data)

    require_tail_in_place(path)
    if kind != "missing":  # libFLAC itself fills frames that are missing between others
        assert load_audio(AudioSpan(path)).lost_s == pytest.approx(3 * 4096 / RATE_HZ, abs=0.3)


@pytest.mark.parametrize("codec", ["vorbis", "libopus", "flac"])
@pytest.mark.parametrize("kind", ["missing", "damaged"])
def test_what_follows_a_page_of_ogg_that_is_gone_keeps_its_place(tmp_path, codec, kind):
    path = tmp_path / "a.ogg"
    damaged_ogg(path, codec, kind)

    require_tail_in_place(path)
    (note,) = read_timeline(AudioSpan(path)).notes
    assert "some of its pages are missing or damaged: " in note


def test_the_later_links_of_a_chain_are_read_if_its_first_page_is_damaged(tmp_path):
    first, second = (bytearray(encode(speech(1.0, seed), "OGG")) for seed in (0, 1))
    first[40:44] = struct.pack("<I", 0)
    path = tmp_path / "a.ogg"
    path.write_bytes(bytes(first + second))

    (note,) = read_timeline(AudioSpan(path)).notes

    assert "1 of the 2 recordings joined in it cannot be read" in note
    assert len(load_audio(AudioSpan(path)).samples) == RATE_HZ
