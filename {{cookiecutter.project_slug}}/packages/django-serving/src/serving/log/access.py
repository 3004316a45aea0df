"""A served request as a record of the access log."""

import logging
import re
from typing import Any, NamedTuple

from serving.log.redaction import HIDDEN, is_sensitive, query_shown

ACCESS = "granian.access"

PROBES = frozenset({"/livez", "/readyz"})


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


# What Granian takes for a header of the request in its format.
HEADER = re.compile(r"%\(header\{([^}]+)\}\)s")


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
