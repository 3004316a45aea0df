"""A view that reads one row from PostgreSQL: this project's handler against Django's, in one run.

    .venv/bin/python -m benchmarks.postgres PROJECT ENVIRONMENT

PROJECT is a project generated with database=postgres, ENVIRONMENT the folder of its virtual
environment. Needs wrk, PostgreSQL's programs, and two cores: the worker has one, the load and the
database the other. Prints requests a second at concurrency 32 (medians of alternating rounds) and
their ratio to Django's handler, the worker's CPU time for a request (which a busy machine disturbs
less), how many failed, how many connections were open at once and how many were opened. `persistent`
is how projects come out; `pool` has Django's own pool instead (psycopg[pool] in ENVIRONMENT).
"""

import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from tests.conftest import clean_environment
from tests.support.server import Server, server_environment, wait_for
from tests.support.services import Postgres, running

ROUNDS = 5
SECONDS = 5
CONCURRENCY = 32

# Granian's application for each way to serve.
VARIANTS = {
    "django": "rows.plain:application",
    "persistent": "config.asgi:application",
    "pool": "config.asgi:application",
}


@dataclass
class Found:
    """What the rounds of one way to serve have shown."""

    rates: list[float] = field(default_factory=list)
    failed: int = 0
    answered: int = 0
    cpu: float = 0.0  # seconds
    most_open: int = 0
    opened: int = 0


def load(port: int, path: str) -> tuple[float, int, int]:
    """Requests a second, answers, and answers or connections that failed; from the second core."""
    command = f"taskset -c 1 wrk -t1 -c{CONCURRENCY} -d{SECONDS}s --timeout 30s"
    shown = subprocess.run(
        [*command.split(), f"http://127.0.0.1:{port}/{path}"],
        check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip
    rate = re.search(r"Requests/sec: +([\d.]+)", shown)
    answered = re.search(r"(\d+) requests in", shown)
    assert rate, shown
    assert answered, shown
    errors = re.search(r"Non-2xx or 3xx responses: (\d+)", shown)
    broken = re.search(
        r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", shown
    )
    failed = int(errors[1]) if errors else 0
    failed += sum(map(int, broken.groups())) if broken else 0
    return float(rate[1]), int(answered[1]), failed


class Counter:
    """One connection of the superuser's, kept: while a server is full it would get no other."""

    def __init__(self, postgres: Postgres) -> None:
        self.process = subprocess.Popen(
            [str(postgres.programs / "psql"), "-qAtX", postgres.url()],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip

    def ask(self, statement: str) -> int:
        """The number that a statement gives."""
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(f"{statement};\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline())

    def open(self) -> int:
        """The server's connections now."""
        return self.ask("SELECT count(*) FROM pg_stat_activity WHERE usename = 'bench'")

    def opened(self) -> int:
        """The connections that were ever made."""
        return self.ask("SELECT sessions FROM pg_stat_database WHERE datname = 'bench'")

    def close(self) -> None:
        self.process.communicate()


def measure(counter: Counter, server: Server, path: str, found: Found) -> None:
    """One round, during which the connections at the database are counted."""
    done = threading.Event()
    before, cpu_before = counter.opened(), cpu(server)

    def watch() -> None:
        while not done.wait(0.5):
            found.most_open = max(found.most_open, counter.open())

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        rate, answered, failed = load(server.port, path)
    finally:
        done.set()
        watcher.join()
    found.cpu += cpu(server) - cpu_before
    found.rates.append(rate)
    found.answered += answered
    found.failed += failed
    found.opened += counter.opened() - before


def cpu(server: Server) -> float:
    """Seconds of CPU time that the server's processes have used."""
    main = psutil.Process(server.process.pid)
    times = [process.cpu_times() for process in (main, *main.children(recursive=True))]
    return sum(time.user + time.system for time in times)


def main(project: Path, environment: Path) -> None:
    with tempfile.TemporaryDirectory() as folder, running(Postgres()) as postgres:
        assert postgres.process
        pin = ["taskset", "-a", "-p", "-c", "1", str(postgres.process.pid)]
        subprocess.run(pin, check=True, capture_output=True)  # what it starts inherits this
        copy = shutil.copytree(project, Path(folder) / "project")
        shutil.copytree(Path(__file__).with_name("rows"), copy / "rows")
        # Not the superuser, so that the one who counts connections finds some left for it.
        postgres.query("CREATE ROLE bench LOGIN PASSWORD 'bench'")
        postgres.query("CREATE DATABASE bench OWNER bench")
        variables = {
            "DATABASE_URL": postgres.url("bench", user="bench", password="bench"),
            "DJANGO_SETTINGS_MODULE": "rows.settings",
            "BENCH": "persistent",
            "LOG_LEVEL": "error",
            "GRANIAN_LOG_LEVEL": "error",
            "GRANIAN_LOG_ACCESS_ENABLED": "false",
        }
        base = clean_environment()
        manage = [str(environment / "bin" / "python"), "manage.py"]
        env = base | server_environment(copy) | variables
        subprocess.run([*manage, "migrate", "--verbosity", "0"], cwd=copy, env=env, check=True)
        postgres.query("INSERT INTO auth_group VALUES (1, 'tea')", "bench")
        with closing(Counter(postgres)) as counter:
            for path in ("sync", "async"):
                results = {variant: Found() for variant in VARIANTS}
                for number in range(ROUNDS + 1):  # the first one warms up
                    for variant, application in VARIANTS.items():
                        server = Server(
                            Path("/usr/bin"), copy, base, variables | {"BENCH": variant},
                            f"taskset -c 0 {environment}/bin/granian --port {{port}} {application}",
                        )  # fmt: skip
                        try:
                            wait_for(server.listens, f"{variant} to listen")
                            measure(counter, server, path, results[variant] if number else Found())
                            server.stop()
                        finally:
                            server.kill()
                report(path, results)


def report(path: str, results: dict[str, Found]) -> None:
    base = statistics.median(results["django"].rates)
    for variant, found in results.items():
        rate = statistics.median(found.rates)
        print(
            f"{path:6} {variant:11} {rate:8,.0f} requests/s  x{rate / base:5.1f}"
            f"  {found.cpu / found.answered * 1000:6.2f} ms CPU"
            f"  failed {found.failed} of {found.answered}"
            f"  open at once {found.most_open}  opened {found.opened}",
            flush=True,
        )


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve())
