"""Backups of SQLite that are refused, addresses that are, and what a connection does to the file."""

import fcntl
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from data.sqlite import BUSY_TIMEOUT, PRAGMAS, QUERY, Connection, database_settings, make_private
from django.conf import settings
from django.core.management import CommandError, call_command
from django.db.migrations.loader import MigrationLoader
from environs import ValidationError

OWN = sorted(MigrationLoader(None).graph.nodes)


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


def test_the_backup_of_another_project_is_restored_by_force_alone(database: Path) -> None:
    other = make(database.parent / "other", "coffee", [*OWN, ("shop", "0001_initial")])
    with pytest.raises(CommandError, match=r"does not know shop\.0001_initial"):
        call_command("restore", str(other))
    assert tea_in(database) == "oolong"

    call_command("restore", str(other), force=True)

    assert tea_in(database) == "coffee"


WRONG = {
    "sqlite:///a#b": "write it as %23",
    "sqlite://a": "three slashes",
    "sqlite://hunter2/": "three slashes",
    "hunter2": "Not a valid database URL",
    "hunter2://a": "Not a valid database URL",
    "mysql://a/b": "Not a database URL of SQLite",
    "postgres://a:hunter2@b/c": "It is PostgreSQL's",
    "sqlite:///a?nosuch=hunter2": f"{', '.join(QUERY)} and nothing else",
    "sqlite:///a?timeout=1&hunter2": f"{', '.join(QUERY)} and nothing else",
    "sqlite:///a?timeout=-1": "The timeout in its query",
    "sqlite:///a?timeout=1&transaction_mode=hunter2": "The transaction_mode in its query",
    "sqlite:///a?timeout=1000000": "The timeout in its query",
    f"sqlite:///a?cached_statements={10**9}": "The cached_statements in its query",
    "sqlite:///a?cached_statements=hunter2": "The cached_statements in its query",
}


@pytest.mark.parametrize("url", WRONG)
def test_a_url_that_would_be_misread_stops_the_start(tmp_path: Path, url: str) -> None:
    with pytest.raises(ValidationError) as refused:
        database_settings(url, folder=tmp_path)
    assert WRONG[url] in str(refused.value)
    assert "hunter2" not in str(refused.value)


def test_the_query_of_the_url_wins(tmp_path: Path) -> None:
    set_up = database_settings("sqlite:///tea.sqlite3", folder=tmp_path)
    assert set_up["NAME"] == tmp_path / "tea.sqlite3"
    assert set_up["CONN_MAX_AGE"] is None, "connections stay open"
    pragmas = ";".join(f"PRAGMA {name}={value}" for name, value in PRAGMAS.items())
    production = {
        "timeout": BUSY_TIMEOUT,
        "transaction_mode": "IMMEDIATE",
        "init_command": pragmas,
        "factory": Connection,
    }
    assert set_up["OPTIONS"] == production
    query = "timeout=1.5&transaction_mode=deferred&init_command=PRAGMA%20x&cached_statements=7"
    other = database_settings(f"sqlite:////srv/tea.sqlite3?{query}", folder=tmp_path)
    assert other["NAME"] == Path("/srv/tea.sqlite3")
    assert other["OPTIONS"] == production | {
        "timeout": 1.5,
        "transaction_mode": "deferred",
        "init_command": "PRAGMA x",
        "cached_statements": 7,
    }
    for memory in ("sqlite://:memory:", "sqlite:///:memory:"):
        assert database_settings(memory, folder=tmp_path)["NAME"] == ":memory:"


@pytest.fixture
def umask() -> Iterator[None]:
    """A process whose files everyone may read."""
    before = os.umask(0)
    yield
    os.umask(before)


@pytest.mark.usefixtures("umask")
def test_a_database_is_made_for_its_owner_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for _ in range(2):
        with closing(sqlite3.connect("tea", timeout=1.5, factory=Connection)) as made:
            made.execute("CREATE TABLE IF NOT EXISTS tea (name)")
            assert made.execute("PRAGMA busy_timeout").fetchone() == (1500,)
    assert Path("tea").stat().st_mode & 0o777 == 0o600
    for memory in (":memory:", "file:made?mode=memory"):
        sqlite3.connect(memory, uri=True, factory=Connection).close()
    assert [path.name for path in tmp_path.iterdir()] == ["tea"]
    with pytest.raises(sqlite3.OperationalError, match="unable to open"):
        sqlite3.connect("missing/tea", factory=Connection)


@pytest.mark.usefixtures("umask")
def test_a_database_behind_a_link_is_its_owners_alone_too(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "tea")
    with closing(sqlite3.connect(tmp_path / "link", factory=Connection)) as made:
        made.execute("CREATE TABLE tea (name)")
    assert (tmp_path / "tea").stat().st_mode & 0o777 == 0o600


OTHER = "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); print(*c.execute('SELECT name FROM tea')); c.close()"


def test_a_new_connection_drops_no_lock_of_another_in_its_process(tmp_path: Path) -> None:
    path = make(tmp_path / "db.sqlite3", "oolong")

    def others_see() -> str:
        """Another process that connects, and closes what it takes for the last connection."""
        command = [sys.executable, "-c", OTHER, str(path)]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    with closing(sqlite3.connect(path, factory=Connection)) as first:
        first.execute("PRAGMA journal_mode=WAL")
        with closing(sqlite3.connect(path, factory=Connection)) as second:
            for connection in (first, second):
                connection.execute("SELECT name FROM tea").fetchall()
            assert "oolong" in others_see()
            assert path.with_name("db.sqlite3-wal").exists(), "two connections write to it"
            with first:
                first.execute("INSERT INTO tea VALUES ('assam')")
            assert "assam" in others_see()


def test_a_file_that_is_there_keeps_its_locks(tmp_path: Path) -> None:
    # As SQLite locks it, whose newer versions lock otherwise as well.
    path = make(tmp_path / "db.sqlite3", "oolong")
    take = "import fcntl, sys; fcntl.lockf(open(sys.argv[1], 'r+b'), fcntl.LOCK_EX | fcntl.LOCK_NB)"
    with path.open("r+b") as file:
        fcntl.lockf(file, fcntl.LOCK_SH)
        make_private(path)
        command = [sys.executable, "-c", take, str(path)]
        other = subprocess.run(command, check=False, capture_output=True, text=True)
    assert "BlockingIOError" in other.stderr
