"""Filters of the log: what records show, and which are shown."""

import logging
import os
import re
from contextlib import suppress
from datetime import date
from typing import Any, cast

from serving.log.levels import parse_levels
from serving.log.redaction import HIDDEN

# The last error of a traceback: what is not indented, to the end.
LAST_ERROR = re.compile(r"^([\w.<>]+)(?:: (.*))?\Z", re.MULTILINE | re.DOTALL)

MORE_FILES = "raise the limit (`ulimit -n 4096`; in compose.yaml, `ulimits: {nofile: 4096}` at web)"


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


class GranianLevelFilter:
    """Holds LOG_LEVELS for Granian's own logger in its main process, which has no settings.

    Granian sets that logger's level itself, after it has read the configuration.
    """

    def __init__(self) -> None:
        self.level = 0
        items = os.environ.get("LOG_LEVELS", "").split(",")
        own = ",".join(item for item in items if item.partition("=")[0].strip() == "_granian")
        with suppress(ValueError):  # the worker's settings say what is wrong
            levels = parse_levels(own, known=("_granian",))
            self.level = logging.getLevelNamesMapping()[levels.get("_granian", "NOTSET")]

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is shown."""
        return record.levelno >= self.level
