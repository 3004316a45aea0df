"""Static files, compressed; tests/live/test_static_files.py collects those of a project."""

import gzip
import os
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from servestatic.compress import Compressor
from serving.http.static_storage import KeepingCompressor, StaticFilesStorage


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


def test_none_may_be_asked_for(tmp_path: Path) -> None:
    file = tmp_path / "a.css"
    file.write_bytes(b"tea" * 1000)
    nothing = KeepingCompressor(use_zstd=False, use_brotli=False, use_gzip=False, quiet=True)
    assert list(nothing.compress(file)) == []


def test_what_was_compressed_is_kept_by_its_content(
    tmp_path: Path, compressed: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """For the next build of an image, whose folder of static files begins empty."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "none"))  # it may be another disk
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
    texts_kept = {gzip.decompress(path.read_bytes()) for path in kept.glob("*.gz")}
    assert texts_kept == set(texts)


def compress(file: Path, **options: bool) -> list[str]:
    return sorted(KeepingCompressor(use_zstd=False, quiet=True, **options).compress(file))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file that was compressed."""
    file = tmp_path / "tea.css"
    file.write_bytes(b"tea" * 1000)
    assert compress(file) == [f"{file}.br", f"{file}.gz"]
    return file


def test_what_is_compressed_already_stays_and_is_as_old_as_its_file(
    compressed: list[bytes], file: Path
) -> None:
    os.utime(file, (1_000_000_000, 1_100_000_000))  # as `git checkout` may
    names = compress(file)
    assert names == [f"{file}.br", f"{file}.gz"]
    assert len(compressed) == 1
    assert {os.stat(name).st_mtime for name in names} == {1_100_000_000}


@pytest.mark.parametrize(
    ("name", "becomes"),
    [
        ("tea.css", b"cup" * 1000),
        ("tea.css.br", None),
        ("tea.css.gz", None),
        ("tea.css.gz", b"no gzip"),
        ("tea.css.gz", gzip.compress(b"cup" * 1000)),
        ("tea.css.gz", gzip.compress(b"tea" * 1000)[:-6]),  # it was cut short
    ],
    ids=["changed", "no Brotli", "no gzip", "broken", "of another file", "cut short"],
)
def test_what_is_not_whole_or_of_another_file_is_compressed_again(
    compressed: list[bytes], file: Path, name: str, becomes: bytes | None
) -> None:
    changed = file.with_name(name)
    changed.unlink()
    if becomes is not None:
        changed.write_bytes(becomes)
    assert compress(file) == [f"{file}.br", f"{file}.gz"]
    assert len(compressed) == 2
    assert gzip.decompress(file.with_name("tea.css.gz").read_bytes()) == file.read_bytes()
    assert file.with_name("tea.css.br").exists()


def test_without_gzip_there_is_nothing_to_compare_with(file: Path) -> None:
    small = file.with_name("tea.css.br").read_bytes()
    file.write_bytes(b"cup" * 1000)
    assert compress(file, use_gzip=False) == [f"{file}.br"]
    assert file.with_name("tea.css.br").read_bytes() != small


def test_collectstatic_compresses_with_it_and_not_for_zstandard() -> None:
    made = StaticFilesStorage.create_compressor(object(), quiet=True, use_brotli=False)  # type: ignore[arg-type]
    assert isinstance(made, KeepingCompressor)
    assert made.suffixes() == [".gz"]
    assert not made.use_zstd
