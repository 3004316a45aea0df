"""Records as apps and Granian make them, and as the log shows them."""

import json
import logging
import sys
from io import StringIO
from typing import Any

from serving.log.formats import EcsFormatter
from serving.log.output import LogHandler


def record(
    message: str, *args: object, name: str = "teahouse", **more: object
) -> logging.LogRecord:
    made = logging.LogRecord(name, logging.WARNING, __file__, 1, message, args, None)
    made.__dict__.update(more)
    return made


def access_record(**more: object) -> logging.LogRecord:
    """A record as Granian makes it, whose parts are its arguments."""
    atoms = {
        "addr": "127.0.0.1",
        "time": "",
        "dt_ms": 1.5,
        "status": 200,
        "path": "/tea",
        "query_string": "milk=1&token=abc",
        "method": "GET",
        "scheme": "http",
        "protocol": "HTTP/1.1",
        **more,
    }
    return record("%(method)s %(path)s", atoms, name="granian.access")


def as_json(shown: logging.LogRecord) -> dict[str, object]:
    line = EcsFormatter().format(shown)
    assert len(line.splitlines()) == 1
    fields: dict[str, object] = json.loads(line)
    return fields


def failed(message: str) -> logging.LogRecord:
    try:
        raise ValueError(message)
    except ValueError:
        return record("failed", exc_info=sys.exc_info())


def written(handler: LogHandler) -> list[dict[str, Any]]:
    """What a handler has written to a text in memory."""
    assert isinstance(handler.stream, StringIO)
    return [json.loads(line) for line in handler.stream.getvalue().splitlines()]
