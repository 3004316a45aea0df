"""Logs, when a server starts, what is wrong with its services and would show under load alone."""

import logging
import os
import socket
import sys
from threading import Thread

logger = logging.getLogger(__name__)

# A name of Linux's own, which leaves no file behind; held as long as the process lives.
held = socket.socket(socket.AF_UNIX) if sys.platform == "linux" else None


def report_services() -> None:
    """Asks them in a thread, so that none of them delays the start. Django must be set up."""
    if is_first_worker():
        Thread(target=_report, daemon=True, name="service reports").start()


def is_first_worker() -> bool:
    """Whether no other worker of this server has asked; on other systems than Linux, always true."""
    try:
        if held:
            held.bind(f"\0service reports of {os.getppid()}")
    except OSError:
        return False
    return True


def _report() -> None:
    import django.db

    from data import {{ "connections, valkey" if cookiecutter.database == "postgres" and cookiecutter.cache == "valkey" else "connections" if cookiecutter.database == "postgres" else "valkey" }}

    for service in [{{ "connections, valkey" if cookiecutter.database == "postgres" and cookiecutter.cache == "valkey" else "connections" if cookiecutter.database == "postgres" else "valkey" }}]:
        try:
            service.report_start()
        except Exception:
            logger.exception("%s failed", service.__name__)
    django.db.connections.close_all()
