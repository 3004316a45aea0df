"""The access log: which requests it shows, and as what.

Granian makes a dict of each request, with a local time as text, and a LogRecord of that, which is written by
itself. Where stdout alone listens, `hold_requests` makes records with less, and has some written together: a
small view then takes a quarter less CPU time.
"""

import logging
import re
import time
from collections.abc import Callable
from functools import partial
from inspect import signature

from serving.log.context import request_id
from serving.log.output import LogHandler
from serving.log.redaction import HIDDEN, is_sensitive, query_shown
from serving.types import Scope

ACCESS = "granian.access"

PROBES = ("/livez", "/readyz")

# What Granian takes for a header of the request in GRANIAN_LOG_ACCESS_FMT.
HEADER = re.compile(r"%\(header\{([^}]+)\}\)s")

# What `build_logger` holds of a request, as Granian names it there.
HELD_FIELD = re.compile(r"%\((method|path|query_string|status|dt_ms|addr)\)")

# When a request began, in seconds since 1970 and of time.perf_counter(); its scope; the status.
LogRequest = Callable[[float, float, Scope, int], None]


class AccessFilter:
    """Which requests are shown: those of probes, and query strings, only if asked to.

    `prefix`: the path that the site lies below.
    """

    def __init__(self, *, probes: bool = False, query: bool = True, prefix: str = "") -> None:
        self._hidden = () if probes else tuple(prefix + path for path in PROBES)
        self._query = query

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether a record is shown. In `_ecs`, a request's fields by the Elastic Common Schema."""
        request = record.args
        if record.name != ACCESS or not isinstance(request, dict):
            return True
        query = request["query_string"]
        query = request["query_string"] = query_shown(query) if query and self._query else ""
        milliseconds = request["dt_ms"]
        fields = {
            "http.request.method": request["method"],
            "url.path": request["path"],
            "http.response.status_code": request["status"],
            "event.duration": int(milliseconds * 1_000_000),  # ECS: nanoseconds
            # round(..., 3) takes three times as long
            "duration_ms": round(milliseconds * 1000) / 1000,
            "client.address": request["addr"],
        }
        record.__dict__["_ecs"] = {**fields, "url.query": query} if query else fields
        return request["path"] not in self._hidden


def hold_requests() -> None:
    """Makes Granian's worker log requests through `LogHandler.hold`, unless somebody else listens.

    Where Granian has no function of this shape any more, and for a format that asks for more than is held,
    Granian's own stays, which is slower.
    """
    from granian import asgi

    # Private: there is no public hook for the access log in Granian 2.8.9:
    # https://github.com/emmett-framework/granian/blob/v2.8.9/granian/asgi.py#L139-L162
    granians = getattr(asgi, "_build_access_logger", None)
    if granians and len(signature(granians).parameters) == 1:
        asgi._build_access_logger = partial(build_logger, granians)


def build_logger(granians: Callable[[str], LogRequest], format_: str | None) -> LogRequest:
    """What Granian is to call at the end of each request; a header named like a secret is hidden."""
    format_ = HEADER.sub(
        lambda found: HIDDEN if is_sensitive(found[1].strip()) else found[0], format_ or ""
    )
    by_record = granians(format_)
    asks_for_more = "%(" in HELD_FIELD.sub("", format_)
    if asks_for_more or len(signature(by_record).parameters) != 4:
        return by_record
    # To make a LogRecord anew takes longer than to copy one.
    like = vars(logging.LogRecord(ACCESS, logging.INFO, __file__, 0, format_, None, None))

    def log(began: float, clock: float, scope: Scope, status: int) -> None:
        seconds = time.perf_counter() - clock
        stdout = only_stdout()
        if stdout is None:
            by_record(began, clock, scope, status)
            return
        request = {
            "method": scope.get("method", "-"),
            "path": scope["path"],
            "query_string": scope["query_string"].decode("latin-1"),
            "status": status,
            "dt_ms": seconds * 1000,
            "addr": scope["client"][0],
        }
        record = logging.LogRecord.__new__(logging.LogRecord)
        vars(record).update(like, created=began + seconds, args=request)
        vars(record)["http.request.id"] = request_id.get()
        stdout.hold(record)

    return log


def only_stdout() -> LogHandler | None:
    """The handler that is the only one to get access records; None if others do too.

    One for errors alone, as what mails them, gets none.
    """
    own, root = logging.getLogger(ACCESS), logging.getLogger()
    alone = own.parent is root and own.propagate and not own.handlers and not own.filters
    match [handler for handler in root.handlers if handler.level <= logging.INFO]:
        case [LogHandler() as stdout] if alone and own.isEnabledFor(logging.INFO):
            return stdout
    return None
