#!/usr/bin/env bash
# libsndfile reads an MP3 that was joined from two up to the first part's frame count, without an error.
#
# Seen with soundfile 0.14.0 (libsndfile 1.2.2), av 18.1.0 (its FFmpeg), numpy 2.4.6: two MP3 files of two
# and three seconds, one after the other in one file (as `cat` and many recorders make them):
#   libsndfile  2.00 s, in the header and when all is read; its decoder (mpg123) writes a warning about
#               the Xing size straight to the process's standard error, past Python's sys.stderr
#   FFmpeg      5.15 s decoded: both parts and their encoder delays
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q soundfile==0.14.0 av==18.1.0 numpy==2.4.6
"$folder/venv/bin/python" - 2> "$folder/stderr" <<'PYTHON'
import contextlib, io, sys
import av, numpy, soundfile

def part(hertz, seconds):
    samples = 0.3 * numpy.sin(2 * numpy.pi * hertz * numpy.arange(seconds * 16_000) / 16_000)
    file = io.BytesIO()
    soundfile.write(file, samples, 16_000, format="MP3")
    return file.getvalue()

joined = part(440, 2) + part(880, 3)
with contextlib.redirect_stderr(io.StringIO()) as caught:
    samples, rate = soundfile.read(io.BytesIO(joined))
    info = soundfile.info(io.BytesIO(joined))
with av.open(io.BytesIO(joined)) as container:
    decoded_s = sum(f.samples / f.sample_rate for f in container.decode(audio=0))
seen = [info.frames / rate, len(samples) / rate, decoded_s]
print("soundfile", soundfile.__version__, "av", av.__version__, [round(one, 2) for one in seen])
assert numpy.allclose(seen, [2.0, 2.0, 5.15], atol=0.05), seen
assert caught.getvalue() == ""
PYTHON
grep -q 'Xing stream size' "$folder/stderr" || { echo 'no warning from mpg123'; exit 1; }
