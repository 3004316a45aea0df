"""Uploads in an archive of their own, beside a backup of the database: `manage.py backup_media`.

A tar file without compression, which most uploads have already. It is written and read piece by piece.
"""

import os
import shutil
import stat
import tarfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from secrets import token_hex
from typing import IO

from django.core.files.storage import FileSystemStorage, storages
from django.core.management.base import CommandError

from serving.media.kinds import is_plain
from serving.media.storage import FileStorage, make_folder, place

PIECE = 1024 * 1024
ENDING = ".media.tar"

# In seconds since 1970: before a command copies the database, since it imports this module first.
STARTED = time.time()
INACCURACY = 2.0  # of a file's times, in seconds; on FAT

type Files = Iterable[tuple[str, Path]]  # the name of each upload, and where it lies


def beside(backup: Path) -> Path:
    """Where the uploads of a backup are: db.sqlite3.media.tar, beside db.sqlite3."""
    return backup.with_name(backup.name + ENDING)


def save_beside(backup: Path, since: float = STARTED) -> str:
    """Writes all uploads beside a backup of the database; returns what to tell. Raises CommandError.

    `since`: a moment before the database was copied, in seconds since 1970.
    """
    storage = storages["default"]
    if not isinstance(storage, FileSystemStorage):
        return f"uploads are in {named(storage)}, and not in this backup"
    number = save(beside(backup), since)
    return (
        f"{number:,} uploads are in {beside(backup)}" if number else f"no uploads are in {folder()}"
    )


@contextmanager
def restoring_beside(backup: Path) -> Iterator["Restoring"]:
    """Reads the uploads beside a backup of the database, to be put back once that is. Raises CommandError."""
    source = beside(backup)
    if source.exists() and not isinstance(storages["default"], FileSystemStorage):
        raise CommandError(
            f"{source} holds uploads, and they are kept in {named(storages['default'])}: move it away"
            " to restore the database alone"
        )
    with Restoring(source if source.exists() else None) as restoring:
        yield restoring


def folder() -> Path:
    """Where uploads are kept. Raises CommandError where that is no folder."""
    return Path(folders().location)


def folders() -> FileSystemStorage:
    """The storage of uploads. Raises CommandError where that is no folder's."""
    storage = storages["default"]
    if not isinstance(storage, FileSystemStorage):
        raise CommandError(f"uploads are in no folder of this machine, but in {named(storage)}")
    return storage


def named(storage: object) -> str:
    """A store as people name it, without a secret."""
    bucket = getattr(storage, "bucket_name", None)
    return f"s3://{bucket}" if bucket else type(storage).__name__


@contextmanager
def errors_in_one_line() -> Iterator[None]:
    """Raises CommandError, which `manage.py` prints as one line, for what a user can correct."""
    try:
        yield
    except (OSError, tarfile.TarError) as error:
        raise CommandError(error) from error


@errors_in_one_line()
def save(target: Path, since: float | None = None) -> int:
    """Writes all uploads into a new archive; returns how many. Without any, there is no archive.

    Files that were deleted since then (in seconds since 1970; None: meanwhile) are in it as well: it fits each copy
    of the database that was made in that time. What was deleted before is not, or a restore would have everybody
    see it again. Raises CommandError.
    """
    since = time.time() if since is None else since
    storage, root = storages["default"], folder()
    if target.exists():
        raise CommandError(f"{target} is there already")
    number = 0
    with replacing(target) as (part, file):
        with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as archive:
            number += add(archive, files(root))
            if isinstance(storage, FileStorage):
                for deleted in storage.deleted_since(since - INACCURACY):
                    number += add(archive, files(deleted), since - INACCURACY)
        if number:
            place(part, target)  # as a rename, but it replaces nothing
    return number


@contextmanager
def replacing(target: Path) -> Iterator[tuple[Path, IO[bytes]]]:
    """A file beside another, for its owner's eyes alone, and gone at the end."""
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f".{target.name}.{token_hex(4)}.part")
    try:
        with open(os.open(part, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600), "w+b") as file:
            yield part, file
    finally:
        part.unlink(missing_ok=True)


def files(root: Path) -> Iterator[tuple[str, Path]]:
    """What is an upload below a folder: a file, no link, and nothing whose name begins with a dot."""
    for here, folders, names in os.walk(root):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for each in sorted(names):
            path = Path(here, each)
            name = path.relative_to(root).as_posix()
            with suppress(FileNotFoundError):  # it is deleted meanwhile, and found where it went
                if is_plain(name) and stat.S_ISREG(path.lstat().st_mode):
                    yield name, path


def add(archive: tarfile.TarFile, found: Files, since: float = 0.0) -> int:
    """Adds files that changed since then, but for those that are gone when their turn comes; returns how many."""
    number = 0
    for name, path in found:
        try:
            opened = path.open("rb")
        except FileNotFoundError:
            continue
        with opened:
            status = os.fstat(opened.fileno())
            if status.st_mtime < since:
                continue
            info = tarfile.TarInfo(name)
            info.size, info.mtime, info.mode = status.st_size, status.st_mtime, 0o644
            archive.addfile(info, opened)
        number += 1
    return number


class Restoring:
    """Uploads of an archive that are about to be put back; nothing has changed yet.

    They lie beside those that are there: all that are missing, or are others than in the archive. A context
    manager, which removes at its end what was not put back.
    """

    @errors_in_one_line()
    def __init__(self, source: Path | None) -> None:
        """Reads an archive, if there is one. Raises CommandError for one that is damaged, or holds no uploads."""
        self.source = source
        self.names: set[str] = set()
        self.done = 0  # how many are in their places
        if source is None:
            return
        if not source.is_file():
            raise CommandError(f"there is no backup {source}")
        self.storage, self.root = folders(), folder()
        make_folder(self.storage, self.root)
        self.stage = self.root / f".restore-{token_hex(4)}"
        self.stage.mkdir(mode=0o700)
        try:
            with source.open("rb") as file:
                check_end(file)
                with tarfile.open(fileobj=file, mode="r:") as archive:
                    for member in archive:
                        self._extract(archive, member)
        except BaseException:
            self._remove()
            raise

    def _extract(self, archive: tarfile.TarFile, member: tarfile.TarInfo) -> None:
        if not member.isreg() or not is_plain(member.name):
            raise CommandError(f"{self.source}: {member.name!r} in it is no upload")
        there = self.root / member.name
        if not there.parent.resolve().is_relative_to(self.root.resolve()):
            raise CommandError(
                f"{self.source}: {member.name!r} in it would lie elsewhere, by a link"
            )
        if taken := in_the_way(self.root, member.name):
            raise CommandError(
                f"{self.source}: {member.name!r} in it can't be put back, since {taken} is there: move that away"
            )
        if there.is_file() and has_content(there, opened(archive, member)):
            return
        self.names.add(member.name)  # which is there twice if it was deleted meanwhile
        target = self.stage / member.name
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("wb") as file:
            shutil.copyfileobj(opened(archive, member), file, PIECE)
            os.fchmod(file.fileno(), 0o644)
        os.utime(target, (member.mtime, member.mtime))

    def put_back(self) -> str:
        """Puts them in their places, and what they replace into an archive; returns what to tell.

        Uploads that are not in the archive stay, so nothing is lost. Raises CommandError, which tells how many are
        in their places: a second time, only the others are put back.
        """
        if self.source is None:
            return "there are no uploads beside it"
        try:
            return self._put_back(self.source)
        except (OSError, tarfile.TarError) as error:
            raise CommandError(
                f"{self.done:,} of {len(self.names):,} uploads of {self.source} were put back: {error};"
                f" `manage.py restore_media {self.source}` puts back the others"
            ) from error

    def _put_back(self, source: Path) -> str:
        told = f"{len(self.names):,} uploads were put back"
        replaced = [
            (name, self.root / name) for name in sorted(self.names) if (self.root / name).exists()
        ]
        if replaced:
            kept = source.with_name(f"before-restore-{now()}{ENDING}")
            with replacing(kept) as (part, file):
                with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as archive:
                    add(archive, replaced)
                place(part, kept)
            told += f", and {len(replaced):,} that they replace are in {kept}"
        for name in self.names:
            target = self.root / name
            make_folder(self.storage, target.parent)
            (self.stage / name).replace(target)
            self.done += 1
        return told

    def _remove(self) -> None:
        if self.source is not None:
            shutil.rmtree(self.stage, ignore_errors=True)

    def __enter__(self) -> "Restoring":
        return self

    def __exit__(self, *_: object) -> None:
        self._remove()


def in_the_way(root: Path, name: str) -> Path | None:
    """A folder where an upload would lie, or a file where one of its folders would; None where neither is."""
    path = root / name
    if path.is_dir():
        return path
    above = [root / each for each in Path(name).parents]
    return next((each for each in above if each.exists() and not each.is_dir()), None)


def opened(archive: tarfile.TarFile, member: tarfile.TarInfo) -> IO[bytes]:
    """The content of a file in an archive."""
    found = archive.extractfile(member)
    if found is None:
        raise tarfile.ReadError(f"{member.name!r} has no content")
    return found


def has_content(path: Path, other: IO[bytes]) -> bool:
    with path.open("rb") as file:
        while True:
            piece = file.read(PIECE)
            if piece != other.read(PIECE):
                return False
            if not piece:
                return True


def check_end(file: IO[bytes]) -> None:
    """Raises ReadError unless an archive has its end: one that was cut between two files looks whole."""
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - 2 * tarfile.BLOCKSIZE))
    if file.read() != bytes(2 * tarfile.BLOCKSIZE):
        raise tarfile.ReadError(
            f"{getattr(file, 'name', 'the archive')} is no whole archive of uploads"
        )
    file.seek(0)


def now() -> str:
    """The time, as names of backups have it."""
    return datetime.now(UTC).strftime("%Y%m%dT%H%M%S%fZ")
