"""Static files, compressed; tests/live/test_static_files.py collects those of a project."""

import gzip
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from servestatic.compress import Compressor
from serving.http.static_storage import KeepingCompressor


@pytest.fixture
def compressed(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """What gzip is asked to compress."""
    asked: list[bytes] = []
    real: Callable[[bytes], bytes] = Compressor.compress_gzip

    def compress_gzip(data: bytes) -> bytes:
        asked.append(data)
        return real(data)

    monkeypatch.setattr(Compressor, "compress_gzip", staticmethod(compress_gzip))
    return asked


def test_the_same_bytes_are_compressed_once(tmp_path: Path, compressed: list[bytes]) -> None:
    """In many threads at once, as collectstatic does it."""
    contents = [b"tea" * 50_000, b"cup" * 50_000]
    files = [tmp_path / f"{number}.css" for number in range(20)]
    for number, file in enumerate(files):
        file.write_bytes(contents[number % 2])

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(KeepingCompressor(use_zstd=False, quiet=True).compress, files))

    assert sorted(compressed) == sorted(contents)
    for file in files:
        assert gzip.decompress(file.with_name(f"{file.name}.gz").read_bytes()) == file.read_bytes()
        assert file.with_name(f"{file.name}.br").stat().st_size > 0


def test_an_error_reaches_everyone_who_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(data: bytes) -> bytes:
        raise MemoryError("no room")

    monkeypatch.setattr(Compressor, "compress_gzip", staticmethod(fail))
    compressor = KeepingCompressor(use_zstd=False, use_brotli=False, quiet=True)
    for name in ("a.css", "b.css"):
        (tmp_path / name).write_bytes(b"tea" * 1000)
        with pytest.raises(MemoryError, match="no room"):
            compressor.compress(tmp_path / name)


def test_what_was_compressed_is_kept_by_its_content(
    tmp_path: Path, compressed: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """For the next build of an image, whose folder of static files begins empty."""
    kept = tmp_path / "kept"
    kept.mkdir()
    monkeypatch.setenv("STATIC_CACHE", str(kept))
    texts = [b"tea" * 1000, b"tea" * 1000, b"cup" * 1000]
    for number, text in enumerate(texts):
        file = tmp_path / f"{number}.css"
        file.write_bytes(text)
        KeepingCompressor(use_zstd=False, quiet=True).compress(file)
        assert gzip.decompress(file.with_name(f"{file.name}.gz").read_bytes()) == text
    assert compressed == [texts[0], texts[2]]
    assert sorted(path.suffix for path in kept.iterdir()) == [".br", ".br", ".gz", ".gz"]
