"""The handler of every log record, which never waits for whoever reads the log.

A pipe that nobody reads is full after 64 KB, and then a write blocks. It is the event loop that writes the
log: the server would stand still, and not even hear the order to stop. So what is not taken at once is kept,
and a thread writes it later, in order. https://man7.org/linux/man-pages/man7/pipe.7.html
"""

import asyncio
import logging
import os
import select
import stat
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from functools import cache, partial
from io import TextIOWrapper
from pathlib import Path
from typing import TextIO

KEPT = 4 * 1024 * 1024  # bytes at most, in each process
AT_END = 2.0  # seconds that the end of a process waits for a reader, at most

HELD = 64  # records at most
HELD_SECONDS = 0.05

# Writes what a file takes of some bytes and returns how many; raises BlockingIOError if it takes none.
WriteSome = Callable[[bytearray], int]


def log_stream() -> TextIO:
    """Where the log goes: to stdout; for a command to stderr, since what it prints may be data."""
    program = Path(sys.argv[0])
    a_command = program.name in ("manage.py", "django-admin") or program.parent.name == "django"
    return sys.stderr if a_command else sys.stdout


class LogHandler(logging.StreamHandler[TextIO]):
    """Writes records to `log_stream()`: at once, or those that are held together, 50 ms late at most."""

    def __init__(self) -> None:
        super().__init__(log_stream())
        self._file, self._write_some = writer_of(self.stream)
        self._start_anew()

    def _start_anew(self) -> None:
        self._process = os.getpid()
        self.held: deque[logging.LogRecord] = deque()
        self._kept = bytearray()  # while there is some, a thread waits to write it
        self._dropped = 0  # lines, after what is kept

    def emit(self, record: logging.LogRecord) -> None:
        try:
            line = self.format(record) + self.terminator
            self._write(self._held_lines() + line)
        except Exception:
            self.handleError(record)

    def hold(self, record: logging.LogRecord) -> None:
        """Writes a record soon, if the filters let it pass. For the thread of the event loop.

        Lines are made together, since the first takes twice as long as those after it, and written together:
        a write gives up the interpreter lock, and the event loop waits to get it back from other threads.
        """
        self.held.append(record)
        if len(self.held) == 1:
            asyncio.get_running_loop().call_later(HELD_SECONDS, self.write_held)
        elif len(self.held) == HELD:
            self.write_held()

    def write_held(self) -> None:
        with self.lock:  # type: ignore[union-attr]  # every handler has one
            try:
                if lines := self._held_lines():
                    self._write(lines)
            except Exception:
                self.handleError(logging.makeLogRecord({"name": "granian.access"}))

    def flush(self) -> None:
        """Writes what is held and kept, as a process must before it ends; waits for AT_END at most."""
        self.write_held()
        deadline = time.monotonic() + AT_END
        with self.lock, suppress(OSError, ValueError):  # type: ignore[union-attr]
            while not self._write_kept() and (left := deadline - time.monotonic()) > 0:
                ready(self._file, left)

    def handleError(self, record: logging.LogRecord) -> None:
        """Reports that something was lost, and why; Python would print it, secrets too."""
        error = sys.exception()
        with suppress(Exception):
            lost = f"what {record.name} logged was lost: {type(error).__name__}: {error}"
            print(lost, file=sys.stderr)

    def _held_lines(self) -> str:
        if self._process != os.getpid():  # an app has forked, and its parent writes what it has
            self._start_anew()
        lines = []
        while self.held:
            record = self.held.popleft()
            try:
                if isinstance(shown := self.filter(record), logging.LogRecord):
                    lines.append(self.format(shown) + self.terminator)
            except Exception:
                self.handleError(record)
        return "".join(lines)

    def _write(self, lines: str) -> None:
        """Writes, keeps or drops lines. Raises OSError or ValueError if the file is broken."""
        if self._dropped or len(self._kept) > KEPT:  # one gap and not many: until nothing is kept
            self._dropped += lines.count("\n")
            return
        at_once = not self._kept
        if at_once and self.stream:
            self.stream.flush()  # what was printed before comes first
        self._kept += lines.encode("utf-8", "backslashreplace")
        if at_once and not self._write_kept():
            with suppress(RuntimeError):  # a process that ends starts none, and calls flush()
                threading.Thread(target=self._write_later, name="log", daemon=True).start()

    def _write_kept(self) -> bool:
        """Writes what is kept as far as the file takes it at once; returns whether nothing is left.

        In whole lines, and no more than a pipe takes as a whole: those of several workers do not mix.
        """
        while self._kept:
            end = self._kept.rfind(b"\n", 0, select.PIPE_BUF) + 1 or self._kept.find(b"\n") + 1
            try:
                del self._kept[: self._write_some(self._kept[:end])]
            except BlockingIOError:
                return False
            except (OSError, ValueError):
                self._kept.clear()
                self._dropped = 0
                raise
            if self._dropped and not self._kept:
                gap = f"{self._dropped} lines were dropped here: nobody read the log"
                record = logging.LogRecord(__name__, logging.WARNING, __file__, 0, gap, None, None)
                self._kept += (self.format(record) + self.terminator).encode()
                self._dropped = 0
        return True

    def _write_later(self) -> None:
        """Writes what is kept whenever the file takes more; a thread of its own, until nothing is left."""
        while self._kept:
            ready(self._file, None)
            with self.lock, suppress(OSError):  # type: ignore[union-attr]
                self._write_kept()


def writer_of(stream: TextIO) -> tuple[int, WriteSome]:
    """A stream's file, and how to write to it without waiting.

    Through the stream itself if it is a file on disk, a text in memory, or stderr: a command may wait, unless
    whoever started it has made its stderr non-blocking.
    """
    with suppress(AttributeError, OSError, ValueError):
        file = stream.fileno()
        found = os.fstat(file)
        waits = stream is sys.stderr and os.get_blocking(file)
        if not waits and not stat.S_ISREG(found.st_mode):
            return file, write_at_once(file, found.st_dev, found.st_ino)
    return -1, partial(write_to, stream)


def write_to(stream: TextIO | None, data: bytearray) -> int:
    """Writes to a stream, if there is one: a process may be started without stdout and stderr.

    In UTF-8, whatever the locale: a letter that it lacks would lose the record, and its neighbours.
    """
    if isinstance(stream, TextIOWrapper):
        stream.buffer.write(data)
        stream.flush()
    elif stream:
        stream.write(data.decode())
    return len(data)


@cache  # logging is configured several times, and each would open it again
def write_at_once(file: int, *_identity: int) -> WriteSome:
    """How to write to a file without waiting.

    Not by making it non-blocking: it would be so for whoever else has it open, such as the shell.
    """
    try:  # Linux: a description of its own
        flags = os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
        return partial(os.write, os.open(f"/proc/self/fd/{file}", flags))
    except OSError:  # a socket, another user's pipe, or no /proc
        return partial(write_if_ready, file)


def write_if_ready(file: int, data: bytearray) -> int:
    """Writes a piece to a file that has room for one, unless another process takes it in between."""
    if not ready(file, 0):
        raise BlockingIOError
    return os.write(file, data[: select.PIPE_BUF])


def ready(file: int, seconds: float | None) -> bool:
    """Waits until a file takes some bytes or is broken, or some seconds are over; returns whether it is."""
    asker = select.poll()
    asker.register(file, select.POLLOUT)
    return bool(asker.poll(None if seconds is None else seconds * 1000))
