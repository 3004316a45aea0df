"""Static files under hashed names, compressed: what `collectstatic` has compressed already stays."""

import gzip
import hashlib
import os
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

from servestatic.compress import Compressor
from servestatic.storage import CompressedManifestStaticFilesStorage


class StaticFilesStorage(CompressedManifestStaticFilesStorage):  # type: ignore[misc]  # it has no types
    """servestatic's, for a folder that is kept: it compresses every file each time; open in 4.4.0.

    https://github.com/Archmonger/ServeStatic/blob/4.4.0/src/servestatic/storage.py#L202
    """

    def create_compressor(self, **options: Any) -> Compressor:
        # Which Python 3.14 has: each browser that reads it reads Brotli too, and that is smaller.
        return KeepingCompressor(**options | {"use_zstd": False})


class KeepingCompressor(Compressor):  # type: ignore[misc]  # it has no types
    """Compresses a file unless that was done, which takes a hundredth of the time.

    Nearly every file is the same bytes under its own name and under its hashed one: they are compressed
    once. Where the variable STATIC_CACHE names a folder, what was compressed is kept there by its content,
    and found again by the next build of an image: 0.8 s in place of 3.6.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._compressed: dict[str, Future[bytes]] = {}

    def compress_brotli(self, data: bytes) -> bytes:
        return self._once("br", super().compress_brotli, data)

    def compress_gzip(self, data: bytes) -> bytes:
        return self._once("gz", super().compress_gzip, data)

    def _once(self, kind: str, compress: Callable[[bytes], bytes], data: bytes) -> bytes:
        """What was made of the same bytes before, or what another thread makes of them now."""
        name = f"{hashlib.sha256(data).hexdigest()}.{kind}"
        own = Future[bytes]()
        first = self._compressed.setdefault(name, own)
        if first is own:
            try:
                own.set_result(cached(name, compress, data))
            except BaseException as error:
                own.set_exception(error)
        return first.result()

    def compress(self, path: str | os.PathLike[str]) -> list[str]:
        """The names of the compressed files."""
        path = os.fspath(path)
        kept = [path + suffix for suffix in self.suffixes()]
        if not kept or not all(map(os.path.exists, kept)) or not holds(kept[-1], path):
            made: list[str] = super().compress(path)
            return made
        # As a file that was compressed just now; Django writes some files again that have not changed.
        status = os.stat(path)
        for name in kept:
            os.utime(name, (status.st_atime, status.st_mtime))
        return kept

    def suffixes(self) -> list[str]:
        """What the compressed files end in, in the order in which they are written."""
        wanted = ((".br", self.use_brotli), (".gz", self.use_gzip))
        return [suffix for suffix, is_used in wanted if is_used]


def cached(name: str, compress: Callable[[bytes], bytes], data: bytes) -> bytes:
    """What STATIC_CACHE has under this name, or else compresses, and keeps that there."""
    folder = os.environ.get("STATIC_CACHE")
    if not folder:
        return compress(data)
    kept = Path(folder, name)
    with suppress(FileNotFoundError):
        return kept.read_bytes()
    made = compress(data)
    with NamedTemporaryFile(dir=folder, delete=False) as file:  # two builds may share the folder
        file.write(made)
    os.replace(file.name, kept)
    return made


def holds(compressed: str, path: str) -> bool:
    """Whether a compressed file, the last that is written of them, is whole and of this file.

    Times say nothing: `git checkout` and a restored backup bring old ones back.
    """
    if not compressed.endswith(".gz"):
        return False
    with open(path, "rb") as original, gzip.open(compressed) as opened:
        try:
            return original.read() == opened.read()
        except (OSError, EOFError):  # it was cut short
            return False
