"""SQLite as it is set up, and its backups."""

import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from django.db import connection

from serving.sqlite import PRAGMAS, backup, restore


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


def make(path: Path, tea: str) -> Path:
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("CREATE TABLE tea (name)")
        database.execute("INSERT INTO tea VALUES (?)", [tea])
    return path


def tea_in(path: Path) -> str:
    with closing(sqlite3.connect(path)) as database:
        name: str = database.execute("SELECT name FROM tea").fetchone()[0]
    return name


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
    with pytest.raises(FileExistsError, match="is there already"):
        backup(database, tmp_path / "letter")
    with pytest.raises(FileNotFoundError, match="there is no database"):
        backup(tmp_path / "missing", tmp_path / "copy")

    assert tea_in(database) == "oolong"
    assert {path.name for path in tmp_path.iterdir()} == {"db.sqlite3", "empty", "letter"}
