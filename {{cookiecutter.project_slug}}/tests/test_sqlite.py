"""SQLite as it is set up, and its backups."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command
from django.db import connection
from django.db.migrations.loader import MigrationLoader
from environs import ValidationError

from data.sqlite import PRAGMAS, database_settings

OWN = sorted(MigrationLoader(None).graph.nodes)


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
    path = make(tmp_path / "db.sqlite3", "oolong")
    monkeypatch.setitem(settings.DATABASES, "default", {"NAME": path})
    return path


def make(path: Path, tea: str, migrations: list[tuple[str, str]] = OWN) -> Path:
    """A database with one row, and these migrations."""
    with closing(sqlite3.connect(path)) as made, made:
        made.execute("CREATE TABLE django_migrations (app, name)")
        made.executemany("INSERT INTO django_migrations VALUES (?, ?)", migrations)
        made.execute("CREATE TABLE tea (name)")
        made.execute("INSERT INTO tea VALUES (?)", [tea])
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


def test_the_backup_of_another_project_is_restored_by_force_alone(database: Path) -> None:
    other = make(database.parent / "other", "coffee", [*OWN, ("no_such_app", "0001_initial")])
    with pytest.raises(CommandError, match=r"does not know no_such_app\.0001_initial"):
        call_command("restore", str(other))
    assert tea_in(database) == "oolong"

    call_command("restore", str(other), force=True)

    assert tea_in(database) == "coffee"


@pytest.mark.parametrize(
    "url",
    ["sqlite:///a#b", "sqlite://a", "mysql://a/b", "sqlite:///a?nosuch=hunter2", "sqlite:///a?timeout=-1"],
)  # fmt: skip
def test_a_url_that_would_be_misread_stops_the_start(tmp_path: Path, url: str) -> None:
    with pytest.raises(ValidationError) as refused:
        database_settings(url, folder=tmp_path)
    assert "hunter2" not in str(refused.value)
