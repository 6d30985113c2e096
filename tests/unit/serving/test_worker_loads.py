"""What workers know of each other: who has requests."""

import subprocess
import sys

from gaudi_asr_cli.core.serving.worker_loads import LoadPlace, OtherWorkers, WorkerLoads

READ = """
import sys
from gaudi_asr_cli.core.serving.worker_loads import LoadPlace, OtherWorkers
others = OtherWorkers(LoadPlace(int(sys.argv[1]), 1))
for line in sys.stdin:
    print(others.count_busy(), flush=True)
"""


def test_a_process_sees_at_once_how_many_others_have_requests():
    loads = WorkerLoads()
    line = [sys.executable, "-c", READ, str(loads.descriptor)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(line, **pipes, pass_fds=[loads.descriptor]) as reader:

        def read():
            reader.stdin.write("\n")
            reader.stdin.flush()
            return int(reader.stdout.readline())

        counts = [read()]
        for number, requests in ((0, 1), (2, 1000), (1, 5), (0, 0)):
            loads.write(number, requests)
            counts.append(read())
    loads.close()

    # Its own requests are not among those of others.
    assert counts == [0, 1, 2, 2, 1]


def test_one_worker_alone_has_no_others():
    loads = WorkerLoads()
    loads.write(0, 3)

    assert OtherWorkers(LoadPlace(loads.descriptor, 0)).count_busy() == 0
    loads.close()
