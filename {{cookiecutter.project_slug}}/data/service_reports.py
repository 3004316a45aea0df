"""What a server asks its database and its cache once, when it starts, to log what no request shows."""

import logging
import os
import socket
import sys
from collections.abc import Sequence
from threading import Thread

from django.db import connections
from django.utils.module_loading import import_string

logger = logging.getLogger(__name__)

# Held as long as the process lives.
held = socket.socket(socket.AF_UNIX) if sys.platform == "linux" else None


def report_services(reports: Sequence[str]) -> None:
    """Calls these functions, named by their dotted paths, in a thread: none of them holds up the start."""
    Thread(target=_report, args=(reports,), daemon=True, name="service reports").start()


def _report(reports: Sequence[str]) -> None:
    if not is_first_worker():
        return
    for report in reports:
        try:
            import_string(report)()
        except Exception:
            logger.exception("%s failed", report)
    connections.close_all()


def is_first_worker() -> bool:
    """Whether no other worker of this server has asked; on other systems than Linux each is the first."""
    try:
        if held:  # a name of Linux's own, that leaves no file behind
            held.bind(f"\0serving.service_reports of {os.getppid()}")
    except OSError:
        return False
    return True
