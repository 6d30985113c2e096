"""Names of output files: one file for each input, whatever the names of the inputs."""

import json
import os
import unicodedata

import pytest

from gaudi_asr_cli.core.events import UtteranceDone
from gaudi_asr_cli.core.records import Transcript
from gaudi_asr_cli.ui.transcripts import FileWriter


def written(folder, paths, formats=("txt",)):
    write = FileWriter(folder / "out", formats)
    for number, path in enumerate(paths):
        write(UtteranceDone(path, path, 1.0, Transcript(path, f"text {number}")))
    return sorted(path.name for path in (folder / "out").iterdir())


@pytest.mark.parametrize(
    "paths",
    [
        ["a/x.wav", "b/x.wav", "x-2.wav"],
        ["x-2.wav", "a/x.wav", "b/x.wav"],
        ["a/x.wav", "x-2.wav", "b/x.wav"],
        ["x.wav", "x.mp3", "x-2.flac", "x-2.wav", "x-2-2.wav"],
        ["A.wav", "a.wav"],
        ["Stra\N{LATIN SMALL LETTER SHARP S}e.wav", "STRASSE.wav"],
        [unicodedata.normalize(form, "caf\N{LATIN SMALL LETTER E WITH ACUTE}.wav")
         for form in ("NFC", "NFD")],
        ["n" * 251 + ".wav", "n" * 250 + "m.wav", "\N{SNOWMAN}" * 84 + ".wav"],
        ["", "unnamed.wav"],
    ],
)  # fmt: skip
def test_no_two_inputs_share_an_output_file(tmp_path, paths):
    names = written(tmp_path, paths)

    folded = {unicodedata.normalize("NFC", name).casefold() for name in names}
    texts = {(tmp_path / "out" / name).read_text() for name in names}
    assert len(folded) == len(texts) == len(paths)


def test_names_stay_simple_without_collisions(tmp_path):
    assert written(tmp_path, ["a/x.wav", "b/y.mp3"]) == ["x.txt", "y.txt"]


def test_a_name_that_is_not_utf8_is_kept_in_the_file_name_and_escaped_inside(tmp_path):
    name = os.fsdecode(b"caf\xff.wav")

    files = written(tmp_path, [name], ("txt", "jsonl", "json", "ctm", "srt", "vtt", "tsv"))

    assert len(files) == 7
    line = (tmp_path / "out" / os.fsdecode(b"caf\xff.jsonl")).read_text()
    assert json.loads(line)["path"] == name
