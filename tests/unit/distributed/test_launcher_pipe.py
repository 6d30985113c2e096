"""Ranks end with the process that launched them, however it ends."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

LAUNCHER = """
import io, os, sys
from pathlib import Path
from gaudi_asr_cli.core.distributed.handover import Handover
from gaudi_asr_cli.core.distributed.watching import run_ranks
handover = Handover(Path(sys.argv[1]))
handover.logs.mkdir(parents=True)
run_ranks([sys.executable, "-c", sys.argv[2]], dict(os.environ), handover, (sys.stdout, sys.stderr))
"""
RANKS = """
import os, subprocess, sys, time
script = '''
import signal, time
from gaudi_asr_cli.core.distributed.rank import rank_streams
with rank_streams():
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    print("training", flush=True)
    time.sleep(120)
'''
ranks = [
    subprocess.Popen([sys.executable, "-c", script], env={**os.environ, "RANK": rank,
                     "LOCAL_RANK": rank, "WORLD_SIZE": "2"})
    for rank in ("0", "1")
]
for rank in ranks:
    rank.wait()
"""


def is_running(pid: int) -> bool:
    """Return whether a process exists and is no zombie."""
    try:
        return ") Z" not in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGHUP])
def test_no_rank_outlives_a_killed_launcher(number, tmp_path):
    root = tmp_path / "handover"
    with subprocess.Popen(
        [sys.executable, "-c", LAUNCHER, root, RANKS], stdout=subprocess.PIPE
    ) as launching:
        assert launching.stdout.readline() == b"training\n"
        children = Path(f"/proc/{launching.pid}/task/{launching.pid}/children").read_text()
        until_s = time.monotonic() + 20
        while len(list(root.glob("rank-*.pid"))) < 2 and time.monotonic() < until_s:
            time.sleep(0.05)
        ranks = [int(path.read_text()) for path in root.glob("rank-*.pid")]
        assert len(ranks) == 2
        assert all(is_running(pid) for pid in ranks)

        os.kill(launching.pid, number)
        launching.wait()

    until_s = time.monotonic() + 10
    pids = [*ranks, *map(int, children.split())]
    while any(is_running(pid) for pid in pids) and time.monotonic() < until_s:
        time.sleep(0.05)
    assert [pid for pid in pids if is_running(pid)] == []


def test_a_launcher_whose_parent_has_ended_already_starts_nothing(tmp_path):
    from gaudi_asr_cli.core.distributed.launcher_pipe import end_with_parent

    line = end_with_parent([sys.executable, "-c", "print('ranks')"])
    line[line.index(str(os.getpid()))] = "1"

    done = subprocess.run(line, capture_output=True, check=False)

    assert (done.returncode, done.stdout) == (1, b"")
