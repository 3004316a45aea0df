"""The two formats of the log: JSON for collectors, columns for people.

JSON fields follow the Elastic Common Schema: https://www.elastic.co/docs/reference/ecs
"""

import json
import logging
import os
import re
import reprlib
from collections import deque
from collections.abc import Callable, ItemsView, KeysView, Mapping, ValuesView
from contextlib import suppress
from copy import copy
from dataclasses import fields, is_dataclass
from datetime import UTC, date, datetime, time
from enum import Enum
from functools import cache
from math import isfinite
from types import NoneType, SimpleNamespace
from typing import Any

import orjson
from colorlog import ColoredFormatter

from serving.log.context import request_id
from serving.log.output import log_stream
from serving.log.redaction import HIDDEN, Secrets, is_secret_field

# What ends a line or controls a terminal (C0, C1, Unicode's line ends), what reverses the direction of
# the text after it, and what UTF-8 can't hold.
UNPRINTABLE = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)

# Whatever else is in a record, an app or a library has added.
OWN = frozenset({*vars(logging.makeLogRecord({})), "message", "asctime", "_ecs", "http.request.id"})

SCALARS = (str, int, bool, NoneType)
LISTS = (list, tuple, set, frozenset, deque, ItemsView, KeysView, ValuesView)

# For values whose own __repr__ may fail. Long, since of a secret that is cut a part would be shown.
safe_repr = reprlib.Repr(maxstring=10_000, maxother=10_000).repr


def formatter() -> logging.Formatter:
    """The formatter that the LOG_FORMAT variable asks for: "json", else "console"."""
    return EcsFormatter() if os.environ.get("LOG_FORMAT") == "json" else ConsoleFormatter()


class EcsFormatter(logging.Formatter):
    """One JSON object a line, with everything escaped that other programs take for the end of one."""

    def __init__(self) -> None:
        super().__init__()
        self._hidden_in = Secrets().hidden_in

    def format(self, record: logging.LogRecord) -> str:
        try:
            return self._line(self._fields(record))
        except Exception as error:
            return self._line(self._fields(unformattable(record, error)))

    def _fields(self, record: logging.LogRecord) -> dict[str, Any]:
        by_name: Mapping[Any, Any] = record.msg if isinstance(record.msg, dict) else {}
        shown = {
            "@timestamp": timestamp(record.created),
            "log.level": record.levelname,
            "log.logger": record.name,
            "message": str(by_name.get("message", "")) if by_name else record.getMessage(),
            "process.pid": record.process,
            **vars(record).get("_ecs", {}),
        }
        if own := id_of(record):
            shown["http.request.id"] = own
        if record.exc_info and record.exc_info[0]:
            shown["error.type"] = record.exc_info[0].__qualname__
            with suppress(Exception):  # where its text fails, the traceback says so
                shown["error.message"] = str(record.exc_info[1])
            shown["error.stack_trace"] = self.formatException(record.exc_info)
        elif record.exc_text:
            shown["error.stack_trace"] = record.exc_text
        if record.stack_info:
            shown["stack_info"] = record.stack_info
        added = [item for item in vars(record).items() if item[0] not in OWN]
        for key, value in (*added, *by_name.items()):
            if key == "request" and not isinstance(value, str | Mapping):
                continue  # Django's own object, which shows no value
            name = "http.response.status_code" if key == "status_code" else str(key)
            shown.setdefault(name, shown_field(value, name))
        return shown

    def _line(self, shown: dict[str, Any]) -> str:
        line = as_json(shown)
        if self._hidden_in(line) == line:  # as nearly always
            return line
        return as_json(masked(json.loads(line), self._hidden_in))


def without_secrets(value: object) -> Any:
    """A value as JSON can hold it, with what the log would hide in it hidden."""
    shown, hidden_in = encodable(value), own_secrets().hidden_in
    line = as_json(shown)
    return shown if hidden_in(line) == line else masked(shown, hidden_in)


@cache
def own_secrets() -> Secrets:
    """Those of this process."""
    return Secrets()


def id_of(record: logging.LogRecord) -> Any:
    """The id of the request that a record belongs to, if it does to one."""
    return vars(record).get("http.request.id") or request_id.get()


def as_json(shown: object) -> str:
    """A value on one line."""
    try:
        line = orjson.dumps(shown).decode()
    except TypeError:  # an integer of more than 64 bits, or a letter that UTF-8 can't hold
        line = json.dumps(shown, ensure_ascii=False, separators=(",", ":"))
    if line.isascii() and "\x7f" not in line:
        return line
    return UNPRINTABLE.sub(lambda found: f"\\u{ord(found[0]):04x}", line)


def masked(value: Any, hidden_in: Callable[[str], str]) -> Any:
    """A value of JSON, with secrets hidden in each text and number."""
    if isinstance(value, dict):
        return {hidden_in(name): masked(inner, hidden_in) for name, inner in value.items()}
    if isinstance(value, list):
        return [masked(inner, hidden_in) for inner in value]
    text = value if isinstance(value, str) else json.dumps(value)
    shown = hidden_in(text)
    return value if shown == text else shown


def shown_field(value: Any, name: str) -> Any:
    """The value of a field; where it can't be shown, why."""
    try:
        return encodable(value, name)
    except Exception as error:
        return f"not shown: {type(error).__name__}"


def encodable(value: Any, name: str = "") -> Any:
    """The value of a field as JSON can hold it, without what is named like a secret, however deep."""
    if is_secret_field(name, value):
        return HIDDEN
    if type(value) in SCALARS:  # most are
        return value
    match value:
        case Enum():
            return encodable(value.value, name)
        case bytes() | bytearray():
            return value.decode(errors="backslashreplace")
        case float():
            return value if isfinite(value) else None
        case date() | time():
            return value.isoformat()
        case BaseException():
            return f"{type(value).__name__}: {value}"
        case Mapping():
            return {as_text(key): encodable(inner, as_text(key)) for key, inner in value.items()}
        case SimpleNamespace():
            return encodable(vars(value))
        case tuple() if hasattr(value, "_asdict"):
            return encodable(value._asdict())
        case _ if is_dataclass(value) and not isinstance(value, type):
            names = [field.name for field in fields(value) if field.repr]
            return encodable({name: getattr(value, name, None) for name in names})
        case list() | tuple() if len(value) == 2 and isinstance(value[0], str | bytes):
            key = as_text(value[0])  # of a header, say, as ASGI has them
            return [key, encodable(value[1], key)]
        case _ if isinstance(value, LISTS):
            return [encodable(inner) for inner in value]
    return value if isinstance(value, SCALARS) else str(value)


def as_text(key: object) -> str:
    """A key or a name as JSON can hold it."""
    return key.decode(errors="backslashreplace") if isinstance(key, bytes) else str(key)


def timestamp(when: float) -> str:
    """Seconds since 1970 in UTC with milliseconds, as RFC 3339 has them."""
    return datetime.fromtimestamp(when, UTC).isoformat(timespec="milliseconds")[:-6] + "Z"


class ConsoleFormatter(ColoredFormatter):
    """Columns for people, in colour on a terminal (NO_COLOR and FORCE_COLOR are heeded).

    A value that was put into a message stays on its line. A message of several lines, or a traceback,
    is indented, so that nothing in it can pass for a record. Times are UTC, as in JSON: Granian's main
    process does not know TIME_ZONE.
    """

    def __init__(self) -> None:
        super().__init__(
            "%(thin)s%(asctime)s%(reset)s %(log_color)s%(levelname)-8s%(reset)s"
            " %(cyan)s%(name)-20s%(reset)s %(message)s%(thin)s%(tail)s",
            stream=log_stream(),
        )
        self._hidden_in = Secrets().hidden_in

    def format(self, record: logging.LogRecord) -> str:
        try:
            return self._lines(record)
        except Exception as error:
            return self._lines(unformattable(record, error))

    def _lines(self, record: logging.LogRecord) -> str:
        shown = copy(record)
        if isinstance(record.msg, Mapping):  # fields, in JSON
            shown.msg = str(encodable(record.msg))
        shown.args = on_one_line(record.args)
        shown.msg, shown.args = printable(shown.getMessage()), None
        shown.exc_text = printable(record.exc_text) if record.exc_text else None
        own = id_of(record)
        shown.tail = f" [{own}]" if own else ""
        return self._hidden_in(super().format(shown).replace("\n", "\n    "))

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:
        return timestamp(record.created)

    def formatException(self, ei: Any) -> str:
        # Without colours, which could not be told from control characters in an exception's text.
        return printable(logging.Formatter.formatException(self, ei))


def unformattable(record: logging.LogRecord, error: Exception) -> logging.LogRecord:
    """What stands in for a record that can't be formatted: Python would print it, secrets and all."""
    path, line = record.pathname, record.lineno
    reason = f"is not a record that can be shown: {type(error).__name__}"
    message = f"{safe_repr(record.msg)} at {path}:{line} {reason}"
    return logging.LogRecord(record.name, record.levelno, path, line, message, None, None)


def printable(text: str) -> str:
    """A text with its control characters escaped, except tabs and line ends."""
    return UNPRINTABLE.sub(lambda found: ascii(found[0])[1:-1], text)


def on_one_line(args: Any) -> Any:
    """The values of a record, with the line ends in texts escaped."""
    if isinstance(args, Mapping):
        return {name: on_one_line(value) for name, value in args.items()}
    if isinstance(args, tuple):
        return tuple(on_one_line(value) for value in args)
    return args.replace("\n", "\\n") if isinstance(args, str) else args
