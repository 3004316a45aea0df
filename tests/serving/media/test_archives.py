"""Uploads in an archive: what goes in, what comes back, and what is refused before anything changes."""

import errno
import io
import os
import shutil
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.files.base import ContentFile
from django.core.management import CommandError, call_command
from django.test import override_settings
from serving.media import archives
from serving.media.archives import beside, restoring_beside, save, save_beside
from serving.media.storage import FileStorage

FOLDER = {"default": {"BACKEND": "serving.media.storage.FileStorage"}}
MEMORY = {"default": {"BACKEND": "django.core.files.storage.InMemoryStorage"}}


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    """MEDIA_ROOT, with some uploads and with what is none."""
    media = tmp_path / "media"
    with override_settings(MEDIA_ROOT=media, STORAGES=FOLDER):
        storage = FileStorage()
        for name in ("cups/a b.jpg", "cups/Zoë 茶.jpg", "deleted.jpg", "tea.jpg"):
            storage.save(name, ContentFile(name.encode()))
        storage.delete("deleted.jpg")
        (media / ".hidden").write_bytes(b"secret")
        (media / "cups" / ".a.part").write_bytes(b"half")
        (media / "link.jpg").symlink_to("/etc/passwd")
        (media / "folder").symlink_to("/etc")
        os.mkfifo(media / "pipe.jpg")
        yield media


@pytest.fixture
def backup(tmp_path: Path) -> Path:
    """Where a copy of the database lies."""
    return tmp_path / "backups" / "db.sqlite3"


def there(root: Path) -> dict[str, bytes]:
    """The uploads below a folder."""
    return {name: path.read_bytes() for name, path in archives.files(root) if path.is_file()}


def test_all_uploads_go_in_and_those_that_were_just_deleted(root: Path, backup: Path) -> None:
    """Since the database was copied, that is."""
    assert save_beside(backup) == f"4 uploads are in {backup}.media.tar"
    with tarfile.open(beside(backup)) as archive:
        found = {member.name: archive.extractfile(member) for member in archive}
    assert found.keys() == {"cups/a b.jpg", "cups/Zoë 茶.jpg", "deleted.jpg", "tea.jpg"}
    assert beside(backup).stat().st_mode & 0o777 == 0o600
    assert [path.name for path in backup.parent.iterdir()] == ["db.sqlite3.media.tar"]
    with pytest.raises(CommandError, match="is there already"):
        save_beside(backup)


def test_what_was_deleted_before_is_seen_by_nobody_again(root: Path, backup: Path) -> None:
    started = time.time()
    (kept,) = (root / ".deleted").rglob("deleted.jpg")
    os.utime(kept, (started - 60, started - 60))
    FileStorage().delete("tea.jpg")

    assert save_beside(backup, started) == f"3 uploads are in {backup}.media.tar"
    with restoring_beside(backup) as uploads:
        assert uploads.put_back() == "1 uploads were put back"
    assert there(root).keys() == {"cups/a b.jpg", "cups/Zoë 茶.jpg", "tea.jpg"}

    archive = backup.with_name("more.tar")
    call_command("backup_media", str(archive), f"--since={started - 120:.0f}")
    call_command("restore_media", archive)
    assert there(root)["deleted.jpg"] == b"deleted.jpg"


def test_a_file_has_the_time_of_its_deletion(root: Path) -> None:
    os.utime(root / "tea.jpg", (1, 1))
    FileStorage().delete("tea.jpg")
    (kept,) = (root / ".deleted").rglob("tea.jpg")
    assert kept.stat().st_mtime > time.time() - 60


def test_they_come_back_and_nothing_that_came_since_is_lost(root: Path, backup: Path) -> None:
    before = there(root)
    save_beside(backup)
    (root / "tea.jpg").write_bytes(b"another")
    (root / "cups" / "a b.jpg").unlink()
    (root / "new.jpg").write_bytes(b"new")
    inode = (root / "cups" / "Zoë 茶.jpg").stat().st_ino

    with restoring_beside(backup) as uploads:
        assert there(root)["tea.jpg"] == b"another", "nothing has changed yet"
        told = uploads.put_back()

    assert there(root) == before | {"deleted.jpg": b"deleted.jpg", "new.jpg": b"new"}
    assert (root / "cups" / "Zoë 茶.jpg").stat().st_ino == inode, "what is the same is left alone"
    (kept,) = backup.parent.glob("before-restore-*.media.tar")
    assert told == f"3 uploads were put back, and 1 that they replace are in {kept}"
    call_command("restore_media", kept)
    assert there(root)["tea.jpg"] == b"another"
    assert not list(root.glob(".restore-*"))


def test_a_restore_that_is_given_up_changes_nothing(root: Path, backup: Path) -> None:
    save_beside(backup)
    (root / "tea.jpg").write_bytes(b"another")
    before = there(root)
    with pytest.raises(KeyError), restoring_beside(backup):
        raise KeyError("the database was refused")
    assert there(root) == before
    assert not list(root.glob(".restore-*"))


def test_a_restore_that_breaks_off_says_how_far_it_came(
    root: Path, backup: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_beside(backup)
    before = there(root)
    for name in ("cups/a b.jpg", "tea.jpg"):
        (root / name).write_bytes(b"another")
    replace, replaced = Path.replace, []

    def full(path: Path, target: Path) -> None:
        replaced.append(target)
        if len(replaced) > 2:
            raise OSError(28, "No space left on device")
        replace(path, target)

    with restoring_beside(backup) as uploads, monkeypatch.context() as patch:
        patch.setattr(Path, "replace", full)
        with pytest.raises(CommandError) as failed:
            uploads.put_back()
    archive = beside(backup)
    assert str(failed.value) == (
        f"2 of 3 uploads of {archive} were put back: [Errno 28] No space left on device;"
        f" `manage.py restore_media {archive}` puts back the others"
    )

    call_command("restore_media", archive)
    assert {name: there(root)[name] for name in before} == before


def test_folders_have_the_mode_of_the_storage_whatever_the_umask(root: Path, backup: Path) -> None:
    """As the page restores: a proxy could not read them."""
    save_beside(backup)
    shutil.rmtree(root)
    before = os.umask(0o077)
    try:
        with (
            override_settings(FILE_UPLOAD_DIRECTORY_PERMISSIONS=0o755),
            restoring_beside(backup) as uploads,
        ):
            uploads.put_back()
    finally:
        os.umask(before)
    assert [path.stat().st_mode & 0o777 for path in (root, root / "cups")] == [0o755] * 2


@pytest.mark.parametrize("name", ["cups", "tea.jpg"])
def test_what_is_in_the_way_is_named_before_anything_changes(
    root: Path, backup: Path, name: str
) -> None:
    """A folder that has become a file, and a file that has become one."""
    save_beside(backup)
    taken = root / name
    if taken.is_dir():
        shutil.rmtree(taken)
        taken.write_bytes(b"a file")
    else:
        taken.unlink()
        taken.mkdir()
    (root / "new.jpg").write_bytes(b"new")
    before = there(root)
    with pytest.raises(CommandError) as refused, restoring_beside(backup):
        raise AssertionError("the database would be replaced")
    assert str(refused.value).startswith(f"{beside(backup)}: '{name}")
    assert str(refused.value).endswith(f"since {taken} is there: move that away")
    assert there(root) == before
    assert not list(root.glob(".restore-*"))


def test_without_uploads_there_is_no_archive(tmp_path: Path, backup: Path) -> None:
    with override_settings(MEDIA_ROOT=tmp_path / "none", STORAGES=FOLDER):
        assert save_beside(backup) == f"no uploads are in {tmp_path / 'none'}"
        assert not list(backup.parent.iterdir())
        with restoring_beside(backup) as uploads:
            assert uploads.put_back() == "there are no uploads beside it"


def test_a_store_is_not_in_a_backup(root: Path, backup: Path) -> None:
    save_beside(backup)
    with override_settings(STORAGES=MEMORY):
        assert save_beside(backup) == "uploads are in InMemoryStorage, and not in this backup"
        with pytest.raises(CommandError, match="uploads are in no folder"):
            save(backup)
        with pytest.raises(CommandError, match="kept in InMemoryStorage"), restoring_beside(backup):
            pass


def made(path: Path, **members: tuple[bytes, bytes]) -> Path:
    """An archive with members of these types and contents."""
    with tarfile.open(path, "w") as archive:
        for name, (kind, data) in members.items():
            info = tarfile.TarInfo(name)
            info.type, info.size = kind, len(data) if kind == tarfile.REGTYPE else 0
            info.linkname = data.decode() if kind != tarfile.REGTYPE else ""
            archive.addfile(info, io.BytesIO(data))
    return path


@pytest.mark.parametrize(
    ("name", "kind", "data"),
    [
        ("../out.jpg", tarfile.REGTYPE, b"out"),
        ("/tmp/out.jpg", tarfile.REGTYPE, b"out"),  # noqa: S108
        (".hidden", tarfile.REGTYPE, b"out"),
        ("a/../../out.jpg", tarfile.REGTYPE, b"out"),
        ("link", tarfile.SYMTYPE, b"/etc"),
        ("hard", tarfile.LNKTYPE, b"tea.jpg"),
        ("pipe", tarfile.FIFOTYPE, b""),
        ("device", tarfile.CHRTYPE, b""),
        ("folder/passwd", tarfile.REGTYPE, b"by a link that is there"),
    ],
)
def test_an_archive_with_what_is_no_upload_is_refused(
    root: Path, tmp_path: Path, name: str, kind: bytes, data: bytes
) -> None:
    archive = made(
        tmp_path / "x.tar", **{"good.jpg": (tarfile.REGTYPE, b"good"), name: (kind, data)}
    )
    before = there(root)
    with pytest.raises(
        CommandError, match=f"{archive}: '{name}' in it (is no upload|would lie elsewhere)"
    ):
        call_command("restore_media", archive)
    assert there(root) == before
    assert not list(root.glob(".restore-*"))
    assert not list(tmp_path.rglob("out.jpg"))


def test_an_archive_that_is_cut_or_is_none_is_refused(root: Path, tmp_path: Path) -> None:
    whole = tmp_path / "whole.tar"
    (root / "large.jpg").write_bytes(os.urandom(100_000))
    save(whole)
    content = whole.read_bytes()
    (root / "tea.jpg").write_bytes(b"another")
    before = there(root)
    with tarfile.open(whole) as archive:
        between = archive.getmembers()[1].offset
    for size in (0, 1, 511, 512, 1024, between, 50_000):
        cut = tmp_path / "cut.tar"
        cut.write_bytes(content[:size])
        with pytest.raises(CommandError) as refused:
            call_command("restore_media", cut)
        assert "\n" not in str(refused.value)
        assert there(root) == before, size
    (tmp_path / "text.tar").write_text("no archive" * 1000)
    for name in ("text.tar", "none.tar", "media"):
        with pytest.raises(CommandError):
            call_command("restore_media", tmp_path / name)
    assert not list(root.glob(".restore-*"))


def test_an_upload_that_is_deleted_while_it_is_archived_is_found_where_it_went(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real: Any = archives.files

    def files(folder: Path) -> Any:
        found = list(real(folder))
        if folder == root:
            FileStorage().delete("tea.jpg")  # it was listed, and is not read yet
        return found

    monkeypatch.setattr(archives, "files", files)
    assert save(tmp_path / "x.tar") == 4
    with tarfile.open(tmp_path / "x.tar") as archive:
        assert "tea.jpg" in archive.getnames()


def test_an_upload_that_is_deleted_once_it_is_archived_is_there_twice(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real: Any = archives.add

    def add(archive: tarfile.TarFile, found: archives.Files, since: float = 0.0) -> int:
        number: int = real(archive, found, since)
        FileStorage().delete("tea.jpg")
        return number

    monkeypatch.setattr(archives, "add", add)
    save(tmp_path / "x.tar")
    with tarfile.open(tmp_path / "x.tar") as archive:
        assert archive.getnames().count("tea.jpg") == 2
    call_command("restore_media", tmp_path / "x.tar")
    assert there(root)["tea.jpg"] == b"tea.jpg"


def test_a_full_disk_is_one_line_and_leaves_no_archive(
    root: Path, backup: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(archives, "add", full)
    with pytest.raises(CommandError, match="No space left"):
        save_beside(backup)
    assert not list(backup.parent.iterdir())


def test_a_disk_without_hard_links_takes_backups(
    root: Path, backup: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def link(*_: object) -> None:
        raise OSError(errno.EOPNOTSUPP, "Operation not supported")

    monkeypatch.setattr(os, "link", link)
    before = there(root)
    save_beside(backup)
    (root / "tea.jpg").write_bytes(b"another")
    with restoring_beside(backup) as uploads:
        assert "before-restore-" in uploads.put_back()
    assert there(root)["tea.jpg"] == before["tea.jpg"]
    with pytest.raises(CommandError, match="is there already"):
        save_beside(backup)
    assert [path.name for path in backup.parent.iterdir() if ".part" in path.name] == []


def test_the_command_names_a_new_file_itself(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    call_command("backup_media")
    (made,) = (tmp_path / "backups").iterdir()
    assert f"backups/{made.name}: 10,240 bytes, 4 uploads" in capsys.readouterr().out
