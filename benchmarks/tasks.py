"""The backends of Django's tasks that keep them in the database: what a kill costs, and what a task.

    .venv/bin/python -m benchmarks.tasks kill PROJECT ENVIRONMENT [DATABASE]
    .venv/bin/python -m benchmarks.tasks speed PROJECT ENVIRONMENT

PROJECT is a generated project, of database=postgres unless DATABASE is sqlite; ENVIRONMENT the folder of its virtual
environment, with django-ox and django-tasks-db installed. `kill`: two workers run what a producer enqueues; one of
them is killed (SIGKILL) 20 times, and the database is restarted 3 times (once as by a crash; SQLite, which has no
server, is locked for a while instead). Then it counts tasks that never ran to their end, and those that ran more
than once. `speed`: tasks a second of one worker, and the time from `enqueue` to the start at rest.
"""

import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.conftest import clean_environment
from tests.support.server import server_environment
from tests.support.services import Postgres, running

KILLS = 20
RESTARTS = 3
RATE = 25.0  # tasks a second
LEASE = 10  # seconds until a dead worker's task is given back

WORKERS = {
    "django-ox": "ox_worker --interval {interval}",
    "django-tasks-db": "db_worker --interval {interval} --no-startup-delay --no-reload",
}
VARIANTS = {"django-ox": False, "django-tasks-db": False, "django-tasks-db and a reaper": True}


class Site:
    """A project with a database of its own, one of the two backends, and the processes that run in it."""

    def __init__(
        self, folder: Path, project: Path, environment: Path, queue: str, url: str
    ) -> None:
        self.queue = queue
        self.python = str(environment / "bin" / "python")
        self.copy = shutil.copytree(project, folder / queue)
        shutil.copytree(Path(__file__).with_name("queues"), self.copy / "queues")
        self.runs = folder / f"runs-{queue}"
        self.runs.touch()
        self.log = (folder / f"log-{queue}").open("w+")
        self.env = clean_environment() | server_environment(self.copy) | {
            "DATABASE_URL": url or f"sqlite:///{folder}/{queue}.sqlite3",
            "DJANGO_SETTINGS_MODULE": "queues.settings",
            "LEASE": str(LEASE),
            "QUEUE": queue,
            "RUNS": str(self.runs),
        }  # fmt: skip
        self.run("migrate --verbosity 0")

    def run(self, command: str) -> list[str]:
        """The lines that a command of manage.py prints."""
        return subprocess.run(
            [self.python, "manage.py", *command.split()],
            cwd=self.copy, env=self.env, check=True, stdout=subprocess.PIPE, text=True,
        ).stdout.splitlines()  # fmt: skip

    def start(self, command: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [self.python, "manage.py", *command.split()],
            cwd=self.copy, env=self.env, stdout=self.log, stderr=self.log, text=True,
        )  # fmt: skip

    def worker(self, interval: float = 0.2, more: str = "") -> subprocess.Popen[str]:
        return self.start(WORKERS[self.queue].format(interval=interval) + more)

    def lines(self) -> list[list[str]]:
        return [line.split() for line in self.runs.read_text().splitlines()]


@contextmanager
def ended(processes: list[subprocess.Popen[str]]) -> Iterator[None]:
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


def wait_for_work(site: Site, more: int) -> None:
    """Waits until the workers have begun so many tasks more."""
    begun = sum(line[-1] == "begin" for line in site.lines())
    deadline = time.monotonic() + 60
    while sum(line[-1] == "begin" for line in site.lines()) < begun + more:
        if time.monotonic() > deadline:
            print(f"  {site.queue}: nothing was begun for 60 s", flush=True)
            return
        time.sleep(0.01)


def kill(site: Site, name: str, postgres: Postgres | None, *, reaper: bool) -> None:
    """The whole of one kill test; prints its counts."""
    workers = [site.worker(), site.worker()]
    others = [site.start(f"queue_bench produce {RATE}")]
    if reaper:
        others.append(site.start("queue_bench reap"))
    killed: set[str] = set()
    outages: list[tuple[float, float]] = []
    fell = 0
    with ended(others), ended(workers):

        def revive() -> int:
            """Starts those again that ended by themselves, as Compose would."""
            dead = [place for place, worker in enumerate(workers) if worker.poll() is not None]
            for place in dead:
                workers[place] = site.worker()
            return len(dead)

        wait_for_work(site, 10)
        for number in range(KILLS):
            fell += revive()
            wait_for_work(site, 5)
            victim = workers[number % 2]
            killed.add(str(victim.pid))
            victim.kill()
            victim.wait()
            workers[number % 2] = site.worker()
            if number % 6 == 5 and len(outages) < RESTARTS:
                began = time.time()
                if postgres:
                    postgres.stop(signal.SIGQUIT if len(outages) == 1 else None)
                    time.sleep(2)
                    postgres.start()
                else:
                    site.run("queue_bench hold 4")
                outages.append((began, time.time()))
        others[0].kill()
        others[0].wait()
        quiet = time.monotonic()
        states: list[str] = []
        while time.monotonic() - quiet < 4 * LEASE:
            fell += revive()
            found = site.run("queue_bench states")
            if found != states:
                states, quiet = found, time.monotonic()
            if not any(line.startswith(("READY", "RUNNING")) for line in states):
                break
            time.sleep(1)
        report(site, name, killed, outages, fell, states)


def report(
    site: Site,
    name: str,
    killed: set[str],
    outages: list[tuple[float, float]],
    fell: int,
    states: list[str],
) -> None:
    """Prints what became of each task that the database took."""
    acknowledged: set[str] = set()
    begun: dict[str, list[tuple[float, str]]] = defaultdict(list)
    ends: dict[str, list[tuple[float, str]]] = defaultdict(list)
    last: dict[str, str] = {}  # the task that a worker had last
    for moment, pid, number, what in site.lines():
        if what == "enqueued":
            acknowledged.add(number)
        elif what == "begin":
            begun[number].append((float(moment), pid))
            last[pid] = number
        elif what == "end":
            ends[number].append((float(moment), pid))

    def cut(number: str, moment: float, pid: str) -> bool:
        """Whether a run was the one that its worker was killed in, or met an outage."""
        interrupted = pid in killed and last[pid] == number
        return interrupted or any(a - 0.5 <= moment <= b + 0.5 for a, b in outages)

    stays = dict(line.split() for line in site.run("queue_bench unfinished"))
    never = {number for number in acknowledged if not ends[number]}
    twice = {number for number, runs in begun.items() if len(runs) > 1}
    # All runs but the last must have been cut.
    unexplained = {
        number
        for number in twice
        if not all(cut(number, *run) for run in sorted(begun[number])[:-1])
    }
    whole = {number for number in twice if len(ends[number]) > 1}
    print(
        f"{name:28} acknowledged {len(acknowledged)}, kills {len(killed)}, outages {len(outages)}"
        f" | lost (no row, never done) {len(never - stays.keys())}"
        f" | stuck or given up {len(never & stays.keys())}"
        f" {sorted({stays[number] for number in never & stays.keys()})}"
        f" | begun twice {len(twice)}, of them not cut by a kill or an outage {len(unexplained)},"
        f" run to the end twice {len(whole)}"
        f" | done, but never marked so {len((stays.keys() & ends.keys()) - never)}"
        f" | workers that fell by themselves {fell} | table: {', '.join(states)}",
        flush=True,
    )


def speed(sites: list[Site], tasks: int = 2000, rounds: int = 5, arrivals: int = 100) -> None:
    """Alternates the backends, and prints medians."""
    rates: dict[str, list[float]] = defaultdict(list)
    for number in range(rounds + 1):
        for site in sites if number % 2 else reversed(sites):
            site.run(f"queue_bench fill {tasks}")
            worker = site.worker(more=" --batch")
            assert worker.wait() == 0
            (rate,) = site.run("queue_bench took")
            if number:  # the first one warms up
                rates[site.queue].append(float(rate))
    for site in sites:
        found = rates[site.queue]
        print(
            f"{site.queue:16} {statistics.median(found):6.0f} empty tasks a second"
            f" (median of {rounds} rounds of {tasks}; {min(found):.0f} to {max(found):.0f})",
            flush=True,
        )
    for interval in (1.0, 0.2):
        waits: dict[str, list[float]] = defaultdict(list)
        for _ in range(2):
            for site in sites:
                site.run("queue_bench fill 0")
                site.runs.write_text("")
                workers = [site.worker(interval)]
                with ended(workers):
                    time.sleep(5)
                    site.run(f"queue_bench trickle {arrivals // 2}")
                    time.sleep(2)
                waits[site.queue] += [float(line[-1]) for line in site.lines()]
        for site in sites:
            found = sorted(waits[site.queue])
            print(
                f"{site.queue:16} asked every {interval:g} s: from enqueue to start"
                f" p50 {statistics.median(found) * 1000:.0f} ms,"
                f" p99 {found[int(len(found) * 0.99)] * 1000:.0f} ms (n={len(found)})",
                flush=True,
            )


def main(what: str, project: Path, environment: Path, database: str = "postgres") -> None:
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        postgres = stack.enter_context(running(Postgres())) if database == "postgres" else None
        sites = []
        for number, queue in enumerate(WORKERS):
            url = ""
            if postgres:
                postgres.query(f"CREATE DATABASE bench{number}")
                url = postgres.url(f"bench{number}")
            sites.append(Site(Path(folder), project, environment, queue, url))
        if what == "speed":
            speed(sites)
            return
        for name, reaper in VARIANTS.items():
            (site,) = [site for site in sites if name.startswith(site.queue)]
            site.run("queue_bench fill 0")
            site.runs.write_text("")
            kill(site, name, postgres, reaper=reaper)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]).resolve(), Path(sys.argv[3]).resolve(), *sys.argv[4:])
