"""Writes the log without ever waiting for who reads it.

A pipe that nobody reads is full after 64 KB, and from there on a write lasts until somebody reads. It
is the event loop that writes the log: the server would stand still, and not even hear the order to
stop. So what a pipe, a terminal or a socket does not take at once is kept, and a thread writes it
later, in order. Where too much is kept, new lines are dropped; how many, the log says in their place.

https://man7.org/linux/man-pages/man7/pipe.7.html
"""

import os
import select
import socket
import stat
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from functools import cache, partial
from typing import TextIO

PIPE_BUF = getattr(select, "PIPE_BUF", 512)  # bytes; Windows has none, and POSIX promises these
KEPT = 4 * 1024 * 1024  # bytes at most, in each process
AT_END = 2.0  # seconds that the end of a process waits for a reader, at most

# Writes what a file takes of some bytes and returns how many; raises BlockingIOError if it takes none.
WriteSome = Callable[[bytes], int]


class Output:
    """Where log lines go. Each method is to be called under `lock`.

    `notice`: makes the line that stands in the place of dropped ones, of their number and of the seconds
    in which they were dropped.
    """

    def __init__(
        self, stream: TextIO | None, lock: threading.RLock, notice: Callable[[int, float], str]
    ) -> None:
        self._stream = stream
        self._lock = lock
        self._notice = notice
        self._opened = open_for(stream)
        self._forget()

    def _forget(self) -> None:
        self._process = os.getpid()
        self._kept: deque[bytes] = deque()
        self._size = 0  # bytes that are kept
        self._dropped = 0  # lines
        self._dropping_since = 0.0
        self._writer: threading.Thread | None = None
        self._given_up = False  # nobody read in time when the process was about to end

    def write(self, text: str) -> None:
        """Writes, keeps or drops whole lines. Raises OSError or ValueError if the file is broken."""
        if self._opened is None:
            if self._stream is not None:
                self._stream.write(text)
                self._stream.flush()
            return
        if self._process != os.getpid():  # an app has forked, and its parent writes what it keeps
            self._forget()
        data = text.encode("utf-8", "backslashreplace")
        if not self._kept:
            self._stream.flush()  # type: ignore[union-attr]  # what was printed before comes first
            data = self._rest_of(data)
        if data:
            self._keep(data)

    def flush(self) -> None:
        """Writes what is kept, as a process must before it ends; for AT_END at most, and only once."""
        if self._opened is None:
            if self._stream is not None:
                self._stream.flush()
            return
        if self._process != os.getpid():
            return
        deadline = time.monotonic() + AT_END
        while self._kept and not self._given_up:
            if self._takes_more(max(0.0, deadline - time.monotonic())):
                self._write_kept()
            else:
                self._given_up = True

    def _rest_of(self, data: bytes) -> bytes:
        """Writes what the file takes at once; returns what it does not."""
        assert self._opened  # noqa: S101
        _, write_some = self._opened
        with suppress(BlockingIOError):
            while data:
                data = data[write_some(data) :]
        return data

    def _keep(self, data: bytes) -> None:
        # One gap and not many: once lines were dropped, half of what is kept must have gone first.
        if self._size > (KEPT // 2 if self._dropped else KEPT):
            if not self._dropped:
                self._dropping_since = time.monotonic()
            self._dropped += data.count(b"\n")
            return
        self._note_gap()
        self._kept.append(data)
        self._size += len(data)
        if self._writer is None:
            self._writer = threading.Thread(target=self._write_later, name="log", daemon=True)
            with suppress(RuntimeError):  # a process that ends starts none, and calls flush()
                self._writer.start()

    def _note_gap(self) -> None:
        if self._dropped:
            lasted = time.monotonic() - self._dropping_since
            line = self._notice(self._dropped, lasted).encode("utf-8", "backslashreplace")
            self._dropped = 0
            self._kept.append(line)
            self._size += len(line)

    def _write_later(self) -> None:
        """Writes what is kept whenever the file takes more; a thread of its own, until nothing is left."""
        while True:
            self._takes_more(None)
            with self._lock:
                self._write_kept()
                if not self._kept:
                    self._writer = None
                    self._given_up = False
                    return

    def _write_kept(self) -> None:
        """Writes as much of what is kept as the file takes at once."""
        while self._kept:
            data = self._kept.popleft()
            self._size -= len(data)
            try:
                rest = self._rest_of(data)
            except OSError:  # its reader is gone; the next line will say so
                self._kept.clear()
                self._size = 0
                return
            if rest:
                self._kept.appendleft(rest)
                self._size += len(rest)
                return
            if not self._kept:
                self._note_gap()

    def _takes_more(self, seconds: float | None) -> bool:
        """Waits until the file takes more, for ever if `seconds` is None; returns whether it does."""
        assert self._opened  # noqa: S101
        return ready(self._opened[0], seconds)


def ready(file: int, seconds: float | None) -> bool:
    """Whether a file takes some bytes, or is broken, within some seconds; None waits for ever."""
    asker = select.poll()
    asker.register(file, select.POLLOUT)
    return bool(asker.poll(None if seconds is None else seconds * 1000))


def open_for(stream: TextIO | None) -> tuple[int, WriteSome] | None:
    """A stream's file and how to write to it without waiting; None where that is not called for.

    So for a text in memory, for stderr, which commands log to (they may wait for who reads them), and for a
    process that was started with both closed.
    """
    if stream is None or stream is sys.stderr or not hasattr(select, "poll"):
        return None
    try:
        file = stream.fileno()
        found = os.fstat(file)
    except (AttributeError, OSError, ValueError):
        return None
    return open_file(file, found.st_mode, found.st_dev, found.st_ino)


@cache  # logging is configured several times, and each would open it again
def open_file(file: int, mode: int, *_identity: int) -> tuple[int, WriteSome]:
    """An open file, and how to write to it without waiting.

    Not by making it non-blocking: whoever else has it open, the shell for one, would find it so as well.
    """
    if stat.S_ISREG(mode):
        return file, partial(os.write, file)
    if stat.S_ISSOCK(mode):
        connection = socket.socket(fileno=os.dup(file))
        return file, lambda data: connection.send(data, socket.MSG_DONTWAIT)
    try:  # Linux: a description of its own
        flags = os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
        own = os.open(f"/proc/self/fd/{file}", flags)
    except OSError:
        return file, partial(write_if_ready, file)
    return own, partial(os.write, own)


def write_if_ready(file: int, data: bytes) -> int:
    """Writes a piece to a file that has room for one.

    It waits all the same where another process takes that room in between, and for a terminal, which
    says that it has room as soon as there is some.
    """
    if not ready(file, 0):
        raise BlockingIOError
    return os.write(file, data[:PIPE_BUF])
