"""An application behind a real server, on a thread of this process."""

import contextlib
import socket
import threading
import time

import uvicorn


@contextlib.contextmanager
def served_app(app, **settings):
    """Serve an application on a free port of this machine, and yield `127.0.0.1:PORT`."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        bound.listen()
        config = uvicorn.Config(app, log_config=None, lifespan="off", **settings)
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]}, daemon=True)
        thread.start()
        try:
            until_s = time.monotonic() + 10
            while not server.started and time.monotonic() < until_s:
                time.sleep(0.01)
            yield f"127.0.0.1:{bound.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(10)
