"""One deployment at a time: a lock that the kernel gives back when its holder ends, however it ends."""

from __future__ import annotations

import fcntl
import getpass
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

FILE = Path(".deploy.lock")


class Held(Exception):
    """Another process has the lock; the text says which."""


@contextmanager
def lock(file: Path = FILE) -> Iterator[None]:
    """Holds the lock. A file that a killed process or a reboot left behind is no lock.

    Raises Held at once where another process has it.
    """
    with file.open("a+") as opened:
        try:
            fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Held(_holder(file)) from None
        opened.truncate(0)
        started = time.strftime("%H:%M:%S")
        opened.write(f"process {os.getpid()}, started by {_user()} at {started}")
        opened.flush()
        try:
            yield
        finally:
            opened.truncate(0)


def holder(file: Path = FILE) -> str | None:
    """Who holds the lock, if anyone does."""
    try:
        with file.open() as opened:
            fcntl.flock(opened, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return None
    except BlockingIOError:
        return _holder(file)
    return None


def _holder(file: Path) -> str:
    return file.read_text() or "a process that has just begun"


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a number that has no name
        return f"user {os.getuid()}"
