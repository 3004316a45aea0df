"""The terminal in docs/images/: what stock Granian says of Django, and what a project does. `make pictures` draws it."""

import subprocess
from pathlib import Path

import pytest

from tests.conftest import Run, clean_environment
from tests.support.owner import Owner
from tests.support.pictures import assert_drawn, terminal, tidy
from tests.support.server import free_port, wait_for
from tests.support.sites import put_lifespan


def test_before(tmp_path: Path, run: Run, environment: Path) -> None:
    """Django as `startproject` makes it: a warning, and it serves without a lifespan."""
    run(tmp_path, "django-admin", "startproject", "mysite", ".")
    command = ["granian", "--interface", "asgi", "mysite.asgi:application"]
    file = tmp_path / "log"
    with file.open("w") as log:
        process = subprocess.Popen(
            [environment / "bin" / command[0], *command[1:], "--port", str(free_port())],
            cwd=tmp_path, env=clean_environment(), stdout=log, stderr=log,
        )  # fmt: skip
        try:
            wait_for(lambda: "Started worker-1" in file.read_text(), "a worker")
        finally:
            process.terminate()
            process.wait()
    said, _, _ = file.read_text().partition("[INFO] Shutting down")
    lines = [f"$ {' '.join(command)}", *tidy(said, {})]
    assert_drawn("before.svg", terminal(lines, "Granian serves Django, without a lifespan"))


def test_after(project: Path, run: Run, environment: Path) -> None:
    """A project of this template, whose app fails at startup: a traceback, and no server."""
    if run(project, "python", "-V").stdout.split()[1].split(".")[:2] != ["3", "14"]:
        pytest.skip("the picture is of Python 3.14")
    put_lifespan(project, "fails")
    owner = Owner(project, environment)
    done = owner.make("run", f"PORT={free_port()}", check=False, LOG_FORMAT="console")
    assert done.returncode == 2, "make's own, for one that fails"
    lines = tidy(done.stdout, {owner.variables["UV"]: "uv", str(project): "/app"})
    assert_drawn(
        "after.svg",
        terminal(["$ make run LOG_FORMAT=console", *lines], "A startup that fails ends the server"),
    )
