"""SQLite as it is set up, and its backups."""

import os
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest
from django.db import connection
from django.db.migrations.loader import MigrationLoader
from environs import ValidationError

from data.sqlite import PRAGMAS, backup, database, restore


@pytest.mark.django_db
def test_every_connection_is_set_up_for_production() -> None:
    with connection.cursor() as cursor:
        found = {
            name: cursor.execute(f"PRAGMA {name}").fetchone()[0]
            for name in (*PRAGMAS, "foreign_keys", "busy_timeout")
        }
    numbers = {"WAL": "wal", "NORMAL": 1, "MEMORY": 2}
    assert found == {name: numbers.get(str(value), value) for name, value in PRAGMAS.items()} | {
        "foreign_keys": 1,
        "busy_timeout": 20_000,
    }


OWN = sorted(MigrationLoader(None).graph.nodes)


def make(path: Path, tea: str, migrations: Sequence[tuple[str, str]] = OWN) -> Path:
    """A database with one row, and these migrations."""
    with closing(sqlite3.connect(path)) as database, database:
        columns = "id INTEGER PRIMARY KEY, app, name, applied"
        database.execute(f"CREATE TABLE django_migrations ({columns})")
        database.executemany("INSERT INTO django_migrations (app, name) VALUES (?, ?)", migrations)
        database.execute("CREATE TABLE tea (name)")
        database.execute("INSERT INTO tea VALUES (?)", [tea])
    return path


def tea_in(path: Path) -> str:
    with closing(sqlite3.connect(path)) as database:
        name: str = database.execute("SELECT name FROM tea").fetchone()[0]
    return name


@pytest.mark.django_db
def test_a_backup_comes_back_and_what_was_there_is_kept(tmp_path: Path) -> None:
    database = make(tmp_path / "db.sqlite3", "oolong")
    saved = tmp_path / "backups" / "saved.sqlite3"
    backup(database, saved)
    if os.name == "posix":
        assert saved.stat().st_mode & 0o777 == 0o600, "it holds what others may not read"
    with closing(sqlite3.connect(database)) as changed, changed:
        changed.execute("UPDATE tea SET name = 'coffee'")

    kept = restore(saved, database)

    assert tea_in(database) == "oolong"
    assert kept
    assert tea_in(kept) == "coffee"


STRANGERS = {
    "of another program": ([], "no migration of Django's"),
    "of another project": ([*OWN, ("shop", "0001_initial")], "does not know shop.0001_initial"),
    "of newer code": ([*OWN, ("accounts", "0999_tea")], "does not know accounts.0999_tea"),
    "without the user model": (
        [(app, name) for app, name in OWN if app != "accounts"],
        "accounts.0001_initial",
    ),
}


@pytest.mark.django_db
@pytest.mark.parametrize("stranger", STRANGERS)
def test_a_strangers_backup_is_refused(tmp_path: Path, stranger: str) -> None:
    database = make(tmp_path / "db.sqlite3", "oolong")
    migrations, reason = STRANGERS[stranger]
    other = make(tmp_path / "other.sqlite3", "coffee", migrations)

    with pytest.raises(sqlite3.DatabaseError, match=reason):
        restore(other, database)

    assert tea_in(database) == "oolong"
    if migrations:
        restore(other, database, force=True)
        assert tea_in(database) == "coffee"
    else:
        with pytest.raises(sqlite3.DatabaseError, match=reason):
            restore(other, database, force=True)


@pytest.mark.django_db
def test_an_older_backup_and_an_app_that_was_removed_are_its_own(tmp_path: Path) -> None:
    older = [migration for migration in OWN if migration[0] != "sessions"]
    make(tmp_path / "older.sqlite3", "green", [*older, ("removed", "0001_initial")])
    database = make(tmp_path / "db.sqlite3", "oolong", [*OWN, ("removed", "0001_initial")])

    restore(tmp_path / "older.sqlite3", database)

    assert tea_in(database) == "green"


@pytest.mark.django_db
def test_bad_input_loses_nothing(tmp_path: Path) -> None:
    database = make(tmp_path / "db.sqlite3", "oolong")
    (tmp_path / "letter").write_text("Dear Ada" * 1000)

    with pytest.raises(FileNotFoundError, match="there is no backup"):
        restore(tmp_path / "missing", database)
    with pytest.raises(sqlite3.DatabaseError, match="not a database"):
        restore(tmp_path / "letter", database)
    (tmp_path / "empty").touch()
    with pytest.raises(sqlite3.DatabaseError, match="holds no table"):
        restore(tmp_path / "empty", database)
    with pytest.raises(sqlite3.DatabaseError, match="is the database itself"):
        restore(database, database)
    (tmp_path / "half").write_bytes(database.read_bytes()[:-4096])
    with pytest.raises(sqlite3.DatabaseError, match=r"malformed|damaged"):
        restore(tmp_path / "half", database)
    with pytest.raises(FileExistsError, match="is there already"):
        backup(database, tmp_path / "letter")
    with pytest.raises(FileNotFoundError, match="there is no database"):
        backup(tmp_path / "missing", tmp_path / "copy")

    assert tea_in(database) == "oolong"
    assert {path.name for path in tmp_path.iterdir()} == {"db.sqlite3", "empty", "half", "letter"}


@pytest.mark.parametrize(
    "query",
    ["nosuch=hunter2", "timeout=soon", "timeout=-1", "transaction_mode=tea", "hunter2=", "timeout=1&timeout=2",
    ],
)  # fmt: skip
def test_a_query_that_sqlite_would_refuse_stops_the_start(tmp_path: Path, query: str) -> None:
    with pytest.raises(ValidationError) as refused:
        database(f"sqlite:///db.sqlite3?{query}", folder=tmp_path)
    assert "hunter2" not in str(refused.value)


def test_a_path_is_taken_whole_or_not_at_all(tmp_path: Path) -> None:
    for wrong in ("sqlite://db.sqlite3", "sqlite:///a#b.sqlite3", "sqlite:///", "mysql://a/b"):
        with pytest.raises(ValidationError):
            database(wrong, folder=tmp_path)
    url = "sqlite:////srv/a%23b.sqlite3?timeout=2.5&transaction_mode=exclusive"
    found = database(url, folder=tmp_path)
    assert found["NAME"] == Path("/srv/a#b.sqlite3")
    assert found["OPTIONS"]["timeout"] == 2.5
