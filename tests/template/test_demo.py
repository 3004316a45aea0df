"""`make demo`, as somebody sees it who tries the template."""

import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pexpect
import pytest

from tests.conftest import ROOT, clean_environment
from tests.support.command import working_tree
from tests.support.server import PATIENCE, free_port, listens

Demo = Callable[[int], Any]


@pytest.fixture
def template(tmp_path: Path) -> Path:
    """The template as a clone of it is, with what its own `make` installs there already."""
    folder = tmp_path / "my templates"
    folder.mkdir()
    working_tree(folder)
    (folder / ".venv").symlink_to(ROOT / ".venv")
    return folder


@pytest.fixture
def demo(template: Path) -> Iterator[Demo]:
    """`make demo` in a terminal."""
    children = []

    def start(port: int) -> Any:
        arguments = ["-o", ".venv/.synced", "demo", f"PORT={port}"]
        child = pexpect.spawn(
            "make", arguments, cwd=str(template), env=clean_environment() | {"TERM": "dumb"},
            encoding="utf-8", timeout=3 * PATIENCE, dimensions=(50, 300),
        )  # fmt: skip
        children.append(child)
        return child

    yield start
    for child in children:
        child.close(force=True)


def test_the_address_comes_last_and_the_folder_is_the_true_one(template: Path, demo: Demo) -> None:
    port = free_port()
    child = demo(port)

    child.expect(r"\r\nThe project in (/.*)/ answers on (http://\S+) \(Ctrl-C stops it\)\r\n")

    folder, address = child.match.groups()
    assert Path(folder) == template / "build" / "demo" / "my-project"
    assert (Path(folder) / "manage.py").exists()
    assert address == f"http://127.0.0.1:{port}/"
    assert "Started worker-1" in child.before
    assert "cd my-project" not in child.before, "from here, that folder is not there"
    page = httpx.get(address, timeout=PATIENCE, verify=False)  # noqa: S501
    assert page.status_code == 200
    child.sendintr()
    child.expect(pexpect.EOF)
    assert "Traceback" not in child.before
    assert not listens(port), "the server has gone as well"


def test_a_port_that_is_taken_is_said_and_nothing_waits(demo: Demo) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        child = demo(port)
        child.expect(pexpect.EOF)
        assert f"127.0.0.1:{port} is taken by" in child.before
        assert "answers on" not in child.before
        child.close()
        assert child.exitstatus != 0
