"""Uploads in a folder: each is there as a whole or not at all, also where the disk is full.

https://docs.djangoproject.com/en/6.1/ref/files/storage/
"""

import os
import shutil
import time
from collections.abc import Iterator
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
    own. What is deleted leaves its place at once and lies `keep_deleted` seconds (in hours, rounded up; 0 for not
    at all) in `.deleted`: so a copy of the database finds all files that it names, if those are copied after it.
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
            self._make_folder(path.parent)
            self._write(part, content)
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

    def _make_folder(self, folder: Path) -> None:
        mode = self.directory_permissions_mode
        if mode is None:
            folder.mkdir(parents=True, exist_ok=True)
        else:  # for each one that is missing
            safe_makedirs(folder, mode, exist_ok=True)

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
            os.link(part, path)

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
                if not kept.parent.exists():
                    self.purge()
                    safe_makedirs(kept.parent, 0o700, exist_ok=True)
                with suppress(FileNotFoundError):  # another was faster
                    path.replace(kept)
                return
            except OSError:  # no room for a folder, say, and to delete it makes room
                pass
        super().delete(name)

    def purge(self) -> None:
        """Removes what was deleted more than `keep_deleted` seconds ago."""
        oldest = int((time.time() - self._keep_deleted) // HOUR)
        for folder in self.deleted():
            if int(folder.name) < oldest:
                shutil.rmtree(folder, ignore_errors=True)

    def deleted(self) -> Iterator[Path]:
        """The folders of what was deleted: in each, files lie as they lay in MEDIA_ROOT."""
        yield from Path(self.location, DELETED).glob("[0-9]*")

    def is_name_available(self, name: str, max_length: int | None = None) -> bool:
        """Not one of a file that is deleted and kept, or a backup would find two files of one name."""
        kept = (folder / name for folder in self.deleted())
        return super().is_name_available(name, max_length) and not any(map(os.path.lexists, kept))


def sync_folder(folder: Path) -> None:
    """Waits until the names in a folder are on the disk, as a row that has one of them will be."""
    opened = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
