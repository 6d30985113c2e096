"""A worker of the server that ends itself when it reads a file that says so."""

import os
import sys
from multiprocessing.connection import Connection

from gaudi_asr_cli.core.inference.device_worker import run_worker
from gaudi_asr_cli.core.serving import request_threads
from gaudi_asr_cli.core.serving.worker import serve_requests

POISON = b"poison"
read_duration_s = request_threads.read_duration_s


def read_or_end(span):
    if POISON in span.path.read_bytes()[-100:]:
        os._exit(3)
    return read_duration_s(span)


if __name__ == "__main__":
    request_threads.read_duration_s = read_or_end
    run_worker(Connection(int(sys.argv[1])), sys.argv[2], sys.argv[3], serve_requests)
