"""Uploads in a folder: each is there as a whole or not at all, also where the disk is full.

https://docs.djangoproject.com/en/6.1/ref/files/storage/
"""

import errno
import os
import shutil
import time
from contextlib import suppress
from pathlib import Path
from secrets import token_hex
from typing import Any

from django.core.files import File
from django.core.files.storage import FileSystemStorage
from django.utils._os import safe_makedirs
from django.utils.deconstruct import deconstructible

from serving.http.body import FULL, Refused

HOUR = 60 * 60
DELETED = ".deleted"  # in MEDIA_ROOT; below it a folder for each hour
ROOM = 1 / 20  # of a disk; where less is free, nothing that is deleted is kept

# What file systems say that have no hard links: exFAT, CIFS, many of FUSE.
NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS)


class NoRoom(Refused, OSError):
    """An upload that the disk does not take; where no view catches it, its client gets a 507."""

    def __init__(self, name: str, folder: str, error: OSError) -> None:
        reason = f"can't keep {name!r} in {folder}: {error.strerror}"
        super().__init__(507, "The server has no room for the file.", reason)
        self.errno = error.errno


@deconstructible(path="serving.media.storage.FileStorage")
class FileStorage(FileSystemStorage):
    """Django's, which leaves half a file where the disk is full, or says that a half one is whole.

    A new file is written under a name that nobody is given, `.*.part`, to the disk itself, and then gets its
    own. What is deleted leaves its place at once and lies in `.deleted`: so a copy of the database finds all files
    that it names, if those are copied after it. It is removed by the first file that is saved or deleted
    `keep_deleted` seconds later (in hours, rounded up; 0: at once), or sooner, where the disk is nearly full.
    """

    # Django writes to the final name, and across file systems without a look at how much was written; open in
    # 6.1.3: https://github.com/django/django/blob/6.1.3/django/core/files/move.py#L64-L66

    def __init__(self, *args: Any, keep_deleted: float = 24 * HOUR, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._keep_deleted = keep_deleted

    def _save(self, name: str, content: "File[Any]") -> str:
        path = Path(self.path(name))
        part = path.with_name(f".{token_hex(8)}.part")
        try:
            self.purge()
            try:
                self._prepare(part, content)
            except OSError as error:
                # What can't be read again would be kept without its beginning.
                if error.errno not in FULL or not self.empty() or not content.seekable():
                    raise
                part.unlink(missing_ok=True)
                self._prepare(part, content)
            while True:
                try:
                    self._place(part, path)
                    break
                except FileExistsError:
                    name = self.get_available_name(name)
                    path = Path(self.path(name))
            sync_folder(path.parent)
        except OSError as error:
            if error.errno not in FULL:
                raise
            raise NoRoom(name, os.fspath(self.location), error) from error
        finally:
            with suppress(FileNotFoundError, NotADirectoryError):
                part.unlink()
        return path.relative_to(self.location).as_posix()

    def _prepare(self, part: Path, content: "File[Any]") -> None:
        make_folder(self, part.parent)
        self._write(part, content)

    def _write(self, part: Path, content: "File[Any]") -> None:
        with part.open("xb") as file:
            for chunk in content.chunks():
                file.write(chunk.encode() if isinstance(chunk, str) else chunk)
            file.flush()
            if self.file_permissions_mode is not None:
                os.fchmod(file.fileno(), self.file_permissions_mode)
            os.fsync(file.fileno())
        self._ensure_location_group_id(part)  # type: ignore[attr-defined]  # not in the stubs

    def _place(self, part: Path, path: Path) -> None:
        """Gives a written file its name. Raises FileExistsError where that is taken."""
        if self._allow_overwrite:  # type: ignore[attr-defined]  # not in the stubs
            part.replace(path)
        else:
            place(part, path)

    def delete(self, name: str) -> None:
        path = Path(self.path(name)) if name else None
        if path and path.is_file() and self._keep_deleted:
            kept = Path(
                self.location,
                DELETED,
                str(int(time.time() // HOUR)),
                path.relative_to(self.location),
            )
            try:
                self.purge()
                safe_makedirs(kept.parent, 0o700, exist_ok=True)
                os.utime(path)  # when it was deleted
                path.replace(kept)
                return
            except OSError:  # another was faster, or there is no room, and to delete it makes room
                pass
        super().delete(name)

    def purge(self) -> None:
        """Removes what was deleted more than `keep_deleted` seconds ago, and more where the disk is nearly full."""
        oldest = int((time.time() - self._keep_deleted) // HOUR)
        for folder in self.deleted():
            if int(folder.name) < oldest or self._is_nearly_full():
                shutil.rmtree(folder, ignore_errors=True)

    def _is_nearly_full(self) -> bool:
        total, _, free = shutil.disk_usage(self.location)
        return free < total * ROOM

    def empty(self) -> bool:
        """Removes all that was deleted; returns whether there was any."""
        folders = self.deleted()
        for folder in folders:
            shutil.rmtree(folder, ignore_errors=True)
        return bool(folders)

    def deleted(self) -> list[Path]:
        """The folders of what was deleted, oldest first: in each, files lie as they lay in MEDIA_ROOT."""
        found = [path for path in Path(self.location, DELETED).glob("*") if path.name.isdecimal()]
        return sorted(found, key=lambda path: int(path.name))

    def deleted_since(self, moment: float) -> list[Path]:
        """Such folders with what was deleted since then, in seconds since 1970, and with some that was before."""
        return [path for path in self.deleted() if int(path.name) >= moment // HOUR]

    def is_name_available(self, name: str, max_length: int | None = None) -> bool:
        """Not one of a file that is deleted and kept, or a backup would find two files of one name."""
        kept = (folder / name for folder in self.deleted())
        return super().is_name_available(name, max_length) and not any(map(os.path.lexists, kept))


def make_folder(storage: FileSystemStorage, folder: Path) -> None:
    """Makes a folder of a storage, and those above it that are missing, with its mode, whatever the umask."""
    mode = storage.directory_permissions_mode
    if mode is None:
        folder.mkdir(parents=True, exist_ok=True)
    else:  # for each one that is missing
        safe_makedirs(folder, mode, exist_ok=True)


def place(part: Path, path: Path) -> None:
    """Gives a written file its name, and replaces nothing. Raises FileExistsError where the name is taken.

    Without hard links an empty file holds the name for a moment.
    """
    try:
        os.link(part, path)
    except OSError as error:
        if error.errno not in NO_LINKS:
            raise
        path.touch(exist_ok=False)
        try:
            part.replace(path)
        except BaseException:
            path.unlink()
            raise


def sync_folder(folder: Path) -> None:
    """Waits until the names in a folder are on the disk, as a row that has one of them will be."""
    opened = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(opened)
    except OSError as error:
        if error.errno != errno.EINVAL:  # CIFS, say, can't
            raise
    finally:
        os.close(opened)
