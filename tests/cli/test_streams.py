"""Closed, full and broken streams, and the output of libraries, in real processes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.run import clean_environment
from helpers.slow import slow_after_first

PROGRAM = f"{sys.executable} -m gaudi_asr_cli"
TIMEOUT_S = 300
PRINTING = """
import os
from gaudi_asr_cli.core.data import audio
from gaudi_asr_cli.core.inference import transcribe as engine
from gaudi_asr_cli.cli.app import main

load = audio.load_audio

def printing(span, *, channel=None):
    print("printed by Python")
    os.write(1, b"written by C\\n")
    return load(span, channel=channel)

engine.load_audio = printing
main()
"""


def shell(line, **settings):
    return subprocess.run(
        ["sh", "-c", line],
        env=clean_environment(),
        capture_output=True,
        timeout=TIMEOUT_S,
        check=False,
        **settings,
    )


@pytest.fixture(scope="module")
def infer(corpus, tiny_model):
    files = " ".join(str(corpus.with_name(name)) for name in ("u00.wav", "gone.wav"))
    return f"{PROGRAM} infer {files} --model {tiny_model} --json"


@pytest.mark.parametrize(
    ("redirection", "reason"), [(">&-", "closed"), ("> /dev/full", "No space left on device")]
)
@pytest.mark.parametrize("command", ["recipes", "recipes --json", "--help", "--version"])
def test_results_that_cannot_be_written_are_an_error(command, redirection, reason):
    done = shell(f"{PROGRAM} {command} {redirection}")

    assert done.returncode == 1
    assert reason in done.stderr.decode()
    assert "Traceback" not in done.stderr.decode()
    assert "Exception ignored" not in done.stderr.decode()


@pytest.mark.parametrize("redirection", ["2> /dev/full", "<&- 2>&-"])
def test_results_are_complete_without_the_other_streams(infer, redirection):
    done = shell(f"{infer} {redirection}")

    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 4
    assert [line["error"] is None for line in lines] == [True, False]
    assert b"Traceback" not in done.stderr


def test_lost_messages_change_the_exit_code():
    script = (
        "import sys; from gaudi_asr_cli.cli import app; "
        "app._run = lambda words: print('a message', file=sys.stderr) or 0; app.main(['x'])"
    )

    assert shell(f'{sys.executable} -c "{script}" 2> /dev/full').returncode == 1
    assert shell(f'{sys.executable} -c "{script}" 2>&-').returncode == 0


def test_without_any_stream_a_command_ends(infer):
    assert shell(f"{infer} <&- >&- 2>&-").returncode == 1


@pytest.mark.parametrize("redirection", slow_after_first([">&-", "> /dev/full"]))
def test_files_are_written_when_standard_output_fails(corpus, tiny_model, tmp_path, redirection):
    done = shell(
        f"{PROGRAM} eval-ctc {tiny_model} --data {corpus} --run {tmp_path}/run --json {redirection}"
    )

    assert done.returncode == 1
    assert b"standard output" in done.stderr
    assert len((tmp_path / "run" / "predictions.jsonl").read_text().splitlines()) == 12
    assert json.loads((tmp_path / "run" / "report.json").read_text())["utterances"] == 12


def test_a_closed_pipe_ends_the_command_silently(corpus, tiny_model):
    files = " ".join([str(corpus.with_name("u00.wav")), str(corpus.with_name("u01.wav"))])
    done = shell(f"{PROGRAM} infer {files} --model {tiny_model} --json --quiet | head -c 5")

    assert (done.stdout, done.stderr) == (b'{"sch', b"")


def test_nothing_but_results_reaches_standard_output(corpus, tiny_model):
    done = subprocess.run(
        [sys.executable, "-c", PRINTING, "infer", str(corpus.with_name("u00.wav")), "--json",
         "--model", str(tiny_model)],
        env=clean_environment(),
        capture_output=True,
        timeout=TIMEOUT_S,
        check=False,
    )  # fmt: skip

    (line,) = done.stdout.splitlines()
    assert json.loads(line)["error"] is None
    assert b"printed by Python" in done.stderr
    assert b"written by C" in done.stderr


def test_a_name_that_is_not_utf8_is_written_as_its_bytes(corpus, tiny_model, tmp_path):
    name = os.fsencode(tmp_path) + b"/caf\xff.wav"
    Path(os.fsdecode(name)).write_bytes(corpus.with_name("u00.wav").read_bytes())

    done = subprocess.run(
        [sys.executable, "-m", "gaudi_asr_cli", "infer", b"gone.wav", name, "--model",
         str(tiny_model)],
        env=clean_environment(),
        capture_output=True,
        timeout=TIMEOUT_S,
        check=False,
    )  # fmt: skip

    assert done.stdout.startswith(name + b"\t")
