"""Backups of SQLite that are damaged, or of a database that is."""

import errno
import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from data import sqlite_backups
from data.sqlite_backups import backup, restore
from django.conf import settings
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.core.management import CommandError, call_command
from django.db.migrations.loader import MigrationLoader
from django.test import override_settings

OWN = sorted(MigrationLoader(None).graph.nodes)


def make(path: Path, tea: str) -> Path:
    """A database of this project, with an index that damage is found by."""
    with closing(sqlite3.connect(path)) as made, made:
        made.execute("CREATE TABLE django_migrations (app, name)")
        made.executemany("INSERT INTO django_migrations VALUES (?, ?)", OWN)
        made.execute("CREATE TABLE tea (name)")
        made.execute("INSERT INTO tea VALUES (?)", [tea])
        made.execute("CREATE TABLE leaves (name UNIQUE)")
        made.executemany(
            "INSERT INTO leaves VALUES (?)", [(f"{number:05}" * 20,) for number in range(2000)]
        )
    return path


def damage(path: Path) -> Path:
    """Spoils pages that a look at the migrations does not read."""
    whole = path.read_bytes()
    end = len(whole) - 8 * 4096
    path.write_bytes(whole[:end] + os.urandom(4096) + whole[end + 4096 :])
    return path


def full(*_: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def tea_in(path: Path) -> str:
    with closing(sqlite3.connect(path)) as opened:
        name: str = opened.execute("SELECT name FROM tea").fetchone()[0]
    return name


def test_a_damaged_backup_is_refused_and_changes_nothing(tmp_path: Path) -> None:
    database = make(tmp_path / "db.sqlite3", "oolong")
    broken = damage(make(tmp_path / "broken.sqlite3", "coffee"))
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}

    with pytest.raises(CommandError, match=r"the file is damaged: .+") as refused:
        restore({"NAME": database}, broken)

    assert "\n" not in str(refused.value)
    assert {path: path.read_bytes() for path in tmp_path.glob("*.sqlite3")} == before


def test_a_damaged_database_gives_no_backup(tmp_path: Path) -> None:
    """A backup that nobody has checked is found to be none on the day that it is needed."""
    database = damage(make(tmp_path / "db.sqlite3", "oolong"))

    with pytest.raises(CommandError, match="the file is damaged: "):
        backup({"NAME": database}, tmp_path / "backups" / "saved.sqlite3")

    assert list((tmp_path / "backups").iterdir()) == []


def test_a_disk_without_hard_links_takes_a_backup(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def link(*_: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", link)
    config, saved = {"NAME": make(tmp_path / "db.sqlite3", "oolong")}, tmp_path / "b" / "saved"
    backup(config, saved)
    assert tea_in(saved) == "oolong"
    assert saved.stat().st_mode & 0o777 == 0o600
    with pytest.raises(CommandError, match="is there already"):
        backup(config, saved)
    assert [path.name for path in saved.parent.iterdir()] == ["saved"]


def test_a_backup_is_readable_by_its_owner_alone_from_its_first_byte(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = make(tmp_path / "db.sqlite3", "oolong")
    modes: list[int] = []
    copy = sqlite_backups.copy

    def watched(source: Path, target: Path) -> None:
        modes.append(target.stat().st_mode & 0o777)
        copy(source, target)

    monkeypatch.setattr(sqlite_backups, "copy", watched)
    target = tmp_path / "a" / "b" / "saved.sqlite3"
    backup({"NAME": str(database)}, target)

    assert modes == [0o600]
    assert target.stat().st_mode & 0o777 == 0o600
    assert tea_in(target) == "oolong"
    assert list(target.parent.iterdir()) == [target]


def test_what_is_in_the_way_is_not_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even if it comes while the backup is made."""
    database = make(tmp_path / "db.sqlite3", "oolong")
    target = tmp_path / "saved.sqlite3"
    copy = sqlite_backups.copy

    def late(source: Path, part: Path) -> None:
        copy(source, part)
        target.write_text("another's")

    monkeypatch.setattr(sqlite_backups, "copy", late)
    with pytest.raises(CommandError, match=r"saved\.sqlite3"):
        backup({"NAME": database}, target)

    assert target.read_text() == "another's"
    assert {path.name for path in tmp_path.iterdir()} == {"db.sqlite3", "saved.sqlite3"}


def test_uploads_that_fail_hide_no_database_that_is_restored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    database, saved = make(tmp_path / "db.sqlite3", "oolong"), tmp_path / "b" / "saved.sqlite3"
    monkeypatch.setitem(settings.DATABASES, "default", {"NAME": database})
    stores = {"default": {"BACKEND": "serving.media.storage.FileStorage"}}
    with override_settings(MEDIA_ROOT=tmp_path / "media", STORAGES=stores):
        default_storage.save("tea.jpg", ContentFile(b"tea"))
        call_command("backup", str(saved))
        (tmp_path / "media" / "tea.jpg").unlink()
        with closing(sqlite3.connect(database)) as changed, changed:
            changed.execute("UPDATE tea SET name = 'coffee'")
        monkeypatch.setattr(Path, "replace", full)
        with pytest.raises(CommandError) as failed:
            call_command("restore", str(saved))

    assert tea_in(database) == "oolong"
    (kept,) = saved.parent.glob("before-restore-*.sqlite3")
    told = capsys.readouterr().out.splitlines()
    assert told[-1] == f"restored {saved}; what was there is in {kept}"
    assert str(failed.value).startswith(
        f"the database is restored, but 0 of 1 uploads of {saved}.media.tar were put back: [Errno 28]"
    )


def test_a_backup_can_be_read_where_nothing_can_be_written(tmp_path: Path) -> None:
    """SQLite lays -wal and -shm beside a file whose flag says so, and a restore left them there."""
    database, saved = make(tmp_path / "db.sqlite3", "oolong"), tmp_path / "b" / "saved.sqlite3"
    with closing(sqlite3.connect(database)) as opened:
        opened.execute("PRAGMA journal_mode=WAL")
        opened.execute("UPDATE leaves SET name = name || 'x'")
        opened.commit()
        backup({"NAME": database}, saved)
        assert opened.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        kept = restore({"NAME": database}, saved)
        assert opened.execute("PRAGMA journal_mode").fetchone() == ("wal",), "the server's stays"

    assert kept
    assert set(saved.parent.iterdir()) == {saved, kept}
    for path in (saved, kept):
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as opened:
            assert opened.execute("PRAGMA journal_mode").fetchone() == ("delete",)
            assert opened.execute("SELECT count(*) FROM leaves").fetchone() == (2000,)


def test_of_two_backups_at_once_one_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second must not write into the first one's file."""
    config, target = {"NAME": make(tmp_path / "db.sqlite3", "oolong")}, tmp_path / "b" / "saved"
    copy = sqlite_backups.copy

    def meanwhile(source: Path, part: Path) -> None:
        monkeypatch.setattr(sqlite_backups, "copy", copy)
        backup(config, target)
        copy(make(tmp_path / "other.sqlite3", "coffee"), part)

    monkeypatch.setattr(sqlite_backups, "copy", meanwhile)
    with pytest.raises(CommandError, match="saved"):
        backup(config, target)

    assert tea_in(target) == "oolong"
    assert list(target.parent.iterdir()) == [target]


def test_a_first_restore_needs_no_database(tmp_path: Path) -> None:
    saved = make(tmp_path / "saved.sqlite3", "oolong")
    database = tmp_path / "db.sqlite3"

    assert restore({"NAME": database}, saved) is None

    assert tea_in(database) == "oolong"
    assert {path.name for path in tmp_path.glob("*.sqlite3")} == {"db.sqlite3", "saved.sqlite3"}


def test_what_can_be_no_backup_is_named(tmp_path: Path) -> None:
    database = make(tmp_path / "db.sqlite3", "oolong")
    (tmp_path / "empty").touch()
    for source, reason in {
        "missing": "there is no backup",
        "db.sqlite3": "is the database itself",
        "empty": "holds no table",
    }.items():
        with pytest.raises(CommandError, match=reason):
            restore({"NAME": database}, tmp_path / source, force=True)
    with pytest.raises(CommandError, match="there is no database"):
        backup({"NAME": tmp_path / "missing"}, tmp_path / "saved.sqlite3")
    assert tea_in(database) == "oolong"


def test_a_backup_is_named_after_its_database_and_the_time() -> None:
    first, second = (sqlite_backups.new_file({"NAME": "/srv/tea.sqlite3"}) for _ in range(2))
    assert first.parent == Path("backups")
    assert first.name.startswith("tea-2")
    assert first.suffix == ".sqlite3"
    assert first != second


@pytest.mark.parametrize("name", ["db.sqlite3", "100%.sqlite3", "what?#.sqlite3"])
def test_a_copy_waits_for_a_writer_as_the_server_does(tmp_path: Path, name: str) -> None:
    database = make(tmp_path / name, "oolong")
    for mode in ("ro", "rw"):
        with sqlite_backups.opened(database, mode) as opened:
            assert opened.execute("PRAGMA busy_timeout").fetchone() == (20_000,)
            assert opened.execute("SELECT name FROM tea").fetchone() == ("oolong",)
    with (
        sqlite_backups.opened(database, "ro") as opened,
        pytest.raises(sqlite3.OperationalError, match="readonly"),
    ):
        opened.execute("DELETE FROM tea")
