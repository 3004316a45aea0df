"""The handler of every log record."""

import asyncio
import logging
import os
import sys
from collections import deque
from contextlib import suppress
from io import TextIOWrapper
from typing import TextIO, cast

import orjson

from serving.log.access import ACCESS, Access, AccessFilter, access_fields
from serving.log.formats import EcsFormatter, stream, timestamp, unformattable
from serving.log.output import PIPE_BUF, Output

HELD = 64  # requests at most

HELD_SECONDS = 0.05


class Stdout(logging.StreamHandler[TextIO]):
    """Writes to `serving.log.formats.stream()`: each record at once, requests together, 50 ms late at most.

    It never waits for who reads that; see serving/output.py.
    """

    def __init__(self) -> None:
        super().__init__(stream())
        if isinstance(self.stream, TextIOWrapper):
            # Whatever the locale: a letter that it lacks would lose the record, and its neighbours.
            self.stream.reconfigure(encoding="utf-8", errors="backslashreplace")
        assert self.lock  # noqa: S101
        self._output = Output(self.stream, self.lock, self._dropped)
        self.held: deque[Access] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._holder = 0  # the process that holds them

    def emit(self, record: logging.LogRecord) -> None:
        """Writes a record, after what is held."""
        self.write_held()
        try:
            self._output.write(self.format(record) + self.terminator)
        except Exception:
            self.handleError(record)

    def flush(self) -> None:
        """Writes what is held, and what the output keeps; asked for at the end of a process."""
        self.write_held()
        with self.lock:  # type: ignore[union-attr]
            self._output.flush()

    def _dropped(self, lines: int, seconds: float) -> str:
        """A line in the place of those that were dropped."""
        message = f"{lines} lines were dropped here in {seconds:.0f} s: nobody read the log"
        record = logging.LogRecord(__name__, logging.WARNING, __file__, 0, message, None, None)
        return self.format(record) + self.terminator

    def hold(self, access: Access) -> None:
        """Writes a request, soon. For the thread of the event loop."""
        if not self.held:
            self._holder = os.getpid()
        self.held.append(access)
        if len(self.held) >= HELD:
            self.write_held()
        elif self._timer is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(HELD_SECONDS, self._write_in_time)

    def _write_in_time(self) -> None:
        self._timer = None
        self.write_held()

    def handleError(self, record: logging.LogRecord) -> None:
        """Says that something was lost, and why. Python would print it all, secrets too."""
        error = sys.exception()
        with suppress(Exception):
            lost = f"what {record.name} logged was lost: {type(error).__name__}: {error}"
            print(lost, file=sys.stderr)

    def write_held(self) -> None:
        """Writes the requests that are held.

        Lines are made together since the first takes twice as long as those after it. A write gives up
        the interpreter lock, and while other threads run, the event loop waits to get it back; so not
        once for every line. But no more in one piece than a pipe takes as a whole, so that the lines of
        several workers do not mix.
        """
        if not self.held:
            return
        with self.lock:  # type: ignore[union-attr]  # every handler has one
            if self._holder != os.getpid():  # an app has forked, and its parent writes them
                self.held.clear()
                return
            piece, size = "", 0
            while self.held:
                line = self._line(self.held.popleft())
                length = len(line.encode(errors="replace"))
                if size + length > PIPE_BUF:
                    self._write(piece)
                    piece, size = "", 0
                piece += line
                size += length
            self._write(piece)

    def _line(self, access: Access) -> str:
        """A request as a line of JSON; none if it is not shown."""
        # As only_stdout() has seen them.
        formatter = cast("EcsFormatter", self.formatter)
        shown = cast("AccessFilter", self.filters[0])
        if not shown.shows(access.path):
            return ""
        if access.query:
            access = access._replace(query=shown.shown(access.query))
        try:
            fields = {
                "@timestamp": timestamp(access.ended),
                "log.level": "INFO",
                "log.logger": ACCESS,
                "message": access.message,
                "process.pid": os.getpid(),
                **access_fields(
                    access.method,
                    access.path,
                    access.query,
                    access.status,
                    access.seconds * 1000,
                    access.address,
                ),
            }
            if access.request_id:
                fields["http.request.id"] = access.request_id
            return formatter.finished(orjson.dumps(fields).decode()) + self.terminator
        except Exception as error:
            record = logging.makeLogRecord({"name": ACCESS, "msg": access.format})
            return self.format(unformattable(record, error)) + self.terminator

    def _write(self, piece: str) -> None:
        try:
            self._output.write(piece)
        except Exception:
            self.handleError(logging.makeLogRecord({"name": ACCESS}))
