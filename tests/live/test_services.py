"""What is said where a server is missing, and that one which answers is left alone."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import TEMPLATE
from tests.support.packages import TOOLS
from tests.support.server import free_port


@pytest.fixture
def port() -> int:
    """A port that nobody listens on."""
    return free_port()


def services(tmp_path: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Asks for the services on a machine without an engine."""
    return subprocess.run(
        [sys.executable, "-I", "-B", TEMPLATE / TOOLS, "services"],
        env={"PATH": str(tmp_path), "SYSTEMROOT": os.environ.get("SYSTEMROOT", "")} | variables,
        capture_output=True,
        text=True,
        check=False,
    )


def test_without_an_engine_one_line_says_what_to_set(tmp_path: Path, port: int) -> None:
    url = f"postgres://ada:hunter2@127.0.0.1:{port}/shop"
    done = services(tmp_path, DATABASE_URL=url)

    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert f"nothing listens on 127.0.0.1:{port}" in line
    assert "set DATABASE_URL=postgres://user:password@host:5432/name" in line
    assert "hunter2" not in line


def test_the_engine_is_the_one_that_was_named(tmp_path: Path, port: int) -> None:
    done = services(tmp_path, DATABASE_URL=f"postgres://127.0.0.1:{port}/shop", ENGINE="podman")

    assert done.returncode == 1
    assert "no engine (podman) answers" in done.stderr


def test_a_cache_may_be_missing(tmp_path: Path, port: int) -> None:
    done = services(tmp_path, CACHE_URL=f"redis://127.0.0.1:{port}/0")

    assert done.returncode == 0
    assert "set CACHE_URL=redis://host:6379/0" in done.stderr


def test_what_answers_and_what_is_elsewhere_is_left_alone(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        done = services(
            tmp_path,
            DATABASE_URL=f"postgres://127.0.0.1:{port}/shop",
            CACHE_URL="redis://cache.example/0",
        )

    assert (done.returncode, done.stderr) == (0, "")
