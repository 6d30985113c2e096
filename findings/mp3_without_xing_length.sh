#!/usr/bin/env bash
# libsndfile stops reading an MP3 of variable bit rate that has no Xing frame at an estimate made from its
# first frame, without an error. Streams that are recorded or cut have no such frame.
#
# Seen with soundfile 0.14.0 (libsndfile 1.2.2), av 18.1.0 (its FFmpeg), numpy 2.4.6: two seconds of a tone
# as libsndfile itself writes them, less the first frame, which holds the Xing header:
#   libsndfile  0.31 s (4,896 of 32,000 samples), in the header and when all is read
#   FFmpeg      2.09 s decoded: all frames, with the encoder's delay
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q soundfile==0.14.0 av==18.1.0 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import io
import av, numpy, soundfile

tone = 0.3 * numpy.sin(2 * numpy.pi * 440 * numpy.arange(32_000) / 16_000)
whole = io.BytesIO()
soundfile.write(whole, tone, 16_000, format="MP3")
with av.open(io.BytesIO(whole.getvalue()), format="mp3") as container:
    stream = container.streams.audio[0]
    first = next(p for p in container.demux(stream) if p.size)
    start = first.pos  # FFmpeg skips the Xing frame: its first packet is the frame after
plain = whole.getvalue()[start:]
assert b"Xing" not in plain and b"Info" not in plain

samples, rate = soundfile.read(io.BytesIO(plain))
info = soundfile.info(io.BytesIO(plain))
with av.open(io.BytesIO(plain), format="mp3") as container:
    decoded_s = sum(f.samples / f.sample_rate for f in container.decode(audio=0))
seen = [info.frames / rate, len(samples) / rate, decoded_s]
print("soundfile", soundfile.__version__, "av", av.__version__, [round(one, 2) for one in seen])
assert abs(seen[0] - 0.31) < 0.05 and abs(seen[1] - 0.31) < 0.05, seen
assert 2.0 <= seen[2] < 2.2, seen
PYTHON
