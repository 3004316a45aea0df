"""What config/logging.json is made of: formats and filters, for Granian, for Django and for the apps.

Granian's main process loads this without Django. JSON fields follow the Elastic Common Schema:
https://www.elastic.co/docs/reference/ecs
"""

import json
import logging
import os
import re
import sys
import threading
from collections.abc import Container, Mapping
from contextlib import suppress
from copy import copy
from datetime import UTC, date, datetime
from functools import lru_cache
from importlib.util import find_spec
from math import isfinite
from typing import Any, cast
from urllib.parse import quote, unquote, urlsplit

from colorlog import ColoredFormatter
from pythonjsonlogger.core import RESERVED_ATTRS
from pythonjsonlogger.json import JsonEncoder, JsonFormatter

from serving.request_id import request_id

LEVELS = ("critical", "error", "warning", "info", "debug")
LEVEL = (os.environ.get("GRANIAN_LOG_LEVEL") or "info").upper()  # config/logging.json takes it

# Names whose values are secret, of fields and of what stands in a query string.
SENSITIVE = re.compile(
    r"authorization|cookie|credential|passw|secret|session|signature|token|api_?key"
    r"|(^|[._-])(auth|key|pass|pwd)$|^code$",
    re.IGNORECASE,
)
HIDDEN = "********"

# An item of a query string, in a URL that an app, its HTTP client or Django's CSRF check logs.
IN_QUERY = re.compile(r"""(?<=[?&])([^\s?&=#"'\\]+)=[^\s&#"'\\]*""")

# What ends a line or commands a terminal (C0, C1, Unicode's line ends), and what UTF-8 can't hold.
UNPRINTABLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


def formatter() -> logging.Formatter:
    """The formatter that the LOG_FORMAT variable asks for: "json", else "console"."""
    return EcsFormatter() if os.environ.get("LOG_FORMAT") == "json" else ConsoleFormatter()


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
            reserved_attrs=[*RESERVED_ATTRS, "request"],  # Django adds it; it shows no value
        )
        self._encode = JsonEncoder(ensure_ascii=False, separators=(",", ":")).encode
        self._secrets = secret_values()

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
        if not line.isascii() or "\x7f" in line:
            line = UNPRINTABLE.sub(lambda found: f"\\u{ord(found[0]):04x}", line)
        return without(self._secrets, line)

    def add_fields(
        self, log_data: dict[str, Any], record: logging.LogRecord, message_dict: dict[str, Any]
    ) -> None:
        """Adds when it was, for which request, and what kind of error."""
        log_data["@timestamp"] = timestamp(record.created)
        super().add_fields(log_data, record, message_dict)
        for name in list(log_data):
            log_data[str(name)] = encodable(str(name), log_data.pop(name))
        if own := request_id.get():
            log_data["http.request.id"] = own
        if record.exc_info and record.exc_info[0]:
            log_data["error.type"] = record.exc_info[0].__qualname__
            with suppress(Exception):  # where its text fails, the traceback says so
                log_data["error.message"] = str(record.exc_info[1])

    def jsonify_log_record(self, log_data: dict[str, Any]) -> str:
        """The library would make a new encoder for every record."""
        return self._encode(log_data)


def encodable(name: str, value: Any) -> Any:
    """The value of a field as JSON can hold it, without what is named like a secret, however deep."""
    if SENSITIVE.search(name):
        return HIDDEN
    if isinstance(value, Mapping):
        return {str(key): encodable(str(key), inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [encodable("", inner) for inner in value]
    return None if isinstance(value, float) and not isfinite(value) else value


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
    is indented, so that nothing in it can pass for a record.
    """

    def __init__(self) -> None:
        super().__init__(
            "%(thin)s%(asctime)s%(reset)s %(log_color)s%(levelname)-8s%(reset)s"
            " %(cyan)s%(name)-20s%(reset)s %(message)s%(thin)s%(tail)s",
            stream=sys.stdout,
        )
        self._secrets = secret_values()

    def format(self, record: logging.LogRecord) -> str:
        """The line, and more of them for a traceback."""
        try:
            return self._formatted(record)
        except Exception as error:
            return self._formatted(unformattable(record, error))

    def _formatted(self, record: logging.LogRecord) -> str:
        shown = copy(record)
        shown.args = on_one_line(record.args)
        shown.msg, shown.args = printable(shown.getMessage()), None
        shown.exc_text = printable(record.exc_text) if record.exc_text else None
        own = request_id.get()
        shown.tail = f" [{own}]" if own else ""
        return without(self._secrets, super().format(shown).replace("\n", "\n    "))

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
        f"{record.msg!r:.200} at {record.pathname}:{record.lineno} is not a record that can be"
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


def secret_values() -> list[str]:
    """What the environment holds in secret: no line shows it, whatever it came from.

    The values of SECRET_KEY, of `..._PASSWORD`, `..._TOKEN` and the like, and the passwords in URLs.
    A key of several lines is hidden line by line, for some formats indent them.
    """
    found = set()
    for name, value in os.environ.items():
        if re.search(r"(^|_)(KEY|TOKEN|SECRET)$|PASSWORD$", name):
            found |= set(value.splitlines())
        elif name.endswith(("_URL", "_URI", "_DSN")):
            with suppress(ValueError):
                password = urlsplit(value).password or ""
                found |= {password, unquote(password)}
    found |= {repr(value)[1:-1] for value in found} | {quote(value, safe="") for value in found}
    found |= {json.dumps(value, ensure_ascii=False)[1:-1] for value in found}
    return sorted((value for value in found if len(value) >= 8), key=len, reverse=True)


def without(secrets: list[str], line: str) -> str:
    """The line, with secrets hidden."""
    for secret in secrets:
        if secret in line:
            line = line.replace(secret, HIDDEN)
    return IN_QUERY.sub(in_query_hidden, line) if "?" in line else line


def in_query_hidden(found: re.Match[str]) -> str:
    """An item of a query string, its value hidden if it is named like a secret."""
    return f"{found[1]}={HIDDEN}" if SENSITIVE.search(unquote(found[1])) else found[0]


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


class SqlFilter:
    """Hides the texts in SQL that Django logs with DEBUG on: sessions' keys and passwords' hashes."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is shown: always."""
        if hasattr(record, "sql"):
            duration, sql, params, alias = cast("tuple[Any, ...]", record.args)
            sql = re.sub(r"'(?:[^']|'')*'", f"'{HIDDEN}'", str(sql))
            params = [
                value if isinstance(value, int | float | date | None) else HIDDEN
                for value in params or ()
            ]
            record.args = (duration, sql, params, alias)
            record.sql, record.params = sql, params
        return True


def parse_levels(text: str, known: Container[str]) -> dict[str, str]:
    """LOG_LEVELS as levels by logger: "home=debug" gives {"home": "DEBUG"}.

    A logger is known, or named after a module. Raises ValueError, which says what is wrong.
    """
    found = {}
    for item in filter(None, map(str.strip, text.split(","))):
        name, equals, level = map(str.strip, item.partition("="))
        if not equals or not re.fullmatch(r"\w+(\.\w+)*", name):
            raise ValueError(f"{item!r} is not logger=level, as home=debug is.")
        if level.lower() not in LEVELS:
            raise ValueError(f"{level!r} in {item!r} is no level; use {', '.join(LEVELS)}.")
        top = name.partition(".")[0]
        if name not in known and top not in known and not find_spec(top):
            raise ValueError(
                f"{name!r} in {item!r} is no logger: no module has that name, and"
                " config/logging.json does not."
            )
        found[name] = level.upper()
    return found
