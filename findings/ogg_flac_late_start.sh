#!/usr/bin/env bash
# FFmpeg loses the start time of a FLAC stream in Ogg: audio that begins at 2 s is placed at 0 s.
#
# Seen with PyAV 18.1.0 (FFmpeg 8.1.2). One second of audio, its first sample at 2.0 s, written by FFmpeg itself:
#   Opus in Ogg         first packet at 1.99 s (2.0 less the codec's delay), file ends at 3.0 s
#   FLAC in Matroska    first packet at 2.0 s, file ends at 3.0 s
#   FLAC in Ogg         first packet at 0.0 s, last one at 0.96 s, though the file is said to end at 3.0 s
# The granule positions in the file are right: the last one is 144,000 at 48 kHz. Subtitles and word times made from
# packet times are 2 s early, and the two seconds of silence seem to follow the audio.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q av==18.1.0 numpy==2.2.6
"$folder/venv/bin/python" -W ignore - <<'PYTHON'
import io
import struct
from fractions import Fraction

import av
import numpy as np

RATE, STEP = 48_000, 960
print("PyAV", av.__version__, "FFmpeg", av.ffmpeg_version_info)


def written(codec, container):
    """Return the bytes of a second of a tone that begins at 2.0 s."""
    file = io.BytesIO()
    tone = (0.3 * 32767 * np.sin(2 * np.pi * 440 * np.arange(RATE) / RATE)).astype(np.int16)
    with av.open(file, "w", format=container) as output:
        stream = output.add_stream(codec, rate=RATE)
        stream.layout = "mono"
        for at in range(0, RATE, STEP):
            frame = av.AudioFrame.from_ndarray(tone[None, at : at + STEP], format="s16", layout="mono")
            frame.sample_rate, frame.time_base, frame.pts = RATE, Fraction(1, RATE), 2 * RATE + at
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    return file.getvalue()


def packet_times(data):
    """Return when the first and the last packet begin, and where the file ends, in seconds."""
    with av.open(io.BytesIO(data)) as file:
        packets = file.demux(audio=0)
        times = [float(one.pts * one.time_base) for one in packets if one.pts is not None]
        return times[0], times[-1], file.duration / 1e6


expected = {("libopus", "ogg"): (1.99, 2.99), ("flac", "matroska"): (2.0, 2.96), ("flac", "ogg"): (0.0, 0.96)}
for (codec, container), (first_s, last_s) in expected.items():
    data = written(codec, container)
    first, last, end = packet_times(data)
    print(f"{codec:8} in {container:9} packets from {first:.2f} to {last:.2f} s, file ends at {end:.2f} s")
    assert abs(first - first_s) < 0.01 and abs(last - last_s) < 0.01, (first, last)
    assert abs(end - 3.0) < 0.02

# The last page of the Ogg FLAC file ends at sample 144,000: 3.0 s.
data = written("flac", "ogg")
position = struct.unpack_from("<Q", data, data.rindex(b"OggS") + 6)[0]
print("granule position of the last page:", position)
assert position == 3 * RATE
PYTHON
