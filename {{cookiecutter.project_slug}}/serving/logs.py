"""What config/logging.json is made of: formats and filters, for Granian, for Django and for the apps.

Granian's main process loads this without Django. JSON fields follow the Elastic Common Schema:
https://www.elastic.co/docs/reference/ecs
"""

import json
import logging
import os
import re
import reprlib
import sys
import threading
from collections import deque
from collections.abc import Container, ItemsView, KeysView, Mapping, ValuesView
from contextlib import suppress
from copy import copy
from dataclasses import fields, is_dataclass
from datetime import UTC, date, datetime
from enum import Enum
from functools import lru_cache
from importlib.machinery import PathFinder
from importlib.util import find_spec
from math import isfinite
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TextIO, cast

from colorlog import ColoredFormatter
from pythonjsonlogger.core import RESERVED_ATTRS
from pythonjsonlogger.json import JsonEncoder, JsonFormatter

from serving.redaction import HIDDEN, Secrets, is_secret_field
from serving.request_id import request_id

LEVELS = ("critical", "error", "warning", "info", "debug")
LEVEL = (os.environ.get("GRANIAN_LOG_LEVEL") or "info").upper()  # config/logging.json takes it

# What ends a line or commands a terminal (C0, C1, Unicode's line ends), turns the direction of what
# follows, and what UTF-8 can't hold.
UNPRINTABLE = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)

# The last error of a traceback: what is not indented, to the end.
LAST_ERROR = re.compile(r"^([\w.<>]+)(?:: (.*))?\Z", re.MULTILINE | re.DOTALL)

SHOWN_AS_LIST = (list, tuple, set, frozenset, deque, ItemsView, KeysView, ValuesView)

MORE_FILES = "raise the limit (`ulimit -n 4096`; in compose.yaml, `ulimits: {nofile: 4096}` at web)"

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


def thread_failed(failed: threading.ExceptHookArgs) -> None:
    """A `threading.excepthook` that logs: Python's own writes to stderr, secrets and all."""
    if failed.exc_value is None or isinstance(failed.exc_value, SystemExit):
        return
    name = failed.thread.name if failed.thread else "that is gone"
    logging.getLogger(__name__).error("Exception in thread %s", name, exc_info=failed.exc_value)


def unraisable(failed: Any) -> None:
    """A `sys.unraisablehook` that logs what can't be raised: in a `__del__`, say.

    Python's own writes to stderr, secrets and all.
    https://docs.python.org/3/library/sys.html#sys.unraisablehook
    """
    what = failed.err_msg or "Exception ignored in"
    where = "" if failed.object is None else f": {safe_repr(failed.object)}"
    logging.getLogger(__name__).error(
        "%s%s",
        what,
        where,
        exc_info=(failed.exc_type, failed.exc_value, failed.exc_traceback),
    )


class ClientErrorFilter:
    """What clients do wrong, as Django logs it: one line, and for a 404 at level INFO.

    A traceback of a PermissionDenied or the like is shown where the logger is at level DEBUG. It belongs
    to the handler: a logger's filter does not see what `django.security`'s many children say.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is shown."""
        status = getattr(record, "status_code", None)
        if not (isinstance(status, int) and 400 <= status < 500):
            return True
        if not record.name.startswith("django."):
            return True
        if status == 404:
            record.levelno, record.levelname = logging.INFO, "INFO"
        logger = logging.getLogger(record.name)
        tells_more = record.name != "django.security.DisallowedHost"
        if not (tells_more and logger.isEnabledFor(logging.DEBUG)):
            record.exc_info = None
        return logger.isEnabledFor(record.levelno)


class GranianErrorFilter:
    """Takes apart what Granian logs of an error that Django did not answer: in a stream, say.

    Its message holds the traceback, as text.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is shown: always."""
        heading = "Traceback (most recent call last):\n"
        message, found, trace = record.getMessage().rstrip().partition(f"\n{heading}")
        if found:
            record.msg, record.args = message, None
            record.exc_text = heading + trace
            if last := LAST_ERROR.search(trace.rpartition(heading)[2]):
                record.__dict__["error.type"] = last[1]
                record.__dict__["error.message"] = last[2] or ""
        return True


class OpenFilesFilter:
    """Adds what to do where a worker may open no more files, so that it can't take a connection."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is shown: always."""
        message = record.getMessage()
        if "Too many open files" in message:
            record.msg, record.args = f"{message}: {MORE_FILES}", None
        return True


class SqlFilter:
    """Hides the texts in SQL that Django logs: sessions' keys and passwords' hashes."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is shown: always."""
        if hasattr(record, "sql"):
            # A query is logged with how long it took and where, and what changes a schema without.
            *before, sql, params = cast("tuple[Any, ...]", record.args)[:3]
            after = cast("tuple[Any, ...]", record.args)[3:]
            sql = re.sub(r"'(?:[^']|'')*'", f"'{HIDDEN}'", str(sql))
            params = [
                value if isinstance(value, int | float | date | None) else HIDDEN
                for value in params or ()
            ]
            record.args = (*before, sql, params, *after)
            record.sql, record.params = sql, params
        return True


def parse_levels(text: str, known: Container[str]) -> dict[str, str]:
    """LOG_LEVELS as levels by logger: "home=debug" gives {"home": "DEBUG"}.

    Raises ValueError, which says what is wrong; see `is_logger`.
    """
    found = {}
    for item in filter(None, map(str.strip, text.split(","))):
        name, equals, level = map(str.strip, item.partition("="))
        if not equals or not re.fullmatch(r"[\w-]+(\.[\w-]+)*", name):
            raise ValueError(f"{item!r} is not logger=level, as home=debug is.")
        if level.lower() not in LEVELS:
            raise ValueError(f"{level!r} in {item!r} is no level; use {', '.join(LEVELS)}.")
        if not is_logger(name, known):
            raise ValueError(
                f"{name!r} in {item!r} is no logger: no module has that name. One with a name"
                " of its own must stand in config/logging.json."
            )
        if name in found:
            raise ValueError(f"{name!r} in {item!r} has a level already.")
        found[name] = level.upper()
    return found


def is_logger(name: str, known: Container[str]) -> bool:
    """Whether a logger is known, named after a module, or below one that is. Imports nothing."""
    above, *parts = name.split(".")
    # Those of Django's that are no modules stand in the file; others' may have any name below their own.
    if name in known or (above in known and above != "django"):
        return True
    spec = None if above == "__main__" else find_spec(above)
    if not spec:
        return False
    for part in parts:
        folders = spec.submodule_search_locations
        if folders is None:
            return True  # a module may have a logger for each of its classes
        above = f"{above}.{part}"
        if above in known:
            return True
        try:
            spec = PathFinder.find_spec(above, folders)
        except KeyError:
            return True  # a namespace within one: only an import could look into it
        if not spec:
            return False
    return spec.origin is not None  # or it is a folder that holds no package
