"""Granian's access log. Every request pays for it, so its records take a way of their own.

Granian makes a dict of each request, with a local time as text, and a LogRecord of it. Where only stdout
listens, and takes JSON, that is left out: stdout holds what is to be said of some requests, and makes
them lines together. It saves half of what the access log costs, 7 % of what a small view can serve.
"""

import asyncio
import logging
import os
import re
import sys
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from inspect import signature
from io import TextIOWrapper
from multiprocessing.util import Finalize
from typing import Any, NamedTuple, TextIO, cast

import orjson

from serving.asgi import Scope
from serving.logs import ClientErrorFilter, EcsFormatter, stream, timestamp, unformattable
from serving.output import PIPE_BUF, Output
from serving.redaction import HIDDEN, is_sensitive, query_shown
from serving.request_id import request_id

ACCESS = "granian.access"
PROBES = frozenset({"/livez", "/readyz"})

HELD = 64  # requests at most
HELD_SECONDS = 0.05


class Access(NamedTuple):
    """What is to be said of a request that was served."""

    ended: float  # seconds since 1970
    seconds: float  # what it took
    method: str
    path: str
    query: str
    status: int
    address: str
    request_id: str | None
    format: str  # GRANIAN_LOG_ACCESS_FMT

    @property
    def message(self) -> str:
        """The request as the format has it; KeyError, TypeError or ValueError if it asks for more."""
        return self.format % {
            "method": self.method,
            "path": self.path,
            "query_string": self.query,
            "status": self.status,
            "dt_ms": self.seconds * 1000,
            "addr": self.address,
        }


def access_fields(
    method: str, path: str, query: str, status: int, milliseconds: float, address: str
) -> dict[str, Any]:
    """A request as fields of the Elastic Common Schema."""
    fields = {
        "http.request.method": method,
        "url.path": path,
        "http.response.status_code": status,
        "event.duration": int(milliseconds * 1_000_000),  # ECS: nanoseconds
        "duration_ms": round(milliseconds * 1000) / 1000,  # round(..., 3) takes three times as long
        "client.address": address,
    }
    if query:
        fields["url.query"] = query
    return fields


class AccessFilter:
    """Which requests are shown: those of probes, and query strings, only if asked to.

    In a query string, what is named like a secret is hidden. `prefix`: the path that the site lies below.
    """

    def __init__(self, *, probes: bool = False, query: bool = True, prefix: str = "") -> None:
        self.probes = probes
        self.paths = frozenset(prefix + path for path in PROBES)
        self.query = query

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether a LogRecord of Granian's is shown; it gets the fields that EcsFormatter shows."""
        request = record.args
        if record.name != ACCESS or not isinstance(request, dict):
            return True
        request["query_string"] = query = self.shown(request["query_string"])
        fields = access_fields(
            request["method"],
            request["path"],
            query,
            request["status"],
            request["dt_ms"],
            request["addr"],
        )
        record.__dict__.update(fields)
        return self.shows(request["path"])

    def shows(self, path: str) -> bool:
        """Whether a request of this path is shown."""
        return self.probes or path not in self.paths

    def shown(self, query: str) -> str:
        """What is shown of a query string."""
        return query_shown(query) if query and self.query else ""


class Stdout(logging.StreamHandler[TextIO]):
    """Writes to `serving.logs.stream()`: each record at once, requests together, 50 ms late at most.

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


# As Granian calls it: when a request began, in seconds since 1970 and of time.perf_counter(); the scope;
# the status.
LogRequest = Callable[[float, float, Scope, int], None]

# What Granian takes for a header of the request in its format.
HEADER = re.compile(r"%\(header\{([^}]+)\}\)s")


def hold_requests() -> None:
    """Has Granian's workers log through `Stdout.hold`, where nobody else listens.

    It replaces a private function of Granian's. Where Granian has it no more, or another, and for a
    format that asks for more than an Access has, Granian's own way stays: slower, and as right.
    """
    from granian import asgi

    granians = getattr(asgi, "_build_access_logger", None)
    if granians is None or len(signature(granians).parameters) != 1:
        return

    def build(format_: str | None) -> LogRequest:
        format_ = HEADER.sub(header_shown, format_ or "")
        by_record: LogRequest = granians(format_)
        try:
            _ = Access(0, 0, "", "", "", 0, "", None, format_).message
        except (KeyError, TypeError, ValueError):
            return by_record
        if len(signature(by_record).parameters) != 4:
            return by_record
        stdout: Stdout | None = None

        def log(began: float, clock: float, scope: Scope, status: int) -> None:
            nonlocal stdout
            seconds = time.perf_counter() - clock
            if stdout is None or not stdout.held:
                stdout = only_stdout()
            if stdout is None:
                by_record(began, clock, scope, status)
                return
            stdout.hold(
                Access(
                    began + seconds,
                    seconds,
                    scope.get("method", "-"),
                    scope["path"],
                    scope["query_string"].decode("latin-1"),
                    status,
                    scope["client"][0],
                    request_id.get(),
                    format_,
                )
            )

        return log

    asgi._build_access_logger = build
    # Granian's workers end without atexit, by which logging asks handlers to flush.
    Finalize(None, logging.shutdown, exitpriority=0)


def header_shown(found: re.Match[str]) -> str:
    """A header in a format, but for one that is named like a secret."""
    return HIDDEN if is_sensitive(found[1].strip()) else found[0]


def check_format(format_: str) -> None:
    """Raises ValueError if a format (GRANIAN_LOG_ACCESS_FMT) asks for what Granian does not give."""
    request: dict[str, Any] = dict.fromkeys(
        ("addr", "method", "path", "protocol", "query_string", "scheme", "time"), ""
    )
    try:
        _ = HEADER.sub("", format_) % {**request, "status": 200, "dt_ms": 1.5}
    except KeyError as error:
        raise ValueError(f"{error.args[0]!r} is nothing that Granian knows of a request.") from None
    except TypeError as error:
        raise ValueError(f"{error}.") from None


def only_stdout() -> Stdout | None:
    """The handler that is the only one to get access records, as JSON; None if others do too."""
    own, root = logging.getLogger(ACCESS), logging.getLogger()
    alone = own.parent is root and own.propagate and not own.handlers and not own.filters
    if not (alone and own.isEnabledFor(logging.INFO)):
        return None
    match root.handlers:
        case [Stdout(filters=[AccessFilter(), ClientErrorFilter()]) as stdout]:
            as_json = type(stdout.formatter) is EcsFormatter
            return stdout if as_json and stdout.level <= logging.INFO else None
    return None
