"""`make run` collects the static files each time, and compresses those alone that have changed."""

import gzip
import os
from pathlib import Path

import pytest

from tests.conftest import Run, Serve
from tests.support.server import server_environment

CSS = "site.css"
MARK = b"kept"  # in place of what Brotli has made, which nobody reads again


def collect(project: Path, run: Run) -> Path:
    """What `make run` begins with; the hashed name of the page's style sheet."""
    command = ("manage.py", "collectstatic", "--noinput", "--verbosity", "0")
    run(project, "python", *command, **server_environment(project))
    names = [path for path in (project / "staticfiles").glob("site.*.css") if path.is_file()]
    return max(names, key=lambda path: path.stat().st_mtime_ns)


def brotli(path: Path) -> Path:
    return path.with_name(f"{path.name}.br")


def mark(path: Path) -> None:
    for each in (path, path.with_name("site.css")):
        assert brotli(each).stat().st_size > len(MARK)
        brotli(each).write_bytes(MARK)


def test_what_has_not_changed_is_not_compressed_again(project: Path, run: Run) -> None:
    css = collect(project, run)
    mark(css)

    assert collect(project, run) == css

    for each in (css, css.with_name("site.css")):
        assert brotli(each).read_bytes() == MARK
        for suffix in (".br", ".gz"):
            compressed = each.with_name(each.name + suffix).stat()
            assert compressed.st_mtime == each.stat().st_mtime, "all have one Last-Modified"


@pytest.mark.parametrize("age", [0, -10_000_000], ids=["new", "older than what is there"])
def test_an_edit_is_compressed_and_served(project: Path, run: Run, serve: Serve, age: int) -> None:
    """An older file too: `git checkout` and a restored copy bring one back."""
    before = collect(project, run)
    mark(before)
    source = project / "static" / "site.css"
    source.write_text(source.read_text() + "\n.tea { color: green }\n" * 40)
    if age:
        (project / "staticfiles" / "site.css").unlink()  # else Django itself keeps it
        os.utime(source, (source.stat().st_atime + age, source.stat().st_mtime + age))

    after = collect(project, run)

    assert after != before
    for each in (after, after.with_name("site.css")):
        assert brotli(each).read_bytes() != MARK
        assert b".tea" in gzip.decompress(each.with_name(f"{each.name}.gz").read_bytes())
    server = serve(project).ready()
    answer = server.get(f"/static/{after.name}", headers={"Accept-Encoding": "gzip"})
    assert answer.headers["content-encoding"] == "gzip"
    assert ".tea" in answer.text


@pytest.mark.parametrize("damage", ["a .gz cut short", "no .gz", "no .br", "another's .gz"])
def test_what_a_killed_run_left_is_compressed_again(project: Path, run: Run, damage: str) -> None:
    css = collect(project, run)
    mark(css)
    zipped = css.with_name(f"{css.name}.gz")
    if damage == "a .gz cut short":
        zipped.write_bytes(zipped.read_bytes()[:-20])
    elif damage == "another's .gz":
        zipped.write_bytes(gzip.compress(b"body {}"))
    else:
        (zipped if damage == "no .gz" else brotli(css)).unlink()

    assert collect(project, run) == css

    assert brotli(css).read_bytes() != MARK
    assert gzip.decompress(zipped.read_bytes()) == css.read_bytes()
