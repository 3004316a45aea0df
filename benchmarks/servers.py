"""The ways to serve one Django project: this project's, and what people would use instead.

All have the same project, settings, middleware and views. None writes an access log. Event loops and parsers are
the fast ones, where a server offers a choice. The group `servers` of pyproject.toml has their versions.
"""

import os
import select
import signal
import socket
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import httpx
import psutil

from tests.conftest import clean_environment, package_sources
from tests.support.server import free_port, server_environment, wait_for

GRANIAN = (
    "granian --http 1 --no-ws --loop uvloop --log-level error --workers {workers} --port {port}"
)
GUNICORN = "gunicorn --workers {workers} --bind 127.0.0.1:{port} --log-level error"
STOPPING = 30.0  # seconds until a server that was told to stop is killed
LOOK = 0.002  # seconds between two looks whether it answers by now


class ServerError(Exception):
    """A server ended, and was to answer."""


@dataclass(frozen=True)
class Way:
    """A way to serve: what it is called in tables, and its command."""

    title: str
    command: str
    limited: bool = False  # it has one process, whatever it is told
    unfit: tuple[str, ...] = ()  # kinds of measurement that it can't have


WAYS = {
    "ours": Way(
        "this project",
        "python -m serving --workers {workers} --port {port} config.asgi:application",
    ),
    "bare": Way("no Django: bare ASGI on Granian", f"{GRANIAN} --interface asginl bench.bare:application"),
    "granian-wsgi": Way(
        "Granian `wsgi`", f"{GRANIAN} --interface wsgi bench.wsgi:application"
    ),
    "granian-asgi": Way(
        "Granian `asgi`, Django's handler", f"{GRANIAN} --interface asginl bench.asgi:application"
    ),
    "gunicorn-uvicorn": Way(
        "gunicorn, uvicorn workers",
        f"{GUNICORN} --worker-class uvicorn_worker.UvicornWorker bench.asgi:application",
    ),
    "gunicorn-gthread": Way(
        "gunicorn, 4 threads",
        f"{GUNICORN} --worker-class gthread --threads 4 bench.wsgi:application",
    ),
    "gunicorn-sync": Way(
        "gunicorn, sync",
        f"{GUNICORN} --worker-class sync bench.wsgi:application",
        unfit=("rate",),  # it closes each connection, and h2load asks at once on a new one
    ),
    "uvicorn": Way(
        "uvicorn",
        "uvicorn --workers {workers} --port {port} --loop uvloop --http httptools --lifespan off"
        " --log-level error --no-access-log bench.asgi:application",
    ),
    "hypercorn": Way(
        "hypercorn",
        "hypercorn --workers {workers} --bind 127.0.0.1:{port} --worker-class uvloop"
        " --log-level ERROR bench.asgi:application",
        # Its answers have no reason phrase (RFC 9112, section 4, has it optional), and h2load 1.52 counts them
        # as failed.
        unfit=("rate", "at once"),
    ),
    "daphne": Way(
        "daphne",
        "daphne --bind 127.0.0.1 --port {port} --verbosity 0 bench.asgi:application",
        limited=True,
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Site:
    """A generated project with the views to be measured, and how its servers are started."""

    folder: Path
    environment: Path  # of virtual environments
    variables: Mapping[str, str]
    session: str  # the key of somebody's session
    static: str  # the path of a static file

    def environ(self, way: str) -> dict[str, str]:
        """The variables of a server; Granian's are this project's own."""
        made = server_environment(self.folder) | {"GRANIAN_LOG_ACCESS_ENABLED": "false"}
        if way != "ours":
            made = {name: value for name, value in made.items() if "GRANIAN_" not in name}
        own = clean_environment()
        own.pop("PYTHONDONTWRITEBYTECODE", None)  # or each start would compile the project anew
        return {
            **own,
            **made,
            "PATH": f"{self.environment}/bin{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": os.pathsep.join(map(str, [self.folder, *package_sources(self.folder)])),
            "DJANGO_SETTINGS_MODULE": "bench.settings",
            "GRANIAN_LOG_LEVEL": "error",
            **self.variables,
        }


class Server:
    """A server that runs, on cores of its own."""

    def __init__(self, site: Site, way: str, cores: str, workers: int, log: IO[bytes]) -> None:
        self.way = way
        self.warm: set[str] = set()  # the workloads that it has served
        self.port = free_port()
        self.address = f"http://127.0.0.1:{self.port}"
        command = WAYS[way].command.format(port=self.port, workers=workers).split()
        self.log = log
        began = time.monotonic()
        self.process = subprocess.Popen(
            ["taskset", "-c", cores, site.environment / "bin" / command[0], *command[1:]],
            cwd=site.folder, env=site.environ(way) | {"GRANIAN_WORKERS": str(workers)},
            stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
        try:
            wait_for(self.answers, f"{way} to answer", LOOK)
        except BaseException:
            self.kill()
            raise
        self.start_time = time.monotonic() - began  # seconds to the first answer

    def answers(self) -> bool:
        if self.process.poll() is not None:
            raise ServerError(
                f"{self.way} did not start (status {self.process.returncode}): {self.log.name} says why"
            )
        with socket.socket() as asker:  # a request of httpx takes longer than a start may
            if asker.connect_ex(("127.0.0.1", self.port)):
                return False
        try:
            return httpx.get(f"{self.address}/sync/", timeout=10, verify=False).status_code == 200  # noqa: S501
        except httpx.TransportError:
            return False

    @property
    def processes(self) -> list[psutil.Process]:
        main = psutil.Process(self.process.pid)
        return [main, *main.children(recursive=True)]

    def cpu(self) -> float:
        """Seconds of CPU time that its processes have taken."""
        return sum(cpu_time(process.pid) for process in self.processes)

    def memory(self) -> float:
        """Megabytes of its processes; what several share is counted by shares (PSS)."""
        return sum(process.memory_full_info().pss for process in self.processes) / 1e6

    def stop(self) -> float:
        """Sends SIGTERM to the main process; returns the seconds until it has ended."""
        end = os.pidfd_open(self.process.pid)  # Popen.wait looks each 50 ms
        try:
            began = time.monotonic()
            self.process.terminate()
            select.select([end], [], [], STOPPING)
            took = time.monotonic() - began
            self.process.wait(0)  # or it raises TimeoutExpired
        finally:
            os.close(end)
            self.kill()
        return took

    def kill(self) -> None:
        """Ends whatever of it is left."""
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            return
        self.process.wait()


def cpu_time(pid: int) -> float:
    """Seconds of CPU time of a process, those of threads that have ended too, to the nanosecond.

    The id of a process's clock is what clock_getcpuclockid(3) returns, which Python does not offer.
    """
    return time.clock_gettime(~pid << 3 | 2)
