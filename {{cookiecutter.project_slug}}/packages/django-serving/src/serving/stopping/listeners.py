"""Empties the accept queues before their sockets are closed, which resets whoever waits in them.

A client behind such a connection has sent its POST already and can't know whether it was done, so no proxy sends it
again: https://docs.kernel.org/networking/ip-sysctl.html (tcp_migrate_req)
"""

import asyncio
import os
import socket
import stat
import struct
import sys
from array import array
from collections.abc import Callable, Iterator
from contextlib import suppress

POLL = 0.01  # seconds
# Seconds with an empty queue: an accepted connection is idle, and closed as well, until its request has come.
QUIET = 0.1
LIMIT = 1.0  # seconds, whoever waits

SO_ATTACH_FILTER = 26
# Classic BPF on the TCP header: what has SYN set is dropped. The client asks again after a second, and by then is
# refused, or taken by another worker. https://docs.kernel.org/networking/filter.html
DROP_SYN = (
    (0x30, 0, 0, 13),  # load the byte of the flags
    (0x45, 0, 1, 0x02),  # is SYN set?
    (0x06, 0, 0, 0),  # then keep nothing
    (0x06, 0, 0, 2**32 - 1),  # else all
)
TCP_INFO_LENGTH = 104  # bytes
UNACKED = 24  # where it says, for a listening socket, how many are in its accept queue


def empty_accept_queues(port: int | None, then: Callable[[], object]) -> None:
    """Calls `then` on the running event loop, once this process has accepted all who wait at the TCP port.

    At once where nothing can hold others off: on another system than Linux, with a Unix socket, without /proc, or
    where this process may open no more files. It raises nothing: the server would not be told to stop.
    """
    loop = asyncio.get_running_loop()
    opened = list(listeners(port)) if sys.platform == "linux" else []
    quiet_since = began = loop.time()

    def look() -> None:
        nonlocal quiet_since
        now = loop.time()
        if any(map(waiting, opened)):
            quiet_since = now
        if opened and now - quiet_since < QUIET and now - began < LIMIT:
            loop.call_later(POLL, look)
            return
        for listener in opened:
            listener.close()
        then()

    for listener in opened:
        with suppress(OSError):  # a sandbox may allow no filter
            drop_syn(listener)
    look()


def listeners(port: int | None) -> Iterator[socket.socket]:
    """Copies of this process's sockets that listen at a TCP port."""
    for found in sockets_at(port):
        with suppress(OSError):  # a sandbox may not say
            if found.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                yield found
                continue
        found.close()


def sockets_at(port: int | None) -> Iterator[socket.socket]:
    """Copies of this process's sockets at a TCP port: those that listen, and connections to it."""
    for number in sockets():
        with suppress(OSError):  # closed by now, and perhaps no socket any more
            copy = os.dup(number)
            try:
                found = socket.socket(fileno=copy)
            except OSError:
                os.close(copy)
                continue
            if found.family in (socket.AF_INET, socket.AF_INET6) and found.getsockname()[1] == port:
                yield found
            else:
                found.close()


def sockets() -> list[int]:
    """The file descriptors of this process that are sockets; none where the system does not say."""
    found = list[int]()
    with suppress(OSError):  # to list them takes one more
        for name in os.listdir("/proc/self/fd"):
            with suppress(OSError):  # closed by now
                if stat.S_ISSOCK(os.fstat(int(name)).st_mode):
                    found.append(int(name))
    return found


def drop_syn(listener: socket.socket) -> None:
    """Lets nobody else into the queue. Raises OSError where the system can't."""
    code = array("B", b"".join(struct.pack("HBBI", *instruction) for instruction in DROP_SYN))
    program = struct.pack("HP", len(DROP_SYN), code.buffer_info()[0])
    listener.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, program)


def waiting(listener: socket.socket) -> int:
    """How many connections are made, and not accepted yet; 0 where the system does not say, as gVisor may not."""
    with suppress(OSError, struct.error):
        information = listener.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, TCP_INFO_LENGTH)
        return int(struct.unpack_from("I", information, UNACKED)[0])
    return 0
