"""What the log costs a sync view: the JSON access log on against off, and level debug against info.

    .venv/bin/python -m benchmarks.logging PROJECT ENVIRONMENT

PROJECT is a generated project, ENVIRONMENT the folder of its virtual environment. Needs wrk, and two
cores: the worker has one, the load the other. Prints requests a second (medians of alternating
rounds, over several starts) and their ratios, those of each start too.
"""

import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.lifespan import load
from tests.conftest import package_sources
from tests.support.server import free_port, server_environment, wait_for

TARGET = "config.asgi:application"
STARTS = 5  # one server differs from the next by as much as is measured here
ROUNDS = 3

# A view that does nothing, behind the project's own middleware.
HELLO = Path(__file__).with_name("hello")

SERVERS = {
    "access log off": {"GRANIAN_LOG_ACCESS_ENABLED": "false"},
    "access log on": {"GRANIAN_LOG_ACCESS_ENABLED": "true"},
    "level debug": {"GRANIAN_LOG_ACCESS_ENABLED": "true", "GRANIAN_LOG_LEVEL": "debug"},
}


def serve(
    folder: str, project: Path, environment: Path, variables: dict[str, str]
) -> tuple[subprocess.Popen[bytes], int]:
    """Starts one worker on the first core; returns it and its port once it listens."""
    port = free_port()
    with (Path(folder) / f"{port}.log").open("w") as log:
        process = subprocess.Popen(
            ["taskset", "-c", "0", environment / "bin" / "python", "-m", "serving", TARGET],
            cwd=project,
            env={
                **os.environ,
                **server_environment(project),
                "DJANGO_SETTINGS_MODULE": "hello.settings",
                "PYTHONPATH": ":".join([folder, *map(str, package_sources(project))]),
                "GRANIAN_PORT": str(port),
                "GRANIAN_WORKERS": "1",
                "GRANIAN_LOG_LEVEL": "info",
                "LOG_FORMAT": "json",
                **variables,
            },
            stdout=log,
            stderr=subprocess.STDOUT,
        )

    def listens() -> bool:
        assert process.poll() is None, f"{variables} did not start"
        with socket.socket() as asker:
            return asker.connect_ex(("127.0.0.1", port)) == 0

    wait_for(listens, f"{variables} to listen")
    return process, port


def measure(folder: str, project: Path, environment: Path, rates: dict[str, list[float]]) -> None:
    """Starts a server of each kind and adds what it serves to `rates`, in alternating rounds."""
    servers = {}
    try:
        for name, variables in SERVERS.items():
            servers[name] = serve(folder, project, environment, variables)
            load(servers[name][1])  # warm
        for _ in range(ROUNDS):
            for name, (_, port) in servers.items():
                rates[name].append(load(port))
    finally:
        for process, _ in servers.values():
            process.terminate()
            process.wait()


def main(project: Path, environment: Path) -> None:
    rates: dict[str, list[float]] = {name: [] for name in SERVERS}
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(HELLO, Path(folder) / "hello")
        for _ in range(STARTS):
            measure(folder, project, environment, rates)
    medians = {name: statistics.median(found) for name, found in rates.items()}
    for name, rate in medians.items():
        print(f"{name:15} {rate:10,.0f} requests/s")
    for title, part, whole in (
        ("on / off", "access log on", "access log off"),
        ("debug / info", "level debug", "access log on"),
    ):
        each = sorted(
            statistics.median(rates[part][start : start + ROUNDS])
            / statistics.median(rates[whole][start : start + ROUNDS])
            for start in range(0, STARTS * ROUNDS, ROUNDS)
        )
        spread = ", ".join(f"{ratio:.3f}" for ratio in each)
        print(f"{title:15} {medians[part] / medians[whole]:10.3f} (of each start: {spread})")


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve())
