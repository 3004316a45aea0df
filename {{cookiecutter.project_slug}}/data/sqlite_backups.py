"""Copies of an SQLite database that are safe while the server writes: `manage.py backup`, `manage.py restore`.

https://www.sqlite.org/backup.html
"""

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError
from serving.media.archives import now, replacing
from serving.media.storage import place

from data.history import stranger
from data.sqlite import BUSY_TIMEOUT, make_private

Config = Mapping[str, Any]  # one of DATABASES


def new_file(config: Config) -> Path:
    """Where a backup goes unless its user says otherwise."""
    return Path("backups", f"{Path(config['NAME']).stem}-{now()}.sqlite3")


@contextmanager
def errors_in_one_line() -> Iterator[None]:
    """Raises CommandError, which `manage.py` prints as one line, for what a user can correct."""
    try:
        yield
    except (OSError, sqlite3.Error) as error:
        raise CommandError(error) from error


@errors_in_one_line()
def backup(config: Config, target: Path) -> None:
    """Copies the database as it is at one moment, even while others write to it.

    The target appears when it is complete. Raises CommandError.
    """
    source = Path(config["NAME"])
    if not source.is_file():
        raise CommandError(f"there is no database {source}")
    if target.exists():
        raise CommandError(f"{target} is there already")
    with replacing(target) as (part, _):
        copy(source, part)
        with opened(part, "rw") as made:  # or a restore would write beside it
            made.execute("PRAGMA journal_mode=DELETE")
        place(part, target)  # as a rename, but it replaces nothing


@errors_in_one_line()
def restore(config: Config, source: Path, *, force: bool = False) -> Path | None:
    """Replaces the database by a backup, in one transaction: a running server sees all of it or nothing.

    It must be a backup of this project, judged by its migrations; with `force`, of any Django project.
    Returns where the previous database is kept, if there was one. Raises CommandError.
    """
    target = Path(config["NAME"])
    if not source.is_file():
        raise CommandError(f"there is no backup {source}")
    if target.exists() and source.samefile(target):
        raise CommandError(f"{source} is the database itself")
    with opened(source, "ro") as connection:
        check(connection)
        if connection.execute("SELECT 1 FROM sqlite_master").fetchone() is None:
            raise CommandError(f"{source} holds no table")  # an empty file passes the check
        applied = migrations(connection)
    current: set[tuple[str, str]] = set()
    if target.exists():
        with opened(target, "rw") as connection:
            current = migrations(connection)
    reason = stranger(applied, current)
    if reason and not (force and applied):
        raise CommandError(f"{source}: {reason}")
    kept = None
    if target.exists():
        kept = source.parent / f"before-restore-{now()}.sqlite3"
        backup(config, kept)
    make_private(target)
    copy(source, target)
    return kept


def opened(path: Path, mode: str) -> closing[sqlite3.Connection]:
    """A file that is there, opened to be read ("ro") or written ("rw")."""
    uri = f"{path.resolve().as_uri()}?mode={mode}"
    return closing(sqlite3.connect(uri, uri=True, timeout=BUSY_TIMEOUT))


def migrations(connection: sqlite3.Connection) -> set[tuple[str, str]]:
    """The migrations that were applied to a database; none if it is not one of Django's."""
    rows = "SELECT app, name FROM django_migrations WHERE typeof(app) = 'text' AND typeof(name) = 'text'"
    try:
        return set(connection.execute(rows))
    except sqlite3.DatabaseError:  # no such table, or column
        return set()


def copy(source: Path, target: Path) -> None:
    with opened(source, "ro") as reader, opened(target, "rw") as writer:
        reader.backup(writer)
        check(writer)


def check(connection: sqlite3.Connection) -> None:
    """Raises CommandError unless the file is an undamaged database."""
    (answer,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if answer != "ok":
        raise CommandError(f"the file is damaged: {' '.join(answer.split())}")
