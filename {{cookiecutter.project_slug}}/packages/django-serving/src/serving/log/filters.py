"""Filters of the log: each makes records of one library readable, or hides what they must not show."""

import logging
import os
import re
from datetime import date
from typing import Any

from serving.log.redaction import HIDDEN

MORE_FILES = (
    "raise the limit (`ulimit -n 4096`; for a service of Compose, `ulimits: {nofile: 4096}`)"
)


def is_clients(record: logging.LogRecord) -> bool:
    """Whether it is a record of Django's on what a client did wrong: a forged host, a form that is too large."""
    status = getattr(record, "status_code", None)
    return isinstance(status, int) and 400 <= status < 500 and record.name.startswith("django.")


class ClientErrorFilter:
    """What clients do wrong, as Django logs it: one line, and for a 404 at level INFO.

    A traceback of a PermissionDenied or the like is shown where the logger is at level DEBUG. What Django takes
    for a client's, and is the server's (a full disk, `serving.http.body.Refused`), becomes an error. The filter
    belongs to the handler: a logger's own does not see the records of `django.security`'s many children.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        if not is_clients(record):
            return True
        refused = record.exc_info[1] if record.exc_info else None
        status = getattr(refused, "status", None)
        if isinstance(status, int) and status >= 500:
            vars(record).update(status_code=status, exc_info=None)
            record.levelno, record.levelname = logging.ERROR, "ERROR"
            return True
        if vars(record)["status_code"] == 404:
            record.levelno, record.levelname = logging.INFO, "INFO"
        logger = logging.getLogger(record.name)
        is_forged = record.name == "django.security.DisallowedHost"
        if is_forged or not logger.isEnabledFor(logging.DEBUG):
            record.exc_info = None
        return logger.isEnabledFor(record.levelno)


class GranianErrorFilter:
    """Takes the traceback out of the message in which Granian logs an error in a stream, say; open in 2.8.9:
    https://github.com/emmett-framework/granian/blob/v2.8.1/src/utils.rs#L43-L50
    """

    HEADING = "Traceback (most recent call last):\n"
    LAST_ERROR = re.compile(r"^([\w.<>]+)(?:: (.*))?\Z", re.MULTILINE | re.DOTALL)

    def filter(self, record: logging.LogRecord) -> bool:
        message, found, trace = record.getMessage().rstrip().partition(f"\n{self.HEADING}")
        if found:
            record.msg, record.args = message, None
            record.exc_text = self.HEADING + trace
            # The last traceback's error is what is not indented, to the end.
            if last := self.LAST_ERROR.search(trace.rpartition(self.HEADING)[2]):
                record.__dict__["error.type"] = last[1]
                record.__dict__["error.message"] = last[2] or ""
        return True


class OpenFilesFilter:
    """Adds what to do when a worker may open no more files, and so can't accept a connection."""

    def filter(self, record: logging.LogRecord) -> bool:
        message = record.getMessage()
        if "Too many open files" in message:
            record.msg, record.args = f"{message}: {MORE_FILES}", None
        return True


def sql_shown(sql: str) -> str:
    """SQL without its texts."""
    return re.sub(r"'(?:[^']|'')*'", f"'{HIDDEN}'", sql)


class SqlFilter:
    """Hides the texts in SQL that Django logs: session keys and password hashes, for example."""

    def filter(self, record: logging.LogRecord) -> bool:
        if hasattr(record, "sql"):
            # Before the SQL of a query stands how long it took; nothing before what changes a schema.
            args: Any = record.args
            *before, sql, params = args[:3]
            sql = sql_shown(str(sql))
            harmless = int | float | date | None
            params = [value if isinstance(value, harmless) else HIDDEN for value in params or ()]
            vars(record).update(sql=sql, params=params, args=(*before, sql, params, *args[3:]))
        return True


class GranianLevelFilter:
    """Applies LOG_LEVELS to Granian's own logger in its main process, which reads no settings.

    Granian replaces this logger's level after reading the file; open in 2.8.9:
    https://github.com/emmett-framework/granian/blob/v2.8.9/granian/log.py#L69
    """

    def __init__(self) -> None:
        # The worker's settings report what is wrong with it.
        found = re.search(r"(?:^|,)\s*_granian\s*=\s*(\w+)", os.environ.get("LOG_LEVELS", ""))
        levels = logging.getLevelNamesMapping()
        self.level = levels.get(found[1].upper(), logging.NOTSET) if found else logging.NOTSET

    def filter(self, record: logging.LogRecord) -> bool:
        return record.levelno >= self.level
