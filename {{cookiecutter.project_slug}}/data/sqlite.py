"""SQLite as production needs it.

https://docs.djangoproject.com/en/6.1/ref/databases/#sqlite-notes
https://www.sqlite.org/pragma.html
"""

import os
import re
import sqlite3
from contextlib import suppress
from pathlib import Path
from threading import Lock
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import dj_database_url
from environs import ValidationError

# Seconds that a write waits for the one before it.
BUSY_TIMEOUT = 20.0

PRAGMAS = {
    "journal_mode": "WAL",  # readers and the writer do not wait for each other
    "synchronous": "NORMAL",  # in WAL mode, a loss of power costs the last commits and breaks nothing
    "cache_size": -8 * 1024,  # KiB for each connection
    "mmap_size": 128 * 1024**2,  # bytes that are read without a copy; all connections share them
    "journal_size_limit": 64 * 1024**2,  # bytes that the log is cut back to
    "temp_store": "MEMORY",
}

# What the query of the URL may set, and how each value must look.
QUERY = {
    "timeout": r"\d{1,6}(\.\d+)?",
    "transaction_mode": r"(?i:deferred|immediate|exclusive)",
    "init_command": ".+",
    "cached_statements": r"\d{1,9}",
}


def database_settings(url: str, *, folder: Path) -> dict[str, Any]:
    """Django's settings for the file that a URL names; a relative path starts in `folder`.

    The URL's query may set what QUERY names. Raises ValidationError, whose text shows nothing of the URL.
    """
    if "#" in url:
        raise ValidationError("There is a # in it; write it as %23.")
    if re.match(r"sqlite://(?!:memory:)[^/]*/?$", url):
        raise ValidationError("A path comes after three slashes, or four where it begins with one.")
    try:
        parsed: dict[str, Any] = {**dj_database_url.parse(url, conn_max_age=None)}
    except ValueError:
        raise ValidationError("Not a valid database URL.") from None
    if parsed["ENGINE"] == "django.db.backends.postgresql":
        raise ValidationError("It is PostgreSQL's, and this project's database is SQLite.")
    if parsed["ENGINE"] != "django.db.backends.sqlite3":
        raise ValidationError("Not a database URL of SQLite.")
    options = parsed.get("OPTIONS", {})
    # No name is shown that is not known: it may be the end of a password.
    if not QUERY.keys() >= dict(parse_qsl(urlsplit(url).query, keep_blank_values=True)).keys():
        raise ValidationError(f"Its query may set {', '.join(QUERY)} and nothing else.")
    for name, value in options.items():
        if not re.fullmatch(QUERY[name], str(value)):
            raise ValidationError(f"The {name} in its query can't be used.")
    if "timeout" in options:
        options["timeout"] = float(options["timeout"])
    if parsed["NAME"] != ":memory:":
        parsed["NAME"] = folder / parsed["NAME"]  # the same file from every working directory
    parsed["OPTIONS"] = {
        "timeout": BUSY_TIMEOUT,
        # A transaction waits for its turn when it begins: one that reads first and writes later
        # would otherwise find that another has written, and fail at once.
        "transaction_mode": "IMMEDIATE",
        "init_command": ";".join(f"PRAGMA {name}={value}" for name, value in PRAGMAS.items()),
        "factory": Connection,
    } | options
    return parsed


making = Lock()  # no other thread connects to a new file before it is closed


class Connection(sqlite3.Connection):
    """A connection that makes the file, where it is not there yet, for its owner's eyes alone."""

    def __init__(self, database: str | Path, *arguments: Any, **options: Any) -> None:
        if not str(database).startswith((":memory:", "file:")):
            make_private(Path(database))
        super().__init__(database, *arguments, **options)


def make_private(path: Path) -> None:
    """Makes an empty file that no other user can read, unless it is there.

    SQLite would let everyone read it. It gives the files beside it, -wal and -shm, the same mode. A file that is there
    is not opened: to close it would drop the locks of all connections of this process, and another process would then
    remove the -wal that they write to (section 2.2 of https://www.sqlite.org/howtocorrupt.html).
    """
    with making, suppress(OSError):  # SQLite says what is wrong, and follows links
        os.close(os.open(os.path.realpath(path), os.O_CREAT | os.O_EXCL, 0o600))
