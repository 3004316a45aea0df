"""Logs what Python itself would write to stderr, secrets and all: errors that nobody can catch."""

import logging
import sys
import threading
from typing import Any

from serving.log.formats import safe_repr

logger = logging.getLogger(__name__)


def log_what_nobody_catches() -> None:
    """Has Python log its warnings, and errors that reach no caller."""
    logging.captureWarnings(True)
    threading.excepthook = thread_failed
    sys.unraisablehook = unraisable


def thread_failed(failed: threading.ExceptHookArgs) -> None:
    if not issubclass(failed.exc_type, SystemExit):
        name = f"thread {failed.thread.name}" if failed.thread else "a thread that has ended"
        logger.error("Exception in %s", name, exc_info=failed.exc_value)


def unraisable(failed: Any) -> None:
    """For an error in a `__del__`, say: https://docs.python.org/3/library/sys.html#sys.unraisablehook"""
    what = failed.err_msg or "Exception ignored in"
    where = "" if failed.object is None else f": {safe_repr(failed.object)}"
    error = (failed.exc_type, failed.exc_value, failed.exc_traceback)
    logger.error("%s%s", what, where, exc_info=error)
