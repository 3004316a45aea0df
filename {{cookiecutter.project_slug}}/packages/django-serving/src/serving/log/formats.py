"""The two formats of the log: JSON for collectors, columns for people.

JSON fields follow the Elastic Common Schema: https://www.elastic.co/docs/reference/ecs
"""

import json
import logging
import os
import re
import reprlib
import sys
from collections import deque
from collections.abc import ItemsView, KeysView, Mapping, ValuesView
from contextlib import suppress
from copy import copy
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime
from enum import Enum
from functools import lru_cache
from math import isfinite
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TextIO

from colorlog import ColoredFormatter
from pythonjsonlogger.core import RESERVED_ATTRS
from pythonjsonlogger.json import JsonEncoder, JsonFormatter

from serving.log.context import request_id
from serving.log.redaction import HIDDEN, Secrets, is_secret_field

# What ends a line or commands a terminal (C0, C1, Unicode's line ends), turns the direction of what
# follows, and what UTF-8 can't hold.
UNPRINTABLE = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)

SHOWN_AS_LIST = (list, tuple, set, frozenset, deque, ItemsView, KeysView, ValuesView)

# For values whose own __repr__ may fail. Long, for a secret that is cut in two would be shown.
safe_repr = reprlib.Repr(maxstring=10_000, maxother=10_000).repr


def formatter() -> logging.Formatter:
    """The formatter that the LOG_FORMAT variable asks for: "json", else "console"."""
    return EcsFormatter() if os.environ.get("LOG_FORMAT") == "json" else ConsoleFormatter()


def stream() -> TextIO:
    """Where the log goes: to stdout, or beside what a command prints, which may be data."""
    program = Path(sys.argv[0])
    a_command = program.name in ("manage.py", "django-admin") or program.parent.name == "django"
    return sys.stderr if a_command else sys.stdout


class EcsFormatter(JsonFormatter):
    """One JSON object a line."""

    def __init__(self) -> None:
        super().__init__(
            ["levelname", "name", "message", "process"],
            rename_fields={
                "levelname": "log.level",
                "name": "log.logger",
                "process": "process.pid",
                "status_code": "http.response.status_code",
                "exc_info": "error.stack_trace",
            },
            reserved_attrs=RESERVED_ATTRS,
        )
        self._encode = JsonEncoder(
            ensure_ascii=False, allow_nan=False, separators=(",", ":")
        ).encode
        self._secrets = Secrets()

    def format(self, record: logging.LogRecord) -> str:
        """The line, with whatever other programs take for the end of one escaped."""
        try:
            return self._formatted(record)
        except Exception as error:
            return self._formatted(unformattable(record, error))

    def _formatted(self, record: logging.LogRecord) -> str:
        return self.finished(super().format(record))

    def finished(self, line: str) -> str:
        """A JSON object as a line that may be shown."""
        line = escaped(line)
        shown = self._secrets.hidden_in(line)
        if shown != line and not is_json(shown):  # a secret is a part of a number, say
            shown = escaped(self._encode(self._masked(json.loads(line))))
        return shown

    def _masked(self, value: Any) -> Any:
        """A value of JSON, with secrets hidden in each text and number."""
        if isinstance(value, dict):
            return {self._masked(name): self._masked(inner) for name, inner in value.items()}
        if isinstance(value, list):
            return [self._masked(inner) for inner in value]
        known = value if isinstance(value, str) else json.dumps(value)
        shown = self._secrets.hidden_in(known)
        return value if shown == known else shown

    def add_fields(
        self, log_data: dict[str, Any], record: logging.LogRecord, message_dict: dict[str, Any]
    ) -> None:
        """Adds when it was, for which request, and what kind of error."""
        log_data["@timestamp"] = ""  # it comes first
        super().add_fields(log_data, record, message_dict)
        if not isinstance(log_data.get("request"), str | Mapping):
            log_data.pop("request", None)  # Django's own object, which shows no value
        for name in list(log_data):
            log_data[str(name)] = shown_field(str(name), log_data.pop(name))
        # Whatever an app calls what it adds.
        log_data["@timestamp"] = timestamp(record.created)
        log_data["log.level"] = record.levelname
        log_data["log.logger"] = record.name
        log_data["process.pid"] = record.process
        if own := request_id.get():
            log_data["http.request.id"] = own
        if record.exc_info and record.exc_info[0]:
            log_data["error.type"] = record.exc_info[0].__qualname__
            with suppress(Exception):  # where its text fails, the traceback says so
                log_data["error.message"] = str(record.exc_info[1])

    def jsonify_log_record(self, log_data: dict[str, Any]) -> str:
        """The library would make a new encoder for every record."""
        return self._encode(log_data)


def escaped(line: str) -> str:
    """A line of JSON with what other programs take for the end of one escaped."""
    if line.isascii() and "\x7f" not in line:
        return line
    return UNPRINTABLE.sub(lambda found: f"\\u{ord(found[0]):04x}", line)


def is_json(text: str) -> bool:
    """Whether a text is an object of JSON."""
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def shown_field(name: str, value: Any) -> Any:
    """The value of a field; where it can't be shown, why."""
    try:
        return encodable(name, value)
    except Exception as error:
        return f"not shown: {type(error).__name__}"


def encodable(name: str, value: Any) -> Any:
    """The value of a field as JSON can hold it, without what is named like a secret, however deep."""
    if is_secret_field(name, value):
        return HIDDEN
    if type(value) in (str, int):  # most are
        return value
    match value:
        case Enum():
            return encodable(name, value.value)
        case bytes() | bytearray():
            return value.decode(errors="backslashreplace")
        case float() if not isfinite(value):
            return None
        case tuple() if hasattr(value, "_asdict"):
            value = value._asdict()
        case SimpleNamespace():
            value = vars(value)
        case _ if is_dataclass(value) and not isinstance(value, type):
            shown = (field.name for field in fields(value) if field.repr)
            value = {name: getattr(value, name, None) for name in shown}
    match value:
        case Mapping():
            return {as_text(key): encodable(as_text(key), inner) for key, inner in value.items()}
        case list() | tuple() if len(value) == 2 and isinstance(value[0], str | bytes):
            key = as_text(value[0])  # of a header, say, as ASGI has them
            return [key, encodable(key, value[1])]
        case _ if isinstance(value, SHOWN_AS_LIST):
            return [encodable("", inner) for inner in value]
    return value


def as_text(key: object) -> str:
    """A key or a name as JSON can hold it."""
    return key.decode(errors="backslashreplace") if isinstance(key, bytes) else str(key)


def timestamp(when: float) -> str:
    """Seconds since 1970 in UTC with milliseconds, as RFC 3339 has them."""
    whole = int(when)
    return f"{second(whole)}.{int((when - whole) * 1000):03d}Z"


@lru_cache(maxsize=1)
def second(when: int) -> str:
    """The part that most records share with the last one."""
    return datetime.fromtimestamp(when, UTC).isoformat().removesuffix("+00:00")


class ConsoleFormatter(ColoredFormatter):
    """Columns for people, in colour on a terminal (NO_COLOR and FORCE_COLOR are heeded).

    A value that was put into a message stays on its line. A message of several lines, or a traceback,
    is indented, so that nothing in it can pass for a record. Times are UTC, as JSON has them: Granian's
    main process does not know of TIME_ZONE.
    """

    def __init__(self) -> None:
        super().__init__(
            "%(thin)s%(asctime)s%(reset)s %(log_color)s%(levelname)-8s%(reset)s"
            " %(cyan)s%(name)-20s%(reset)s %(message)s%(thin)s%(tail)s",
            stream=stream(),
        )
        self._secrets = Secrets()

    def format(self, record: logging.LogRecord) -> str:
        """The line, and more of them for a traceback."""
        try:
            return self._formatted(record)
        except Exception as error:
            return self._formatted(unformattable(record, error))

    def _formatted(self, record: logging.LogRecord) -> str:
        shown = copy(record)
        if isinstance(record.msg, Mapping):  # fields, in JSON
            shown.msg = str(encodable("", record.msg))
        shown.args = on_one_line(record.args)
        shown.msg, shown.args = printable(shown.getMessage()), None
        shown.exc_text = printable(record.exc_text) if record.exc_text else None
        own = request_id.get()
        shown.tail = f" [{own}]" if own else ""
        return self._secrets.hidden_in(super().format(shown).replace("\n", "\n    "))

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:
        """When it was."""
        return timestamp(record.created)

    def formatException(self, ei: Any) -> str:
        """Without colours, which could not be told from what an exception's text commands."""
        return printable(logging.Formatter.formatException(self, ei))


def unformattable(record: logging.LogRecord, error: Exception) -> logging.LogRecord:
    """What stands in for a record that can't be formatted: Python would print it, secrets and all."""
    return logging.LogRecord(
        record.name,
        record.levelno,
        record.pathname,
        record.lineno,
        f"{safe_repr(record.msg)} at {record.pathname}:{record.lineno} is not a record that can be"
        f" shown: {type(error).__name__}",
        None,
        None,
    )


def printable(text: str) -> str:
    """A text with its control characters escaped, save tabs and line ends."""
    return UNPRINTABLE.sub(lambda found: ascii(found[0])[1:-1], text)


def on_one_line(args: Any) -> Any:
    """The values of a record, with the line ends in texts escaped."""
    if isinstance(args, Mapping):
        return {name: on_one_line(value) for name, value in args.items()}
    if isinstance(args, tuple):
        return tuple(on_one_line(value) for value in args)
    return args.replace("\n", "\\n") if isinstance(args, str) else args
