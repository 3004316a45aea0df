"""Django's request path, ours against Granian's WSGI and against Django's own ASGI handler, in one run.

    .venv/bin/python -m benchmarks.request_path [ROUNDS]

With 0 rounds it only starts the servers. Needs wrk, and two cores: each server has one worker on the first, the load comes from the second. Rounds
alternate, and what is printed are medians and their ratios. Ends with status 1 where one misses its bound.
"""

import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import httpx

from tests.conftest import BUILD, ROOT, bake_into, clean_environment
from tests.support.server import SECRET_KEY, free_port, wait_for, workers_of

SECONDS = 2
# What holds: at most or at least how much, in which unit. The rows of the table in docs/request-path.md.
BOUNDS = {
    "sync view of 13 bytes, against Granian `wsgi`": ("at least", 0.85, "x"),
    "the same, against Django's handler on Granian `asgi`": ("at least", 7, "x"),
    "async view, against Django's handler": ("at least", 6.5, "x"),
    "10 rows from SQLite, against `wsgi`": ("at least", 0.85, "x"),
    "template of 50 rows, against `wsgi`": ("at least", 0.85, "x"),
    "sync view that waits 10 ms, against `wsgi`": ("at least", 0.7, "x"),
    "64 sync views that sleep 1 s, one worker": ("at most", 1.3, "s"),
    "1,000 async views that sleep 1 s, one worker": ("at most", 2.5, "s"),
    "99th percentile at half the load, against `wsgi`": ("at most", 1.3, "x"),
    "database connections opened by 10,000 requests, 32 at once": ("at most", 64, ""),
    "memory of the worker, against Django's handler": ("at most", 1, "x"),
}
missed: list[str] = []
SERVERS = {"wsgi": ("wsgi", "wsgi"), "django": ("asginl", "asgi"), "ours": ("asginl", "ours")}


@dataclass
class Server:
    """One worker on the first core, and how it is reached."""

    process: subprocess.Popen[bytes]
    address: str

    @property
    def memory(self) -> float:
        """The most that the worker has had resident, in MB."""
        (worker,) = workers_of(self.process.pid)
        status = Path(f"/proc/{worker.pid}/status").read_text()
        found = re.search(r"VmHWM:\s+(\d+) kB", status)
        assert found
        return int(found[1]) / 1024


def serve(site: Path, environment: Path, name: str, loop: str = "uvloop") -> Server:
    """Starts a server; returns it once it answers."""
    interface, app = SERVERS[name]
    port = free_port()
    process = subprocess.Popen(
        ["taskset", "-c", "0", environment / "bin" / "granian", "--interface", interface, "--http", "1",
         "--no-ws", "--loop", loop, "--log-level", "error", "--port", str(port), f"bench.app:{app}"],
        cwd=site,
        env={**os.environ, "SECRET_KEY": SECRET_KEY},
    )  # fmt: skip
    address = f"http://127.0.0.1:{port}"

    def answers() -> bool:
        assert process.poll() is None, f"{name} did not start"
        try:
            return httpx.get(f"{address}/sync/").status_code == 200
        except httpx.TransportError:
            return False

    wait_for(answers, f"{name} to answer")
    return Server(process, address)


def load(server: Server, path: str, connections: int = 32, seconds: int = SECONDS) -> float:
    """Requests a second, from the second core. A failed request is an error."""
    command = f"taskset -c 1 wrk -t1 -c{connections} -d{seconds}s {server.address}{path}"
    shown = subprocess.run(command.split(), check=True, capture_output=True, text=True).stdout
    assert not re.search("Non-2xx|Socket errors", shown), shown
    found = re.search(r"Requests/sec: +([\d.]+)", shown)
    assert found, shown
    return float(found[1])


def rates(servers: dict[str, Server], path: str, rounds: int) -> dict[str, float]:
    """Requests a second of each server, medians of rounds that alternate."""
    seen: dict[str, list[float]] = {name: [] for name in servers}
    for server in servers.values():
        load(server, path, seconds=1)  # warm
    for _ in range(rounds):
        for name, server in servers.items():
            seen[name].append(load(server, path))
    return {name: statistics.median(found) for name, found in seen.items()}


def at_once(server: Server, path: str, number: int) -> float:
    """Seconds that so many requests take, all sent at once."""
    command = f"taskset -c 1 {sys.executable} -m benchmarks.burst {server.address}{path} {number}"
    return float(subprocess.run(command.split(), check=True, capture_output=True, text=True).stdout)


def slowest(server: Server, path: str, rate: float) -> float:
    """The 99th percentile in milliseconds of an open loop: requests come when they come.

    For one second: a longer one would be sure to hold a moment in which the machine itself stood still.
    """
    command = (
        f"taskset -c 1 {sys.executable} -m benchmarks.open_loop {server.address}{path} {rate} 1"
    )
    return float(subprocess.run(command.split(), check=True, capture_output=True, text=True).stdout)


def report(what: str, value: float) -> None:
    """Prints a figure beside its bound, and notes one that misses it."""
    sign, bound, unit = BOUNDS[what]
    kept = value <= bound if sign == "at most" else value >= bound
    if not kept:
        missed.append(what)
    word = "" if kept else "MISSED"
    print(f"{what:66} {value:8.2f} {unit:1}  {sign} {bound:g}  {word}", flush=True)


def main(rounds: int) -> None:
    environment = BUILD / "bench" / "environment"
    with tempfile.TemporaryDirectory() as folder:
        site = bake_into(Path(folder))
        shutil.copytree(Path(__file__).parent / "site", site / "bench")
        variables = clean_environment() | {"UV_PROJECT_ENVIRONMENT": str(environment)}
        uv = ROOT / ".venv" / "bin" / "uv"
        subprocess.run([uv, "sync", "--quiet"], cwd=site, env=variables, check=True)
        variables |= {"SECRET_KEY": SECRET_KEY, "DJANGO_SETTINGS_MODULE": "bench.settings"}
        for command in ("migrate", "bench_rows"):
            subprocess.run(
                [environment / "bin" / "python", "manage.py", command, "--verbosity", "0"],
                cwd=site, env=variables, check=True,
            )  # fmt: skip
        servers: dict[str, Server] = {}
        try:
            for name in SERVERS:
                servers[name] = serve(site, environment, name)
            if rounds:
                measure(servers, rounds)
        finally:
            for server in servers.values():
                server.process.terminate()
                server.process.wait()


def measure(servers: dict[str, Server], rounds: int) -> None:
    ours, django = servers["ours"], servers["django"]
    sync = rates(servers, "/sync/", rounds)
    print({name: round(rate) for name, rate in sync.items()})
    report("sync view of 13 bytes, against Granian `wsgi`", sync["ours"] / sync["wsgi"])
    report("the same, against Django's handler on Granian `asgi`", sync["ours"] / sync["django"])
    found = rates({"ours": ours, "django": django}, "/async/", rounds)
    print({name: round(rate) for name, rate in found.items()})
    report("async view, against Django's handler", found["ours"] / found["django"])
    for path, what in (
        ("/rows/", "10 rows from SQLite, against `wsgi`"),
        ("/page/", "template of 50 rows, against `wsgi`"),
        ("/wait/", "sync view that waits 10 ms, against `wsgi`"),
    ):
        found = rates({"ours": ours, "wsgi": servers["wsgi"]}, path, rounds)
        report(what, found["ours"] / found["wsgi"])
    report("64 sync views that sleep 1 s, one worker", at_once(ours, "/sleep/", 64))
    report("1,000 async views that sleep 1 s, one worker", at_once(ours, "/asleep/", 1000))
    half = min(sync["ours"], sync["wsgi"]) / 2
    slow: dict[str, list[float]] = {"ours": [], "wsgi": []}
    for _ in range(4 * rounds):
        for name, found_slow in slow.items():
            found_slow.append(slowest(servers[name], "/sync/", half))
    medians = {name: statistics.median(found_slow) for name, found_slow in slow.items()}
    print({name: f"{value:.2f} ms" for name, value in medians.items()}, f"at {half:.0f} requests/s")
    report("99th percentile at half the load, against `wsgi`", medians["ours"] / medians["wsgi"])
    report("database connections opened by 10,000 requests, 32 at once", connections(ours))
    load(django, "/rows/", seconds=4)
    report("memory of the worker, against Django's handler", ours.memory / django.memory)


def connections(server: Server) -> int:
    """How many database connections 10,000 requests open."""
    address = f"{server.address}/opened/"
    before = int(httpx.get(address).text)
    with ThreadPoolExecutor(32) as clients:

        def ask(_: int) -> None:
            with httpx.Client() as client:
                for _ in range(10_000 // 32 + 1):
                    client.get(f"{server.address}/rows/").raise_for_status()

        list(clients.map(ask, range(32)))
    return int(httpx.get(address).text) - before


if __name__ == "__main__":
    main(int(sys.argv[1]) if sys.argv[1:] else 5)
    sys.exit(f"missed: {'; '.join(missed)}" if missed else 0)
