"""SQLite as production needs it, and backups that are safe while the server writes.

    python -m data.sqlite backup [FILE]
    python -m data.sqlite restore FILE [--force]
    python -m data.sqlite shell

https://docs.djangoproject.com/en/6.1/ref/databases/#sqlite-notes
https://www.sqlite.org/pragma.html
"""

import os
import re
import sqlite3
import subprocess
import sys
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
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
    "timeout": r"\d+(\.\d+)?",
    "transaction_mode": r"(?i:deferred|immediate|exclusive)",
    "init_command": ".+",
    "cached_statements": r"\d+",
}


def database(url: str, *, folder: Path) -> dict[str, Any]:
    """Django's configuration of the file that a URL names, a relative one in this folder.

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
    } | options
    return parsed


def backup(source: Path, target: Path) -> None:
    """Copies a database as it is at one moment, whatever is written to it meanwhile.

    The target appears when it is whole. Raises FileNotFoundError, FileExistsError, sqlite3.Error.
    """
    if not source.is_file():
        raise FileNotFoundError(f"there is no database {source}")
    if target.exists():
        raise FileExistsError(f"{target} is there already")
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f".{target.name}.part")
    try:
        part.touch(mode=0o600)  # it holds what the database's folder may keep from others
        copy(source, part)
        os.link(part, target)  # as a rename, but it replaces nothing
    finally:
        part.unlink(missing_ok=True)


def restore(source: Path, target: Path, *, force: bool = False) -> Path | None:
    """Puts a backup in the database's place, as one transaction; a running server sees it whole.

    It must be a backup of this project, by its migrations; with `force` any of Django's will do. The
    apps must be loaded.

    Returns where the database that was there is kept. Raises FileNotFoundError, sqlite3.Error.
    """
    from data.history import stranger

    if not source.is_file():
        raise FileNotFoundError(f"there is no backup {source}")
    if target.exists() and source.samefile(target):
        raise sqlite3.DatabaseError(f"{source} is the database itself")
    with closing(sqlite3.connect(f"{source.resolve().as_uri()}?mode=ro", uri=True)) as opened:
        check(opened)
        if opened.execute("SELECT 1 FROM sqlite_master").fetchone() is None:
            raise sqlite3.DatabaseError(f"{source} holds no table")  # an empty file is sound
        applied = migrations(opened)
    there: set[tuple[str, str]] = set()
    if target.exists():
        with closing(sqlite3.connect(target, timeout=BUSY_TIMEOUT)) as opened:
            there = migrations(opened)
    reason = stranger(applied, there)
    if reason and not (force and applied):
        raise sqlite3.DatabaseError(f"{source}: {reason}")
    kept = None
    if target.exists():
        kept = source.parent / f"before-restore-{now()}.sqlite3"
        backup(target, kept)
    copy(source, target)
    return kept


def migrations(connection: sqlite3.Connection) -> set[tuple[str, str]]:
    """The migrations that a database has; none where it is no sound database of Django's."""
    rows = "SELECT app, name FROM django_migrations WHERE typeof(app) = 'text' AND typeof(name) = 'text'"
    try:
        return set(connection.execute(rows))
    except sqlite3.DatabaseError:  # no such table, or column
        return set()


def copy(source: Path, target: Path) -> None:
    uri = f"{source.resolve().as_uri()}?mode=ro"
    with (
        closing(sqlite3.connect(uri, uri=True, timeout=BUSY_TIMEOUT)) as reader,
        closing(sqlite3.connect(target, timeout=BUSY_TIMEOUT)) as writer,
    ):
        reader.backup(writer)
        check(writer)


def check(connection: sqlite3.Connection) -> None:
    """Raises sqlite3.DatabaseError unless the file is a sound database."""
    (answer,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if answer != "ok":
        raise sqlite3.DatabaseError(f"the file is damaged: {' '.join(answer.split())}")


def now() -> str:
    return datetime.now(UTC).strftime("%Y%m%dT%H%M%S%fZ")


def main(command: str = "", file: str = "", force: str = "") -> None:
    """The command line. Ends the process with a message where something is wrong."""
    import django
    from django.conf import settings

    if command == "restore":
        django.setup()
    name = Path(settings.DATABASES["default"]["NAME"])
    try:
        if command == "backup":
            target = Path(file or f"backups/{name.stem}-{now()}.sqlite3")
            backup(name, target)
            print(f"{target}: {target.stat().st_size:,} bytes")
        elif command == "restore" and file and force in {"", "--force"}:
            kept = restore(Path(file), name, force=bool(force))
            print(f"restored {file}" + (f"; what was there is in {kept}" if kept else ""))
        elif command == "shell":
            subprocess.run([sys.executable, "-m", "sqlite3", name], check=False)
        else:
            sys.exit("usage: python -m data.sqlite backup [FILE] | restore FILE [--force] | shell")
    except (OSError, sqlite3.Error) as error:
        sys.exit(f"{command}: {error}")


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    main(*sys.argv[1:4])
