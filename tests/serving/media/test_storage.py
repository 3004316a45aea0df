"""Uploads in a folder: whole or not there, under a full disk, a killed process and many at once."""

import errno
import os
import stat
import threading
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from django.core.files import File
from django.core.files.base import ContentFile
from django.core.files.uploadedfile import TemporaryUploadedFile
from django.test import override_settings
from serving.http.body import Refused
from serving.media import storage as module
from serving.media.storage import HOUR, FileStorage, NoRoom

NOW = 1_800_000_000.0


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    """MEDIA_ROOT."""
    with override_settings(
        MEDIA_ROOT=tmp_path / "media",
        FILE_UPLOAD_PERMISSIONS=0o644,
        FILE_UPLOAD_DIRECTORY_PERMISSIONS=0o755,
    ):
        yield tmp_path / "media"


def there(root: Path) -> dict[str, bytes]:
    """All files below a folder, those that nobody is given among them."""
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


def temporary(data: bytes) -> TemporaryUploadedFile:
    """A large upload, as Django gives it to a view: it lies in a file of its own, for its owner's eyes."""
    made = TemporaryUploadedFile("tea.jpg", "image/jpeg", len(data), None)
    made.write(data)
    made.seek(0)
    return made


@pytest.mark.parametrize("umask", [0o022, 0o077, 0o000])
def test_files_and_folders_can_be_read_by_a_proxy(root: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        root.mkdir()
        for content in (
            ContentFile(b"tea"),
            ContentFile("tea"),
            temporary(b"tea"),
            File(BytesIO(b"tea")),
        ):
            name = FileStorage().save("cups/green/tea.jpg", content)
            assert name.startswith("cups/green/tea")
            assert stat.S_IMODE((root / name).stat().st_mode) == 0o644
            assert (root / name).read_bytes() == b"tea"
    finally:
        os.umask(before)
    for folder in (root / "cups", root / "cups" / "green"):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o755
    assert len(there(root)) == 4


def test_modes_that_are_not_set_are_left_to_the_umask(root: Path) -> None:
    with override_settings(FILE_UPLOAD_PERMISSIONS=None, FILE_UPLOAD_DIRECTORY_PERMISSIONS=None):
        before = os.umask(0o027)
        try:
            name = FileStorage().save("cups/tea.jpg", ContentFile(b"tea"))
        finally:
            os.umask(before)
    assert stat.S_IMODE((root / name).stat().st_mode) == 0o640
    assert stat.S_IMODE((root / "cups").stat().st_mode) == 0o750


class Full(File):
    """A file whose disk is full after so many bytes."""

    def __init__(self, number: int) -> None:
        super().__init__(BytesIO(b"tea"), name="tea.jpg")
        self.number = number

    def chunks(self, chunk_size: int | None = None) -> Iterator[bytes]:
        yield b"half of the tea"
        raise OSError(self.number, os.strerror(self.number))


class FullOnce(Full):
    """One whose disk has room when it is read again."""

    def __init__(self, *, seekable: bool = True) -> None:
        super().__init__(errno.ENOSPC)
        self.can_seek = seekable
        self.reads = 0

    def seekable(self) -> bool:
        return self.can_seek

    def chunks(self, chunk_size: int | None = None) -> Iterator[bytes]:
        self.reads += 1
        return super().chunks() if self.reads == 1 else iter([b"tea"])


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_leaves_nothing_and_is_told(root: Path, number: int) -> None:
    root.mkdir()
    with pytest.raises(NoRoom) as refused:
        FileStorage().save("tea.jpg", Full(number))
    assert str(refused.value) == f"can't keep 'tea.jpg' in {root}: {os.strerror(number)}"
    assert (refused.value.errno, refused.value.status) == (number, 507)
    assert isinstance(refused.value, Refused)
    assert isinstance(refused.value, OSError)
    assert there(root) == {}


def test_a_full_disk_is_made_free_of_what_was_deleted(root: Path) -> None:
    storage = FileStorage()
    for name in ("green.jpg", "black.jpg"):
        storage.delete(storage.save(name, ContentFile(b"tea")))
    assert len(there(root)) == 2
    assert storage.save("tea.jpg", FullOnce()) == "tea.jpg"
    assert there(root) == {"tea.jpg": b"tea"}

    storage.delete("tea.jpg")
    with pytest.raises(NoRoom):  # its beginning is read and gone
        storage.save("other.jpg", FullOnce(seekable=False))
    assert there(root) == {}
    with pytest.raises(NoRoom):  # there is nothing more to remove
        storage.save("other.jpg", FullOnce())
    assert there(root) == {}


@pytest.mark.parametrize("number", [errno.EPERM, errno.EOPNOTSUPP])
def test_a_file_system_without_hard_links_keeps_uploads(
    root: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def link(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "link", link)
    test_those_who_save_the_same_name_at_once_get_one_each(root)
    name = FileStorage().save("cups/tea.jpg", temporary(b"tea"))
    assert stat.S_IMODE((root / name).stat().st_mode) == 0o644

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    before = there(root)
    with pytest.raises(NoRoom):
        FileStorage().save("new.jpg", ContentFile(b"tea"))
    assert there(root) == before, "no empty file is left"


def test_a_file_system_that_syncs_no_folder_keeps_uploads(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real: Callable[[int], None] = os.fsync
    number = errno.EINVAL

    def fsync(opened: int) -> None:
        if stat.S_ISDIR(os.fstat(opened).st_mode):
            raise OSError(number, os.strerror(number))
        real(opened)

    monkeypatch.setattr(os, "fsync", fsync)
    assert FileStorage().save("tea.jpg", ContentFile(b"tea")) == "tea.jpg"
    number = errno.EIO
    with pytest.raises(OSError, match="Input/output"):
        FileStorage().save("other.jpg", ContentFile(b"tea"))


def test_another_fault_leaves_nothing_and_stays_what_it_is(root: Path) -> None:
    root.mkdir()
    with pytest.raises(OSError, match="Input/output") as failed:
        FileStorage().save("tea.jpg", Full(errno.EIO))
    assert not isinstance(failed.value, NoRoom)
    assert there(root) == {}
    (root / "cups").write_bytes(b"no folder")
    with pytest.raises(FileExistsError):
        FileStorage().save("cups/tea.jpg", ContentFile(b"tea"))
    assert there(root) == {"cups": b"no folder"}


def test_nothing_is_under_its_name_before_it_is_whole_and_on_the_disk(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[str, list[str]]] = []
    real: Callable[[int], None] = os.fsync

    def fsync(opened: int) -> None:
        path = Path(os.readlink(f"/proc/self/fd/{opened}"))
        seen.append((path.name, [name for name in there(root) if "/." not in f"/{name}"]))
        real(opened)

    monkeypatch.setattr(os, "fsync", fsync)
    FileStorage().save("cups/tea.jpg", ContentFile(b"tea"))
    (part, before), (folder, after) = seen
    assert part.endswith(".part")
    assert (before, folder, after) == ([], "cups", ["cups/tea.jpg"])


def test_those_who_save_the_same_name_at_once_get_one_each(root: Path) -> None:
    number = 16
    names: list[str] = []
    barrier = threading.Barrier(number)

    def save(each: int) -> None:
        storage = FileStorage()
        barrier.wait()
        name = storage._save(
            "tea.jpg", ContentFile(str(each))
        )  # when all were told that it is free
        names.append(name)
        assert (root / name).read_text() == str(each)

    threads = [threading.Thread(target=save, args=(each,)) for each in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(names)) == number
    assert sorted(there(root)) == sorted(names)


def test_it_overwrites_where_it_is_told_to(root: Path) -> None:
    storage = FileStorage(allow_overwrite=True)
    for text in (b"green", b"black"):
        assert storage.save("tea.jpg", ContentFile(text)) == "tea.jpg"
        assert there(root) == {"tea.jpg": text}


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Sets the time that the storage reads; the disk has room."""
    times = [NOW]
    monkeypatch.setattr(module.shutil, "disk_usage", lambda _: (100, 0, 100))
    monkeypatch.setattr(module.time, "time", lambda: times[-1])
    return times.append


def test_what_is_deleted_is_out_of_reach_and_kept_for_a_day(root: Path, clock: Any) -> None:
    storage = FileStorage()
    for name in ("cups/tea.jpg", "cups/other.jpg"):
        storage.save(name, ContentFile(b"tea"))
    storage.delete("cups/tea.jpg")

    kept = f".deleted/{int(NOW // HOUR)}/cups/tea.jpg"
    assert there(root) == {kept: b"tea", "cups/other.jpg": b"tea"}
    assert stat.S_IMODE((root / ".deleted").stat().st_mode) == 0o700
    assert not storage.exists("cups/tea.jpg")
    assert storage.save("cups/tea.jpg", ContentFile(b"new")) != "cups/tea.jpg", "a backup has both"

    clock(NOW + 24 * HOUR)
    storage.delete("cups/other.jpg")
    assert kept in there(root)
    clock(NOW + 25 * HOUR)
    storage.purge()
    assert kept not in there(root)
    assert storage.save("cups/tea.jpg", ContentFile(b"new")) == "cups/tea.jpg"
    clock(NOW + 60 * HOUR)
    storage.delete("cups/tea.jpg")
    assert [name for name in there(root) if "other" in name] == [], "a delete tidies up"
    clock(NOW + 90 * HOUR)
    assert storage.save("new.jpg", ContentFile(b"new")) == "new.jpg"
    assert [name for name in there(root) if "deleted" in name] == [], "so does a new file"


def test_what_is_deleted_goes_oldest_first_where_the_disk_is_nearly_full(
    root: Path, clock: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = FileStorage()
    for hour, name in enumerate(("first.jpg", "second.jpg", "third.jpg")):
        clock(NOW + hour * HOUR)
        storage.delete(storage.save(name, ContentFile(b"tea")))
    (root / ".deleted" / "1x").mkdir()  # another's

    def usage(_: str) -> tuple[int, int, int]:
        return 100, 0, 4 if len(there(root)) > 1 else 5

    monkeypatch.setattr(module.shutil, "disk_usage", usage)
    storage.purge()
    assert there(root) == {f".deleted/{int(NOW // HOUR) + 2}/third.jpg": b"tea"}
    assert (root / ".deleted" / "1x").is_dir()
    monkeypatch.setattr(module.shutil, "disk_usage", lambda _: (100, 0, 4))
    assert storage.save("tea.jpg", ContentFile(b"tea")) == "tea.jpg"
    assert there(root) == {"tea.jpg": b"tea"}


def test_where_nothing_is_kept_it_is_gone(root: Path) -> None:
    storage = FileStorage(keep_deleted=0)
    storage.save("tea.jpg", ContentFile(b"tea"))
    storage.delete("tea.jpg")
    assert there(root) == {}


def test_a_disk_that_takes_no_folder_still_deletes(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = FileStorage()
    storage.save("tea.jpg", ContentFile(b"tea"))

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(module, "safe_makedirs", full)
    storage.delete("tea.jpg")
    assert there(root) == {}


def test_to_delete_what_is_gone_a_folder_or_nothing_is_as_in_django(root: Path) -> None:
    storage = FileStorage()
    storage.delete("none.jpg")
    (root / "empty").mkdir(parents=True)
    storage.delete("empty")
    assert not (root / "empty").exists()
    with pytest.raises(ValueError, match="name must be given"):
        storage.delete("")
