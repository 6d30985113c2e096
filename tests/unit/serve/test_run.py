"""The socket of the server."""

import socket

from gaudi_asr_cli.serve.run import bound_socket


def test_the_parts_of_an_answer_do_not_wait_for_each_other():
    # Head and body are written one after the other: with Nagle's algorithm the second waits 40 ms.
    with bound_socket("127.0.0.1", 0) as bound, socket.create_connection(bound.getsockname()):
        accepted, _ = bound.accept()
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
