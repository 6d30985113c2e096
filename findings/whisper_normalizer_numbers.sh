#!/usr/bin/env bash
# Whisper's English normaliser turns words that are no numbers into digits, and leaves numbers as words.
#
# Seen with whisper-normalizer 0.1.15 (the normaliser of openai/whisper as a package):
#   "four o'clock"      40 clock     the o is taken for a zero behind the four
#   "oh no"             0 no         an interjection becomes a digit
#   "one and a half"    one.5        where "two point five" becomes 2.5
#   "minus one"         -one
#   "a hundred and one" a 101
# So "four o'clock" equals a wrong "forty clock" and differs from "four of the clock" in all its words;
# an interjection counts as a number. Both sides are changed alike, so most scores hide it.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q whisper-normalizer==0.1.15
"$folder/venv/bin/python" -W ignore - <<'PYTHON'
from importlib.metadata import version
from whisper_normalizer.english import EnglishTextNormalizer

normalize = EnglishTextNormalizer()
expected = {
    "four o'clock": "40 clock",
    "forty clock": "40 clock",
    "oh no": "0 no",
    "one and a half": "one.5",
    "two point five": "2.5",
    "minus one": "-one",
    "a hundred and one": "a 101",
}
print("whisper-normalizer", version("whisper-normalizer"))
for text, wanted in expected.items():
    print(f"{text!r:22} {normalize(text)!r}")
    assert normalize(text) == wanted, (text, normalize(text))
PYTHON
