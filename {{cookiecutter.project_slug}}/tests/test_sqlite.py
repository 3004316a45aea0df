"""SQLite as it is set up, and its backups."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command
from django.db import connection
from django.db.migrations.loader import MigrationLoader

from data.sqlite import PRAGMAS


@pytest.mark.django_db
def test_every_connection_is_set_up_for_production() -> None:
    with connection.cursor() as cursor:
        found = {
            name: cursor.execute(f"PRAGMA {name}").fetchone()[0]
            for name in (*PRAGMAS, "foreign_keys", "busy_timeout")
        }
    numbers = {"WAL": "wal", "NORMAL": 1, "MEMORY": 2}
    wanted = {name: numbers.get(str(value), value) for name, value in PRAGMAS.items()}
    assert found == wanted | {"foreign_keys": 1, "busy_timeout": 20_000}


@pytest.fixture
def database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A database that the commands take for the project's."""
    path = tmp_path / "db.sqlite3"
    with closing(sqlite3.connect(path)) as made, made:
        made.execute("CREATE TABLE django_migrations (app, name)")
        own = sorted(MigrationLoader(None).graph.nodes)
        made.executemany("INSERT INTO django_migrations VALUES (?, ?)", own)
        made.execute("CREATE TABLE tea (name)")
        made.execute("INSERT INTO tea VALUES ('oolong')")
    monkeypatch.setitem(settings.DATABASES, "default", {"NAME": path})
    return path


def tea_in(path: Path) -> str:
    with closing(sqlite3.connect(path)) as opened:
        name: str = opened.execute("SELECT name FROM tea").fetchone()[0]
    return name


def test_a_backup_is_restored_and_the_previous_database_kept(database: Path) -> None:
    saved = database.parent / "backups" / "saved.sqlite3"
    call_command("backup", str(saved))
    assert saved.stat().st_mode & 0o077 == 0, "it holds what others may not read"
    with closing(sqlite3.connect(database)) as changed, changed:
        changed.execute("UPDATE tea SET name = 'coffee'")

    call_command("restore", str(saved))

    assert tea_in(database) == "oolong"
    (kept,) = saved.parent.glob("before-restore-*.sqlite3")
    assert tea_in(kept) == "coffee"
    with pytest.raises(CommandError, match="is there already"):
        call_command("backup", str(saved))
