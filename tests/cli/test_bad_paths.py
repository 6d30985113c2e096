"""A bad path between two good files is the only failure, in every command that reads audio."""

import json
import os
import socket
import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile
from helpers.run import run_here

from gaudi_asr_cli.core.data import paths as paths_module

BAD_NAME = os.fsdecode(b"caf\xff.wav")


def write_wav(path, samples=None, **settings):
    time_s = np.arange(8000) / 16_000
    tone = 0.3 * np.sin(2 * np.pi * 300 * time_s)
    soundfile.write(os.fsencode(path), tone if samples is None else samples, 16_000, **settings)


def make_nan(path):
    write_wav(path, np.full(8000, np.nan, dtype=np.float32), subtype="FLOAT")


def make_cut_header(path):
    write_wav(path)
    path.write_bytes(path.read_bytes()[:30])


def make_wild_header(path):
    # An unknown format, with a size beyond the file.
    path.write_bytes(b"RIFF" + struct.pack("<I", 2**32 - 1) + b"WAVEfmt " + b"\xff" * 40)


def make_socket(path):
    with socket.socket(socket.AF_UNIX) as opened:
        # The path of a socket is limited to about 100 bytes.
        here = Path.cwd()
        os.chdir(path.parent)
        opened.bind(path.name)
        os.chdir(here)


BAD = {
    "empty.wav": lambda path: path.write_bytes(b""),
    "text.wav": lambda path: path.write_text("no audio at all\n" * 50),
    "cut.wav": make_cut_header,
    "wild.wav": make_wild_header,
    "nan.wav": make_nan,
    "folder.wav": lambda path: path.mkdir(),
    "link.wav": lambda path: path.symlink_to("nowhere.wav"),
    "loop.wav": lambda path: path.symlink_to("loop.wav"),
    "pipe.wav": lambda path: os.mkfifo(path),
    "socket.wav": make_socket,
    "samples.raw": lambda path: path.write_bytes(bytes(8000)),
    "samples.PCM": lambda path: path.write_bytes(bytes(8000)),
    "device.wav": lambda path: path.symlink_to("/dev/zero"),
    "packed.mp3": lambda path: path.write_bytes(b"PK\x03\x04" + bytes(3000)),
    "playlist.m4a": lambda path: path.write_text("#EXTM3U\n#EXTINF:1,\n/etc/passwd\n"),
    os.fsdecode(b"e\xff.wav"): lambda path: path.write_bytes(b""),
    "e\N{COMBINING ACUTE ACCENT}\N{SNOWMAN}.wav": lambda path: path.write_bytes(b"RIFF"),
}


@pytest.fixture(params=BAD, ids=ascii)
def folder(request, tmp_path):
    """Create a bad path between two good files, each with its text."""
    for name in ("a.wav", "z.wav"):
        write_wav(tmp_path / name)
        (tmp_path / name).with_suffix(".txt").write_text("one")
    bad = tmp_path / request.param
    BAD[request.param](bad)
    bad.with_suffix(".txt").write_text("two")
    return tmp_path, bad


def manifest_of(folder, *names):
    lines = [json.dumps({"audio_filepath": name, "text": "one"}) + "\n" for name in names]
    (folder / "m.jsonl").write_text("".join(lines))
    return folder / "m.jsonl"


def test_a_bad_path_of_a_folder_has_its_own_result_in_order(folder, tiny_model):
    place, bad = folder

    result = run_here("infer", place, "--json", "--model", tiny_model)

    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert result.exit_code == 4
    assert [line["path"] for line in lines] == [
        str(place / "a.wav"), str(bad), str(place / "z.wav")
    ]  # fmt: skip
    assert [line["error"] is None for line in lines] == [True, False, True]
    assert "unexpected" not in lines[1]["error"]


@pytest.mark.parametrize("layout", ["folder", "manifest"])
def test_check_reports_a_bad_path_and_reads_the_others(folder, layout):
    place, bad = folder
    data = place if layout == "folder" else manifest_of(place, "a.wav", bad.name, "z.wav")

    result = run_here("check", f"{layout}:{data}", "--json")

    (unreadable,) = [
        one for one in json.loads(result.stdout)["findings"] if one["kind"] == "unreadable"
    ]
    assert result.exit_code == 4
    assert (unreadable["count"], unreadable["of"]) == (1, 3)
    assert bad.name in unreadable["examples"][0]


@pytest.mark.parametrize("layout", ["folder", "manifest"])
def test_an_evaluation_scores_all_but_the_bad_path(folder, layout, tiny_model, tmp_path_factory):
    place, bad = folder
    data = place if layout == "folder" else manifest_of(place, "a.wav", bad.name, "z.wav")
    run_folder = tmp_path_factory.mktemp("eval") / "run"

    result = run_here(
        "eval-ctc", tiny_model, "--data", f"{layout}:{data}", "--run", run_folder, "--json"
    )

    answer = json.loads(result.stdout)
    (broken,) = json.loads((run_folder / "report.json").read_text())["broken"]
    assert (result.exit_code, answer["utterances"], answer["utterances_total"]) == (4, 2, 3)
    assert broken["path"] == str(bad)
    assert "1 utterance not scored; the first, " in result.stderr


@pytest.mark.parametrize(
    "name", ["~nobody-at-all/x.wav", "n" * 300 + ".wav", "d/" * 2500 + "x.wav"]
)
@pytest.mark.parametrize("command", ["infer", "check", "eval-ctc", "vocab"])
def test_a_path_that_no_system_has_is_an_error_of_its_own(
    tmp_path, tiny_model, command, name, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    write_wav(tmp_path / "a.wav")
    data = manifest_of(tmp_path, "a.wav", name)
    arguments = {
        "infer": ["infer", name, "a.wav", "--model", tiny_model, "--json"],
        "check": ["check", data, "--json"],
        "eval-ctc": ["eval-ctc", tiny_model, "--data", data, "--run", "run", "--json"],
        "vocab": ["vocab", data, "--out", "vocab", "--json"],
    }[command]

    result = run_here(*arguments)

    assert result.exit_code == (0 if command == "vocab" else 4)
    assert len(result.stdout.splitlines()) == (2 if command == "infer" else 1)
    named = (tmp_path / "run" / "report.json").read_text() if command == "eval-ctc" else ""
    assert name[-20:] in result.stdout + result.stderr + named


def test_a_good_file_whose_name_is_not_utf8_is_transcribed_and_named(tmp_path, tiny_model):
    write_wav(tmp_path / BAD_NAME)

    lines = run_here("infer", tmp_path, "--json", "--model", tiny_model)
    text = run_here("infer", "gone.wav", tmp_path / BAD_NAME, "--model", tiny_model)
    score = run_here(
        "eval-ctc", tiny_model, "--data", manifest_of(tmp_path, BAD_NAME), "--run",
        tmp_path / "run", "--json",
    )  # fmt: skip

    predicted = json.loads((tmp_path / "run" / "predictions.jsonl").read_text())
    assert json.loads(lines.stdout)["path"] == str(tmp_path / BAD_NAME)
    assert lines.stdout.isascii()
    assert text.stdout.startswith(f"{tmp_path / BAD_NAME}\t")
    assert (score.exit_code, predicted["path"]) == (0, str(tmp_path / BAD_NAME))


def test_a_folder_that_may_not_be_opened_is_an_error_of_its_own(tmp_path, tiny_model, monkeypatch):
    write_wav(tmp_path / "a.wav")
    (tmp_path / "closed").mkdir()
    opened = os.scandir

    def scan(path):
        if str(path).endswith("closed"):
            raise PermissionError(13, "Permission denied", str(path))
        return opened(path)

    monkeypatch.setattr(os, "scandir", scan)

    result = run_here("infer", tmp_path, "--json", "--model", tiny_model)

    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert result.exit_code == 4
    assert [Path(line["path"]).name for line in lines] == ["a.wav", "closed"]
    assert "Permission denied" in lines[1]["error"]


def test_a_file_that_may_not_be_read_is_an_error_of_its_own(tmp_path, tiny_model, monkeypatch):
    for name in ("a.wav", "b.wav", "c.wav"):
        write_wav(tmp_path / name)
    from gaudi_asr_cli.core.data import source

    class GuardedFile(source._ForgivingFile):
        def __init__(self, path, name):
            if path.name == "b.wav":
                raise PermissionError(13, "Permission denied", str(path))
            super().__init__(path, name)

    monkeypatch.setattr(source, "_ForgivingFile", GuardedFile)

    result = run_here("infer", tmp_path, "--json", "--model", tiny_model)

    errors = [json.loads(line)["error"] for line in result.stdout.splitlines()]
    assert errors == [None, f"{tmp_path / 'b.wav'}: Permission denied.", None]


def test_a_path_with_nul_or_a_lone_surrogate_is_reported_not_raised(tmp_path):
    assert "not a possible" in paths_module.find_path_problem(tmp_path / "a\0b")
    assert "not a possible" in paths_module.find_path_problem(tmp_path / "a\ud800b")


def test_circular_links_do_not_hang(tmp_path, tiny_model):
    write_wav(tmp_path / "a.wav")
    for name in ("one", "two", "three"):
        (tmp_path / name).symlink_to(tmp_path)

    folder = run_here("infer", tmp_path, "--json", "--model", tiny_model)
    globbed = run_here("infer", tmp_path / "**" / "*.wav", "--json", "--model", tiny_model)

    assert folder.stdout.count("\n") == globbed.stdout.count("\n") == 1
