"""What Python itself would write to stderr, logged: errors of threads, and those that can't be raised."""

import logging
import threading
from typing import Any

from serving.log.formats import safe_repr


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
