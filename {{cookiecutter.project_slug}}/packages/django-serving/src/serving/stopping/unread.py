"""Connections whose clients do not read: Granian keeps them without a limit, and a stop waits for them.

What a response has handed to Granian lies in its memory and in the kernel's until the client takes it, also when
the response itself was given up long ago: so it is with Granian 2.8.9.
"""

import socket
import sys
from contextlib import suppress
from functools import partial
from threading import Timer

from serving.conf import conf
from serving.stopping.listeners import sockets_at
from serving.stopping.signals import stopping
from serving.types import ASGIApp, Receive, Scope, Send

# Seconds after SEND_TIMEOUT, with which a response gives up by itself, tells the log, and waits a little longer where
# the worker itself stood still.
LATER = 10.0

# Seconds after DRAIN_TIMEOUT: what it has ended has half a second to send its last bytes.
GRACE = 1.0


class Unread:
    """ASGI middleware: ends connections whose client takes nothing for long, or at a stop has not taken all."""

    def __init__(self, app: ASGIApp, port: int | None) -> None:
        self.app = app
        self._port = port

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        # With the first request, since Granian listens after the lifespan's startup alone.
        if self._port is not None and scope["type"] == "http":
            give_up_silent_clients(self._port, conf.SEND_TIMEOUT() + LATER)
            stopping.add_callback(partial(cut_off_later, self._port, conf.DRAIN_TIMEOUT()))
            self._port = None
        await self.app(scope, receive, send)


def give_up_silent_clients(port: int, seconds: float) -> None:
    """Has the system end connections to this TCP port whose client takes nothing of what is sent for so long.

    It raises nothing; other systems than Linux know no such option:
    https://man7.org/linux/man-pages/man7/tcp.7.html (TCP_USER_TIMEOUT)
    """
    if sys.platform != "linux":
        return
    milliseconds = max(1, min(int(seconds * 1000), 2**31 - 1))
    # First the listener, whose connections have it from then on; then those that were accepted meanwhile.
    for _ in range(2):
        for found in sockets_at(port):
            with found, suppress(OSError):  # closed by now, or a sandbox allows none
                found.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, milliseconds)


def cut_off_later(port: int, seconds: float) -> None:
    """Ends what is open then, from a thread: the event loop has ended, where a stop waits."""
    timer = Timer(seconds + GRACE, cut_off, [port])
    timer.daemon = True
    timer.start()


def cut_off(port: int) -> None:
    """Ends this process's connections to a TCP port. It raises nothing.

    Those that nobody uses Granian has closed by itself. Of the others the kernel holds what is not taken, or with
    HTTP/2 Granian does, as long as its client grants no window (RFC 9113, section 5.2).
    """
    for found in sockets_at(port):
        with found, suppress(OSError):  # closed by now
            if not found.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                found.shutdown(socket.SHUT_RDWR)
