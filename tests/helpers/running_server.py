"""`gaudi-asr serve` as a process of its own."""

import contextlib
import json
import subprocess
import sys

from helpers.run import clean_environment

STOP_S = 30


@contextlib.contextmanager
def running_server(*arguments, env=None):
    """Start a server on a free port, and yield its URL and process; it must end with code 0."""
    command = [sys.executable, "-m", "gaudi_asr_cli", "serve", "--port", "0", "--json"]
    with subprocess.Popen(
        [*command, *map(str, arguments)], stdout=subprocess.PIPE, env=clean_environment(env)
    ) as process:
        try:
            ready = json.loads(process.stdout.readline())
            yield ready["url"], process
            process.terminate()
            assert process.wait(STOP_S) == 0
        finally:
            process.kill()
