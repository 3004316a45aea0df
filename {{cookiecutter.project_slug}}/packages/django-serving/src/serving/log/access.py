"""The access log: which requests it shows, and as what.

Every request pays for it. Granian makes a dict of each, with a local time as text, and a LogRecord of that.
Where stdout alone listens and takes JSON, this is left out: `hold_requests` has lines made of some requests
together, which saves a small view 13 % of its CPU time.
"""

import logging
import os
import re
import time
from collections.abc import Callable
from functools import partial
from inspect import signature
from multiprocessing.util import Finalize
from typing import Any, cast

from serving.log.context import request_id
from serving.log.filters import ClientErrorFilter
from serving.log.formats import EcsFormatter, timestamp
from serving.log.output import Stdout
from serving.log.redaction import HIDDEN, is_sensitive, query_shown
from serving.types import Scope

ACCESS = "granian.access"

PROBES = ("/livez", "/readyz")

# What Granian takes for a header of the request in GRANIAN_LOG_ACCESS_FMT.
HEADER = re.compile(r"%\(header\{([^}]+)\}\)s")

# When a request began, in seconds since 1970 and of time.perf_counter(); its scope; the status.
LogRequest = Callable[[float, float, Scope, int], None]


class AccessFilter:
    """Which requests are shown: those of probes, and query strings, only if asked to.

    In a query string, what is named like a secret is hidden. `prefix`: the path that the site lies below.
    """

    def __init__(self, *, probes: bool = False, query: bool = True, prefix: str = "") -> None:
        self._hidden = () if probes else tuple(prefix + path for path in PROBES)
        self._query = query

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether a record is shown. One of Granian's for a request gets the fields of `fields`."""
        if record.name != ACCESS or not isinstance(record.args, dict):
            return True
        found = self.fields(record.args)
        record.__dict__.update(found or {})
        return found is not None

    def fields(self, request: dict[str, Any]) -> dict[str, Any] | None:
        """A request as fields of the Elastic Common Schema; None if it is not shown.

        `request` is what Granian tells of it, by the names in GRANIAN_LOG_ACCESS_FMT; its query string loses
        what is secret.
        """
        if request["path"] in self._hidden:
            return None
        query = request["query_string"]
        query = request["query_string"] = query_shown(query) if query and self._query else ""
        milliseconds = request["dt_ms"]
        found = {
            "http.request.method": request["method"],
            "url.path": request["path"],
            "http.response.status_code": request["status"],
            "event.duration": int(milliseconds * 1_000_000),  # ECS: nanoseconds
            "duration_ms": round(milliseconds * 1000)
            / 1000,  # round(..., 3) takes three times as long
            "client.address": request["addr"],
        }
        return {**found, "url.query": query} if query else found


def check_format(format_: str) -> None:
    """Raises ValueError if a format (GRANIAN_LOG_ACCESS_FMT) asks for what Granian does not give."""
    texts = dict.fromkeys(
        ("addr", "method", "path", "protocol", "query_string", "scheme", "time"), ""
    )
    try:
        _ = HEADER.sub("", format_) % {**texts, "status": 200, "dt_ms": 1.5}
    except KeyError as error:
        raise ValueError(f"{error.args[0]!r} is nothing that Granian knows of a request.") from None
    except TypeError as error:
        raise ValueError(f"{error}.") from None


def hold_requests() -> None:
    """Makes Granian's worker log requests through `Stdout.hold`, unless somebody else listens.

    It replaces a private function of Granian's. Where Granian has none of that shape, and for a format that
    asks for more than is held, Granian's own stays, which is slower.
    https://github.com/emmett-framework/granian/blob/v2.8.7/granian/asgi.py
    """
    from granian import asgi

    # Granian's workers end without atexit, by which logging flushes the handlers.
    Finalize(None, logging.shutdown, exitpriority=0)
    granians = getattr(asgi, "_build_access_logger", None)
    if granians is None or len(signature(granians).parameters) != 1:
        return

    def build(format_: str | None) -> LogRequest:
        shown = HEADER.sub(header_shown, format_ or "")
        by_record: LogRequest = granians(shown)
        try:
            _ = shown % described(0, {"path": "", "query_string": b"", "client": ("", 0)}, 200)
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
            request = described(seconds, scope, status)
            stdout.hold(partial(line, stdout, request, shown, began + seconds, request_id.get()))

        return log

    asgi._build_access_logger = build


def header_shown(found: re.Match[str]) -> str:
    """A header in a format, unless it is named like a secret."""
    return HIDDEN if is_sensitive(found[1].strip()) else found[0]


def described(seconds: float, scope: Scope, status: int) -> dict[str, Any]:
    """What Granian tells of a request, except for what takes long."""
    return {
        "method": scope.get("method", "-"),
        "path": scope["path"],
        "query_string": scope["query_string"].decode("latin-1"),
        "status": status,
        "dt_ms": seconds * 1000,
        "addr": scope["client"][0],
    }


def line(
    stdout: Stdout, request: dict[str, Any], format_: str, ended: float, own_id: str | None
) -> str:
    """A request as a line of JSON; "" if it is not shown."""
    # As only_stdout() has seen them.
    found = cast("AccessFilter", stdout.filters[0]).fields(request)
    if found is None:
        return ""
    shown = {
        "@timestamp": timestamp(ended),
        "log.level": "INFO",
        "log.logger": ACCESS,
        "message": format_ % request,
        "process.pid": os.getpid(),
        **found,
    }
    if own_id:
        shown["http.request.id"] = own_id
    return cast("EcsFormatter", stdout.formatter).line(shown)


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
