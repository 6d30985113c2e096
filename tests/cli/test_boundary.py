"""What `main` makes of errors, signals and closed pipes; bugs keep their traceback."""

import errno
import signal
import subprocess
import sys
from functools import partial

import pytest
from helpers.run import clean_environment, run_here

from gaudi_asr_cli.core.errors import DataError, StoppedError, UnreachableError
from gaudi_asr_cli.core.workflows.doctor import run as doctor_module

SIGNAL_IN_FINALIZER = """
import signal, sys, time, weakref
from gaudi_asr_cli.cli import app as module

number, place = int(sys.argv[1]), sys.argv[2]

class Held:
    def __del__(self):
        if place == "finalizer":
            signal.raise_signal(number)

def when_gone(_):
    if place == "weakref callback":
        signal.raise_signal(number)

@module.app.command("wait")
def wait() -> None:
    held = Held()
    seen = weakref.ref(held, when_gone)
    del held
    print("dropped", flush=True)
    time.sleep(30)

module.main(["wait"])
"""
WAIT = """
import time
from gaudi_asr_cli.cli import app as module

@module.app.command("wait")
def wait() -> None:
    try:
        print("ready", flush=True)
        time.sleep(60)
    finally:
        print("tidied", flush=True)

module.main(["wait"])
"""


@pytest.fixture
def failing(monkeypatch):
    """Make `doctor` end in the given error."""

    def fail_with(error):
        def fail():
            raise error

        monkeypatch.setattr(doctor_module, "doctor", fail)

    return fail_with


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (DataError("a", remedy="b"), 4),
        (UnreachableError("a", remedy="b"), 6),
        (StoppedError("a", remedy="b", exit_code=143), 143),
    ],
)
def test_an_error_is_a_sentence_a_remedy_and_its_exit_code(failing, error, code):
    failing(error)

    result = run_here("doctor")

    assert (result.exit_code, result.stdout) == (code, "")
    assert result.stderr == "error: a\n  try: b\n"


def test_brackets_in_a_message_are_no_markup(failing):
    failing(DataError("[red]x.wav[/red] is empty.", remedy="Look at [1]."))

    result = run_here("doctor")

    assert result.stderr == "error: [red]x.wav[/red] is empty.\n  try: Look at [1].\n"


def test_a_long_path_is_not_broken_over_lines(failing):
    path = "/data/" + "x" * 200 + ".wav"
    failing(DataError(f"{path} is empty.", remedy="Look."))

    assert path in run_here("doctor").stderr


def full(message="No space left on device"):
    return OSError(errno.ENOSPC, message, "/tmp/model.safetensors")


def test_a_full_disk_names_the_file_and_ends_with_1(failing):
    failing(full())

    result = run_here("doctor")

    assert result.exit_code == 1
    assert "disk is full: /tmp/model.safetensors" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_full_disk_is_recognised_behind_another_error(failing):
    class SafetensorError(Exception):
        pass

    failing(SafetensorError("I/O error: No space left on device (os error 28)"))
    assert run_here("doctor").exit_code == 1

    wrapper = RuntimeError("unexpected pos 64 vs 0")
    wrapper.__context__ = full()
    failing(wrapper)
    assert "The disk is full" in run_here("doctor").stderr


def test_a_place_that_may_not_be_written_is_named(failing):
    failing(PermissionError(errno.EACCES, "Permission denied", "/etc/runs"))

    result = run_here("doctor")

    assert (result.exit_code, result.stderr.splitlines()[0]) == (
        1,
        "error: /etc/runs: Permission denied.",
    )


def test_running_out_of_memory_is_no_bug(failing):
    class OutOfMemoryError(RuntimeError):
        pass

    failing(OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.\nmore"))

    result = run_here("doctor")

    assert result.exit_code == 1
    assert "Tried to allocate 2 GiB." in result.stderr
    assert "--batch-seconds" in result.stderr


def test_a_file_that_the_program_forgot_to_look_for_is_a_bug(failing):
    failing(FileNotFoundError(errno.ENOENT, "No such file or directory", "forgotten"))

    with pytest.raises(FileNotFoundError):
        run_here("doctor")


def test_a_bug_shows_its_traceback(failing):
    failing(ZeroDivisionError("a bug"))

    with pytest.raises(ZeroDivisionError):
        run_here("doctor")


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["SIGINT", "SIGTERM"]
)
def test_a_signal_stops_cleanly(number, code):
    process = subprocess.Popen(
        [sys.executable, "-c", WAIT],
        env=clean_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A shell that starts these tests behind itself (`&`) has its children ignore SIGINT.
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
    )
    assert process.stdout.readline() == "ready\n"

    process.send_signal(number)
    out, err = process.communicate(timeout=60)

    assert process.returncode == code
    assert out == "tidied\n"
    assert "Traceback" not in err


@pytest.mark.parametrize("place", ["finalizer", "weakref callback"])
@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["SIGINT", "SIGTERM"]
)
def test_a_signal_that_comes_in_a_finalizer_stops_the_program(number, code, place):
    process = subprocess.run(
        [sys.executable, "-c", SIGNAL_IN_FINALIZER, str(int(number)), place],
        env=clean_environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
    )

    assert process.returncode == code
    assert process.stdout == "dropped\n"
    assert "Traceback" not in process.stderr


def test_other_errors_of_a_finalizer_are_shown():
    script = SIGNAL_IN_FINALIZER.replace("signal.raise_signal(number)", "1 / 0")
    script = script.replace("time.sleep(30)", "pass")
    process = subprocess.run(
        [sys.executable, "-c", script, "0", "finalizer"],
        env=clean_environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert process.returncode == 0
    assert "ZeroDivisionError" in process.stderr


def test_a_reader_that_leaves_early_is_no_error():
    script = (
        "import sys; from gaudi_asr_cli.cli.app import main; main(['recipes', 'show', 'digits'])"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script],
        env=clean_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    process.stdout.close()

    err = process.stderr.read()
    process.stderr.close()

    assert process.wait(timeout=60) != 0
    assert err == ""
