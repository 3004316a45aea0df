"""What telemetry costs a small sync view, a tenth of whose requests have a trace: on against off.

    .venv/bin/python -m benchmarks.telemetry PROJECT ENVIRONMENT

PROJECT is a generated project with `telemetry`, ENVIRONMENT the folder of its virtual environment. Needs
wrk, and two cores: the worker has one, the load and the collector the other. The collector takes what comes,
hangs, or is down. Prints what each server takes of its core for a request, and requests a second: medians of
rounds that alternate, over several starts, and their ratios to "off".
"""

import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import psutil

from benchmarks.lifespan import SECONDS, load
from benchmarks.logging import HELLO, serve
from tests.support.server import free_port, workers_of

STARTS = 3
ROUNDS = 5


class Takes(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def collector() -> Iterator[int]:
    """A process that takes what comes; yields its port."""
    command = ["taskset", "-c", "1", sys.executable, "-m", "benchmarks.telemetry", "collector"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout
        yield int(process.stdout.readline())
    finally:
        process.terminate()
        process.wait()


def variables(port: int) -> dict[str, str]:
    return {
        "GRANIAN_LOG_ACCESS_ENABLED": "false",
        "SENTRY_DSN": f"http://0123456789abcdef@127.0.0.1:{port}/1" if port else "",
        "SENTRY_TRACES_SAMPLE_RATE": "0.1",
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}" if port else "",
        "OTEL_TRACES_SAMPLER": "parentbased_traceidratio",
        "OTEL_TRACES_SAMPLER_ARG": "0.1",
    }


def cpu(process: subprocess.Popen[bytes]) -> float:
    """Seconds of CPU that the worker has taken."""
    (worker,) = workers_of(process.pid)
    times = psutil.Process(worker.pid).cpu_times()
    return float(times.user + times.system)


def measure(
    folder: str, project: Path, environment: Path, found: dict[str, list[tuple[float, float]]]
) -> None:
    """Starts a server of each kind; adds microseconds of CPU for a request and requests a second to `found`."""
    with collector() as takes, socket.create_server(("127.0.0.1", 0), backlog=128) as silent:
        ports = {"off": 0, "takes": takes, "hangs": silent.getsockname()[1], "down": free_port()}
        servers = {}
        try:
            for name, port in ports.items():
                servers[name] = serve(folder, project, environment, variables(port))
                load(servers[name][1])  # warm
            for _ in range(ROUNDS):
                for name, (process, port) in servers.items():
                    before = cpu(process)
                    rate = load(port)
                    taken = (cpu(process) - before) / (rate * SECONDS) * 1_000_000
                    found.setdefault(name, []).append((taken, rate))
        finally:
            for process, _ in servers.values():
                process.terminate()
                process.wait()


def main(project: Path, environment: Path) -> None:
    found: dict[str, list[tuple[float, float]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(HELLO, Path(folder) / "hello")
        for _ in range(STARTS):
            measure(folder, project, environment, found)
    off_taken, off_rate = (statistics.median(each) for each in zip(*found["off"], strict=True))
    for name, rounds in found.items():
        taken, rate = (statistics.median(each) for each in zip(*rounds, strict=True))
        print(
            f"{name:6} {taken:6.1f} us of CPU ({taken / off_taken:.3f} x)"
            f"  {rate:7,.0f} requests/s ({rate / off_rate:.3f} x)"
        )


if __name__ == "__main__":
    if sys.argv[1:] == ["collector"]:
        server = ThreadingHTTPServer(("127.0.0.1", 0), Takes)
        print(server.server_port, flush=True)
        server.serve_forever()
    else:
        main(Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve())
