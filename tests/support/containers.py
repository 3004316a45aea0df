"""A generated project's image, containers of it, and its Compose project, on a real engine.

Where no engine answers, tests that need one skip and say so.
"""

import json
import os
import re
import shutil
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import pytest
from filelock import FileLock

from tests.conftest import BUILD, ROOT, bake_into, clean_environment
from tests.support.server import PATIENCE, SECRET_KEY, wait_for

UV = ROOT / ".venv" / "bin" / "uv"

# As Compose runs it; every container of these tests is run so.
HARDENED = ["--read-only", "--tmpfs=/tmp", "--cap-drop=ALL", "--security-opt=no-new-privileges"]


def worker_number() -> int:
    """Which process of pytest-xdist this is, from 0."""
    return int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))


def docker(
    *arguments: str | Path, check: bool = True, cwd: Path | None = None, **variables: str
) -> str:
    """What a command of the engine prints: its output, then its errors.

    Never as one stream: an error that comes in pieces would have a line of the output in it.
    """
    done = subprocess.run(
        ["docker", *arguments],
        cwd=cwd,
        env=clean_environment() | variables,
        capture_output=True,
        text=True,
        check=False,
    )
    said = f"{done.stdout.strip()}\n{done.stderr.strip()}".strip()
    assert not check or done.returncode == 0, f"docker {arguments}: {said}"
    return said


def require_engine() -> None:
    """Skips the test where no engine answers."""
    reason = "no container engine answers"
    if shutil.which("docker"):
        done = subprocess.run(["docker", "info"], capture_output=True, check=False)
        if done.returncode == 0:
            return
        reason = f"{reason}: {done.stderr.decode().strip().splitlines()[-1]}"
    pytest.skip(reason)


def locked_project(folder: Path, **answers: Any) -> Path:
    """A generated project with its lock file and its .env, as `make lock .env` gives them."""
    project = bake_into(folder, **answers)
    make(project, "lock", ".env", UV_NO_SYNC="1")
    return project


def make(project: Path, *arguments: str, check: bool = True, **variables: str) -> str:
    """What `make` prints in a project's folder, on both streams."""
    done = subprocess.run(
        ["make", "--no-print-directory", f"UV={UV}", *arguments],
        cwd=project,
        env=clean_environment()
        | {"UV_PROJECT_ENVIRONMENT": str(project.parent / ".environment")}
        | variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert not check or done.returncode == 0, f"make {arguments}: {done.stdout}"
    return done.stdout


def build(project: Path, tag: str, *options: str, check: bool = True) -> str:
    """Builds a project's image; returns what the build says. One at a time: each wants every core."""
    BUILD.mkdir(exist_ok=True)
    with FileLock(BUILD / "image.lock"):
        return docker("build", "--progress=plain", *options, "--tag", tag, project, check=check)


class Container:
    """A container of an image's default command, on a free port of this machine."""

    def __init__(self, image: str, *options: str, command: tuple[str, ...] = ()) -> None:
        self.id = docker(
            "run", "--detach", "--publish=127.0.0.1::8000", *HARDENED,
            f"--env=SECRET_KEY={SECRET_KEY}", *options, image, *command,
        ).splitlines()[0]  # fmt: skip

    @property
    def state(self) -> dict[str, Any]:
        state: dict[str, Any] = json.loads(docker("inspect", self.id))[0]["State"]
        return state

    @property
    def log(self) -> str:
        return docker("logs", self.id)

    @property
    def records(self) -> list[dict[str, Any]]:
        """The log's records, parsed; lines that are no JSON are left out."""
        return [json.loads(line) for line in self.log.splitlines() if line.startswith("{")]

    def messages(self, logger: str) -> list[str]:
        """What one logger has said so far."""
        return [record["message"] for record in self.records if record["log.logger"] == logger]

    @property
    def address(self) -> str:
        """Where it is published, anew after each start."""
        return f"http://{docker('port', self.id, '8000/tcp').splitlines()[0]}"

    def get(self, path: str, **options: Any) -> httpx.Response:
        """One request, on a connection of its own, to the name that the image serves by default."""
        headers = {"Host": "example.com"} | options.pop("headers", {})
        return httpx.get(
            self.address + path, headers=headers, timeout=PATIENCE, verify=False, **options  # noqa: S501
        )  # fmt: skip

    def ready(self, path: str = "/readyz", status: int = 200) -> "Container":
        """Waits until a probe answers so."""

        def answers() -> bool:
            if not self.state["Running"]:
                raise AssertionError(f"it ended:\n{self.log}")
            try:
                return self.get(path).status_code == status
            except httpx.TransportError:
                return False

        wait_for(answers, f"{path} to answer {status}")
        return self

    def wait(self) -> int:
        """Waits for the end; returns the exit status."""
        wait_for(lambda: not self.state["Running"], "the end of the container")
        status: int = self.state["ExitCode"]
        return status

    def stop(self) -> int:
        """`docker stop`, with the time that Compose gives; returns the exit status."""
        docker("stop", "--time=30", self.id)
        return self.wait()

    def run(self, *command: str, check: bool = True) -> str:
        """Runs a command in it."""
        return docker("exec", self.id, *command, check=check)

    def remove(self) -> None:
        docker("rm", "--force", "--volumes", self.id, check=False)


# Counted, and each process of the tests has a range of its own: two at random would meet one day.
NETWORKS = (f"10.{200 + worker_number()}.{third}" for third in count(1))


def free_network() -> str:
    """The first three numbers of a network that the engine does not have, as PROXY_NETWORK takes them."""
    taken = docker("network", "inspect", *docker("network", "ls", "--quiet").splitlines())
    return next(each for each in NETWORKS if f'"{each}.' not in taken)


class Compose:
    """A project's containers, as its Make targets start them. Names, ports and network are its own."""

    def __init__(self, project: Path, **variables: str) -> None:
        self.project = project
        self.name = f"test-{uuid.uuid4().hex[:8]}"
        self.variables = {
            "COMPOSE_PROJECT_NAME": self.name,
            "IMAGE": self.name,
            **dict.fromkeys(("PORT", "POSTGRES_PORT", "VALKEY_PORT", "HTTP_PORT", "HTTPS_PORT"), "0"),
            "PROXY_NETWORK": free_network(),
            **variables,
        }  # fmt: skip

    def make(self, *arguments: str, check: bool = True, **variables: str) -> str:
        """`make` in the project's folder, with these containers for its own."""
        return make(self.project, *arguments, check=check, **self.variables | variables)

    def __call__(self, *arguments: str, check: bool = True) -> str:
        """A command of Compose."""
        return docker("compose", *arguments, check=check, cwd=self.project, **self.variables)

    def containers(self, service: str) -> list[str]:
        """The ids of a service's containers."""
        return self("ps", "--all", "--quiet", service).splitlines()

    def inspect(self, service: str) -> dict[str, Any]:
        """What the engine knows of a service's first container."""
        found: dict[str, Any] = json.loads(docker("inspect", self.containers(service)[0]))[0]
        return found

    def address(self, service: str = "web", port: int = 8000) -> str:
        """Host and port that a service is published on."""
        said = self("port", service, str(port), check=False)
        if not (found := re.search(r"(?:127\.0\.0\.1|0\.0\.0\.0):\d+", said)):
            raise httpx.ConnectError(f"{service} is not published: {said}")
        return found[0]

    def get(self, path: str, **options: Any) -> httpx.Response:
        """One request to the server."""
        url = f"http://{self.address()}{path}"
        return httpx.get(
            url, headers={"Host": "localhost"}, timeout=PATIENCE, verify=False, **options  # noqa: S501
        )  # fmt: skip

    def status(self, path: str) -> int:
        """The status of an answer; 0 where there is none."""
        try:
            return self.get(path).status_code
        except httpx.TransportError:
            return 0

    def remove(self) -> None:
        self("down", "--volumes", "--remove-orphans", "--timeout=1", check=False)
        listed = docker("image", "ls", "--format={{.Repository}}:{{.Tag}}", self.name)
        docker("image", "rm", "--force", *listed.splitlines(), check=False)
        # Those that have lost their name to a newer one.
        mine = f"--filter=label=com.docker.compose.project={self.name}"
        docker("image", "prune", "--force", mine, check=False)


@contextmanager
def composed(project: Path, **variables: str) -> Iterator[Compose]:
    """A Compose project that is removed with its data at the end."""
    compose = Compose(project, **variables)
    try:
        yield compose
    finally:
        compose.remove()
