"""What the Lifespan wrapper costs a request: a bare ASGI callable with and without it, in one run.

    .venv/bin/python -m benchmarks.lifespan PROJECT ENVIRONMENT

PROJECT is a generated project, ENVIRONMENT the folder of its virtual environment. Needs wrk, and two
cores: the worker has one, the load the other. Prints requests a second (medians of alternating
rounds) and their ratio.
"""

import os
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.support.server import free_port, wait_for

ROUNDS = 9
SECONDS = 2

APPS = Path(__file__).with_name("hello") / "bare.py"


def serve(
    folder: str, project: Path, environment: Path, app: str
) -> tuple[subprocess.Popen[bytes], int]:
    """Starts one worker on the first core; returns it and its port once it listens."""
    port = free_port()
    process = subprocess.Popen(
        ["taskset", "-c", "0", environment / "bin" / "granian", "--interface", "asgi", "--http", "1",
         "--no-ws", "--loop", "uvloop", "--log-level", "error", "--port", str(port), f"bare:{app}"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": f"{folder}:{project}/packages/django-serving/src"},
    )  # fmt: skip

    def listens() -> bool:
        assert process.poll() is None, f"{app} did not start"
        with socket.socket() as asker:
            return asker.connect_ex(("127.0.0.1", port)) == 0

    wait_for(listens, f"{app} to listen")
    return process, port


def load(port: int) -> float:
    """Requests a second, from the second core."""
    command = f"taskset -c 1 wrk -t1 -c32 -d{SECONDS}s http://127.0.0.1:{port}/"
    shown = subprocess.run(command.split(), check=True, capture_output=True, text=True).stdout
    found = re.search(r"Requests/sec: +([\d.]+)", shown)
    assert found, shown
    return float(found[1])


def main(project: Path, environment: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        shutil.copy(APPS, folder)
        servers = {app: serve(folder, project, environment, app) for app in ("plain", "wrapped")}
        rates: dict[str, list[float]] = {app: [] for app in servers}
        try:
            for _, port in servers.values():
                load(port)  # warm
            for _ in range(ROUNDS):
                for app, (_, port) in servers.items():
                    rates[app].append(load(port))
        finally:
            for process, _ in servers.values():
                process.terminate()
                process.wait()
    medians = {app: statistics.median(found) for app, found in rates.items()}
    for app, rate in medians.items():
        print(f"{app:8} {rate:10,.0f} requests/s")
    print(f"ratio    {medians['wrapped'] / medians['plain']:10.3f}")


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve())
