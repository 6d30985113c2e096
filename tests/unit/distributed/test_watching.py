"""Monitoring of ranks, with a minimal launcher and ranks that only print and fail."""

import io
import os
import signal
import sys
import textwrap
import threading
import time

import pytest

from gaudi_asr_cli.core.distributed import watching
from gaudi_asr_cli.core.distributed.handover import VARIABLE, Handover
from gaudi_asr_cli.core.distributed.watching import find_failed_rank, run_ranks
from gaudi_asr_cli.core.errors import AsrError, StoppedError

BY_TORCHRUN = """
E1121 torch/distributed/elastic/multiprocessing/api.py:1002] failed (exitcode: -9) local_rank: 1
============================================================
gaudi_asr_cli FAILED
Failures:
[1]:
  rank      : 0 (local_rank: 0)
  exitcode  : 1 (pid: 11)
Root Cause (first observed failure):
[0]:
  time      : 2026-11-21_07:35:40
  host      : localhost
  rank      : 3 (local_rank: 1)
  exitcode  : -9 (pid: 12)
"""
BY_MPI = """
mpirun noticed that process rank 5 with PID 0 on node gaudi-1 exited on signal 9 (Killed).
"""
BY_MPI_CODE = """
mpirun detected that one or more processes exited with non-zero status, thus causing
the job to be terminated. The first process to do so was:

  Process name: [[41341,1],2]
  Exit code:    4
"""

RANKS = """
    import os, subprocess, sys
    body = sys.argv[1]
    ranks = [
        subprocess.Popen([sys.executable, "-c", body], env={**os.environ, "RANK": rank,
                         "LOCAL_RANK": rank, "WORLD_SIZE": "2"})
        for rank in ("0", "1")
    ]
    print("launched")
    sys.exit(max(abs(rank.wait()) for rank in ranks))
"""
PRELUDE = """
import os, signal, sys, time
from gaudi_asr_cli.core.errors import AsrError, DataError, StoppedError
from gaudi_asr_cli.core.distributed.rank import exit_code_of, rank_streams, report_to_launcher
first = os.environ["RANK"] == "0"
with rank_streams():
"""


@pytest.fixture
def launched(tmp_path):
    """Return a function that runs two ranks and returns their output and their error."""

    def run(body):
        handover = Handover(tmp_path / "handover")
        handover.logs.mkdir(parents=True)
        outputs = io.StringIO(), io.StringIO()
        script = PRELUDE + textwrap.indent(textwrap.dedent(body), "    ")
        line = [sys.executable, "-c", textwrap.dedent(RANKS), script]
        error = None
        try:
            run_ranks(line, dict(os.environ), handover, outputs)
        except AsrError as raised:
            error = raised
        return outputs[0].getvalue(), outputs[1].getvalue(), error, handover

    return run


def test_only_the_first_ranks_output_is_shown_and_the_rest_goes_to_logs(launched):
    out, err, error, handover = launched("""
        print("ein Wörtchen" if first else "hidden")
        print("aside", file=sys.stderr)
        os.write(1, b"a library\\n")
    """)

    assert error is None
    assert (out, err) == ("ein Wörtchen\n", "aside\n")
    assert handover.log(0).read_text() == "a library\n"
    assert set(handover.log(1).read_text().split()) == {"hidden", "aside", "a", "library"}
    assert handover.launcher_log.read_text() == "launched\n"


def test_the_first_error_of_a_rank_ends_all_with_its_exit_code(launched, monkeypatch):
    monkeypatch.setattr(watching, "GRACE_S", 0.1)
    monkeypatch.setattr(watching, "TERMINATE_TIMEOUT_S", 0.1)

    started = time.monotonic()
    *_, error, handover = launched("""
        if first:
            time.sleep(300)
        failed = DataError("The text is missing.", remedy="Write it.")
        assert report_to_launcher(failed)
        sys.exit(exit_code_of(failed))
    """)

    assert (error.message, error.remedy, error.exit_code) == (
        "The text is missing.",
        "Write it.",
        4,
    )
    assert time.monotonic() - started < 200
    assert "Write it." in handover.log(1).read_text()


def test_the_error_of_a_crashed_rank_shows_its_last_lines(launched):
    *_, error, handover = launched("raise ValueError('a bug') if not first else SystemExit")

    assert error.exit_code == 1
    # Unlike torchrun, this launcher does not name the rank.
    assert "launched" in error.message
    assert "ValueError: a bug" in handover.log(1).read_text()


def test_ctrl_c_is_forwarded_to_the_first_rank(launched, tmp_path):
    def interrupt():
        while not (tmp_path / "handover" / "ready").exists():
            time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt, daemon=True).start()
    *_, error, _ = launched("""
        try:
            if first:
                open(os.environ["GAUDI_ASR_LAUNCH"] + "/ready", "w").close()
                time.sleep(300)
        except KeyboardInterrupt:
            stopped = StoppedError("Stopped.", remedy="Go on.", exit_code=130)
            assert report_to_launcher(stopped)
            sys.exit(exit_code_of(stopped))
    """)

    assert (error.message, error.exit_code) == ("Stopped.", 130)


def test_ctrl_c_before_any_rank_has_started_ends_the_launcher(tmp_path):
    handover = Handover(tmp_path)
    handover.logs.mkdir()
    threading.Timer(0.3, lambda: os.kill(os.getpid(), signal.SIGINT)).start()

    with pytest.raises(StoppedError) as stopped:
        run_ranks(["sleep", "300"], dict(os.environ), handover, (io.StringIO(), io.StringIO()))

    assert stopped.value.exit_code == 130


@pytest.mark.parametrize(
    ("log", "expected"),
    [
        (BY_TORCHRUN, (3, "was killed by SIGKILL")),
        (BY_MPI, (5, "was killed by SIGKILL")),
        (BY_MPI_CODE, (2, "exited with 4")),
        ("nothing of note", (None, "")),
    ],
)
def test_the_first_failed_rank_is_found_in_launcher_logs(log, expected):
    assert find_failed_rank(log) == expected


def test_a_process_that_is_no_rank_keeps_its_streams_and_errors(monkeypatch):
    from gaudi_asr_cli.core.distributed.rank import rank_streams, report_to_launcher

    monkeypatch.delenv(VARIABLE, raising=False)
    before = sys.stdout

    with rank_streams():
        assert sys.stdout is before
    assert not report_to_launcher(AsrError("", remedy=""))
