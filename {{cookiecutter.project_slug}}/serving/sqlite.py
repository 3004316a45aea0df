"""SQLite as production needs it, and backups that are safe while the server writes.

    python -m serving.sqlite backup [FILE]
    python -m serving.sqlite restore FILE
    python -m serving.sqlite shell

https://docs.djangoproject.com/en/6.1/ref/databases/#sqlite-notes
https://www.sqlite.org/pragma.html
"""

import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

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


def database(url: str, *, folder: Path) -> dict[str, Any]:
    """Django's configuration of the file that a URL names, a relative one in this folder.

    Raises ValidationError, whose text shows nothing of the URL.
    """
    try:
        parsed: dict[str, Any] = {**dj_database_url.parse(url, conn_max_age=None)}
    except ValueError:
        raise ValidationError("Not a valid database URL.") from None
    if parsed["ENGINE"] != "django.db.backends.sqlite3":
        raise ValidationError("Not a database URL of SQLite.")
    if parsed["NAME"] != ":memory:":
        parsed["NAME"] = folder / parsed["NAME"]  # the same file from every working directory
    parsed["OPTIONS"] = {
        "timeout": BUSY_TIMEOUT,
        # A transaction waits for its turn when it begins: one that reads first and writes later
        # would otherwise find that another has written, and fail at once.
        "transaction_mode": "IMMEDIATE",
        "init_command": ";".join(f"PRAGMA {name}={value}" for name, value in PRAGMAS.items()),
    } | parsed.get("OPTIONS", {})
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


def restore(source: Path, target: Path) -> Path | None:
    """Puts a backup in the database's place, as one transaction; a running server sees it whole.

    Returns where the database that was there is kept. Raises FileNotFoundError, sqlite3.Error.
    """
    if not source.is_file():
        raise FileNotFoundError(f"there is no backup {source}")
    with closing(sqlite3.connect(f"{source.resolve().as_uri()}?mode=ro", uri=True)) as opened:
        check(opened)
        if opened.execute("SELECT 1 FROM sqlite_master").fetchone() is None:
            raise sqlite3.DatabaseError(f"{source} holds no table")  # an empty file is sound
    kept = None
    if target.exists():
        kept = source.parent / f"before-restore-{now()}.sqlite3"
        backup(target, kept)
    copy(source, target)
    return kept


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
        raise sqlite3.DatabaseError(f"the copy is damaged: {answer}")


def now() -> str:
    return datetime.now(UTC).strftime("%Y%m%dT%H%M%S%fZ")


def main(command: str = "", file: str = "") -> None:
    """The command line. Ends the process with a message where something is wrong."""
    from django.conf import settings

    name = Path(settings.DATABASES["default"]["NAME"])
    try:
        if command == "backup":
            target = Path(file or f"backups/{name.stem}-{now()}.sqlite3")
            backup(name, target)
            print(f"{target}: {target.stat().st_size:,} bytes")
        elif command == "restore" and file:
            kept = restore(Path(file), name)
            print(f"restored {file}" + (f"; what was there is in {kept}" if kept else ""))
        elif command == "shell":
            subprocess.run([sys.executable, "-m", "sqlite3", name], check=False)  # noqa: S603
        else:
            sys.exit("usage: python -m serving.sqlite backup [FILE] | restore FILE | shell")
    except (OSError, sqlite3.Error) as error:
        sys.exit(f"{command}: {error}")


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    main(*sys.argv[1:3])
