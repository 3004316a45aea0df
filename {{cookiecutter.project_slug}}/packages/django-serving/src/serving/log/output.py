"""The handler of every log record, which never waits for whoever reads the log.

A pipe that nobody reads is full after 64 KB; from then on a write blocks until somebody reads. It is the
event loop that writes the log: the server would stand still, and not even hear the order to stop. So
what a pipe, a terminal or a socket does not take at once is kept, and a thread writes it later, in order.
Where too much is kept, new lines are dropped, and a line in their place tells how many.

https://man7.org/linux/man-pages/man7/pipe.7.html
"""

import asyncio
import logging
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
from io import TextIOWrapper
from pathlib import Path
from typing import TextIO

KEPT = 4 * 1024 * 1024  # bytes at most, in each process
AT_END = 2.0  # seconds that the end of a process waits for a reader, at most

HELD = 64  # lines at most
HELD_SECONDS = 0.05

# Writes what a file takes of some bytes and returns how many; raises BlockingIOError if it takes none.
WriteSome = Callable[[bytearray], int]


def log_stream() -> TextIO:
    """Where the log goes: to stdout; for a command to stderr, since what it prints may be data."""
    program = Path(sys.argv[0])
    a_command = program.name in ("manage.py", "django-admin") or program.parent.name == "django"
    return sys.stderr if a_command else sys.stdout


class Stdout(logging.StreamHandler[TextIO]):
    """Writes records to `log_stream()` at once, and lines that are held together, 50 ms late at most."""

    def __init__(self) -> None:
        super().__init__(log_stream())
        if isinstance(self.stream, TextIOWrapper):
            # Whatever the locale: a letter that it lacks would lose the record, and its neighbours.
            self.stream.reconfigure(encoding="utf-8", errors="backslashreplace")
        self._file, self._write_some = opened(self.stream)
        self._timer: asyncio.TimerHandle | None = None
        self._start_anew()

    def _start_anew(self) -> None:
        self._process = os.getpid()
        self.held: deque[Callable[[], str]] = deque()
        self._kept = bytearray()  # while there is some, a thread waits to write it
        self._dropped = 0  # lines
        self._deadline: float | None = None  # of flush()

    def emit(self, record: logging.LogRecord) -> None:
        """Writes a record, after what is held."""
        try:
            line = self.format(record) + self.terminator
            self._write(self._held_lines() + line)
        except Exception:
            self.handleError(record)

    def hold(self, line: Callable[[], str]) -> None:
        """Writes what makes a line, soon. For the thread of the event loop.

        Lines are made together, since the first takes twice as long as those after it, and written together:
        a write gives up the interpreter lock, and the event loop waits to get it back from other threads.
        """
        self.held.append(line)
        if len(self.held) >= HELD:
            self.write_held()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(HELD_SECONDS, self._write_in_time)

    def _write_in_time(self) -> None:
        self._timer = None
        self.write_held()

    def write_held(self) -> None:
        """Writes the lines that are held."""
        with self.lock:  # type: ignore[union-attr]  # every handler has one
            try:
                if lines := self._held_lines():
                    self._write(lines)
            except Exception:
                self.handleError(logging.makeLogRecord({"name": __name__}))

    def flush(self) -> None:
        """Writes what is held and kept, as a process must before it ends; waits AT_END at most, and once."""
        self.write_held()
        with self.lock:  # type: ignore[union-attr]
            self._deadline = self._deadline or time.monotonic() + AT_END
            while self._kept and ready(self._file, max(0, self._deadline - time.monotonic())):
                with suppress(OSError, ValueError):  # its reader is gone
                    self._write_kept()

    def handleError(self, record: logging.LogRecord) -> None:
        """Reports that something was lost, and why. Python would print it all, secrets too."""
        error = sys.exception()
        with suppress(Exception):
            lost = f"what {record.name} logged was lost: {type(error).__name__}: {error}"
            print(lost, file=sys.stderr)

    def _held_lines(self) -> str:
        if self._process != os.getpid():  # an app has forked, and its parent writes what it has
            self._start_anew()
        lines = []
        while self.held:
            try:
                if line := self.held.popleft()():
                    lines.append(line + self.terminator)
            except Exception:
                self.handleError(logging.makeLogRecord({"name": __name__}))
        return "".join(lines)

    def _write(self, lines: str) -> None:
        """Writes, keeps or drops lines. Raises OSError or ValueError if the file is broken."""
        at_once = not self._kept
        if self._dropped or len(self._kept) > KEPT:  # one gap and not many: until nothing is kept
            self._dropped += lines.count("\n")
            return
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
                self._note_gap()
        return True

    def _note_gap(self) -> None:
        message = f"{self._dropped} lines were dropped here: nobody read the log"
        record = logging.LogRecord(__name__, logging.WARNING, __file__, 0, message, None, None)
        self._kept += (self.format(record) + self.terminator).encode()
        self._dropped = 0

    def _write_later(self) -> None:
        """Writes what is kept whenever the file takes more; a thread of its own, until nothing is left."""
        while self._kept:
            ready(self._file, None)
            with self.lock, suppress(OSError, ValueError):  # type: ignore[union-attr]
                self._write_kept()
        self._deadline = None


def opened(stream: TextIO | None) -> tuple[int, WriteSome]:
    """A stream's file, and how to write to it without waiting.

    A text in memory has none, nor has stderr, which commands log to: they may wait for who reads it.
    """
    try:
        if stream and stream is not sys.stderr:
            found = os.fstat(stream.fileno())
            return open_file(stream.fileno(), found.st_mode, found.st_dev, found.st_ino)
    except (AttributeError, OSError, ValueError):
        pass
    return -1, partial(write_to, stream)


def write_to(stream: TextIO | None, data: bytearray) -> int:
    """Writes to a stream, or to nowhere in a process that was started with stdout and stderr closed."""
    if stream:
        stream.write(data.decode())
        stream.flush()
    return len(data)


@cache  # logging is configured several times, and each would open it again
def open_file(file: int, mode: int, *_identity: int) -> tuple[int, WriteSome]:
    """An open file, and how to write to it without waiting.

    Not by making it non-blocking: it would be so for whoever else has it open, such as the shell.
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


def write_if_ready(file: int, data: bytearray) -> int:
    """Writes a piece to a file that has room for one.

    It waits all the same where another process takes that room in between, and for a terminal, which
    reports room as soon as there is some.
    """
    if not ready(file, 0):
        raise BlockingIOError
    return os.write(file, data[: select.PIPE_BUF])


def ready(file: int, seconds: float | None) -> bool:
    """Waits until a file takes some bytes or is broken; returns whether it was within some seconds, if any."""
    asker = select.poll()
    asker.register(file, select.POLLOUT)
    return bool(asker.poll(None if seconds is None else seconds * 1000))
