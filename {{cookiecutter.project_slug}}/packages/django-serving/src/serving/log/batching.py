"""Granian's access log. Every request pays for it, so its records take a way of their own.

Granian makes a dict of each request, with a local time as text, and a LogRecord of it. Where only stdout
listens, and takes JSON, that is left out: stdout holds what is to be said of some requests, and makes
them lines together. It saves half of what the access log costs, 7 % of what a small view can serve.
"""

import logging
import time
from collections.abc import Callable
from inspect import signature
from multiprocessing.util import Finalize

from serving.log.access import ACCESS, HEADER, Access, AccessFilter, header_shown
from serving.log.context import request_id
from serving.log.filters import ClientErrorFilter
from serving.log.formats import EcsFormatter
from serving.log.stdout import Stdout
from serving.types import Scope

# As Granian calls it: when a request began, in seconds since 1970 and of time.perf_counter(); the scope;
# the status.
LogRequest = Callable[[float, float, Scope, int], None]


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
