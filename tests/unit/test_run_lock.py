"""One command at a time in a run folder; the lock ends with its holder."""

import errno
import fcntl
import os
import signal
import subprocess
import sys

import pytest

from gaudi_asr_cli.core.errors import UsageError
from gaudi_asr_cli.core.run_lock import hold_lock

HOLDER = """
import sys, time
from pathlib import Path
from gaudi_asr_cli.core.run_lock import hold_lock
with hold_lock(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path):
    """Start a process that holds the lock of the folder."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, tmp_path / ".lock"], stdout=subprocess.PIPE
    )
    assert process.stdout.readline() == b"held\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def test_a_second_holder_is_rejected_with_the_first_ones_process_host_and_time(holder, tmp_path):
    with pytest.raises(UsageError) as raised, hold_lock(tmp_path / ".lock"):
        pass

    assert f"process {holder.pid} on {os.uname().nodename} since 2" in raised.value.message
    assert f"kill {holder.pid}" in raised.value.remedy


def test_a_lock_ends_with_a_killed_holder(holder, tmp_path):
    os.kill(holder.pid, signal.SIGKILL)
    holder.wait()

    with hold_lock(tmp_path / ".lock") as held:
        assert held
    assert list(tmp_path.iterdir()) == []


def test_a_holder_that_is_about_to_end_is_waited_for(holder, tmp_path):
    signal.signal(signal.SIGALRM, lambda *_: holder.kill())
    signal.setitimer(signal.ITIMER_REAL, 0.3)

    with hold_lock(tmp_path / ".lock", wait_s=20) as held:
        assert held


def test_a_file_system_without_locks_is_said(tmp_path, monkeypatch):
    def fail(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", fail)

    with hold_lock(tmp_path / ".lock") as held:
        assert not held


def test_a_folder_that_cannot_be_written_is_a_usage_error(tmp_path):
    (tmp_path / "run").write_text("a file")

    with pytest.raises(UsageError, match="cannot be written"), hold_lock(tmp_path / "run/.lock"):
        pass
