#!/usr/bin/env bash
# Two readers of a chained Ogg file (two recordings joined, which RFC 3533 allows) give three lengths.
#
# Seen with soundfile 0.14.0 (libsndfile 1.2.2), av 18.1.0 (its FFmpeg), numpy 2.4.6, on a file made of
# one second and two seconds, Vorbis and Opus alike:
#   libsndfile      1.00 s: the first link alone, in the header and when all is read; no warning
#   FFmpeg, header  2.00 s: the length of the last link alone
#   FFmpeg, decoded 3.00 s: both links (2.99 s in Vorbis)
# So a loader that trusts either header, or libsndfile, loses speech silently.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q soundfile==0.14.0 av==18.1.0 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import io
import av, numpy, soundfile

def link(hertz, seconds, codec):
    samples = 0.3 * numpy.sin(2 * numpy.pi * hertz * numpy.arange(seconds * 16_000) / 16_000)
    file = io.BytesIO()
    soundfile.write(file, samples, 16_000, format="OGG", subtype=codec)
    return file.getvalue()

print("soundfile", soundfile.__version__, soundfile.__libsndfile_version__, "av", av.__version__)
for codec in ("VORBIS", "OPUS"):
    chained = link(440, 1, codec) + link(880, 2, codec)
    samples, rate = soundfile.read(io.BytesIO(chained))
    info = soundfile.info(io.BytesIO(chained))
    with av.open(io.BytesIO(chained)) as container:
        stream = container.streams.audio[0]
        header_s = float(stream.duration * stream.time_base)
        decoded_s = sum(f.samples / f.sample_rate for f in container.decode(stream))
    seen = [info.frames / rate, len(samples) / rate, header_s, decoded_s]
    print(codec, [round(one, 2) for one in seen])
    assert numpy.allclose(seen, [1.0, 1.0, 2.0, 3.0], atol=0.02), seen
PYTHON
