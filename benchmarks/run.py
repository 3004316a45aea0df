"""Measures: rounds that alternate between the servers, each server on cores of its own."""

import os
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import IO

import httpx
import psutil

from benchmarks import load, sites
from benchmarks.load import Load, Request
from benchmarks.results import Case, Sample, Samples
from benchmarks.servers import WAYS, Server, ServerError, Site
from benchmarks.workloads import WORKLOADS

LOG = sites.FOLDER / "servers.log"

# The most that a server is asked for at a fixed rate, of what it does at saturation.
ROOM = 0.9

# What ends the measurement of a server, and not of the others.
FAILURES = (
    load.LoadError, ServerError, AssertionError, OSError, psutil.Error, subprocess.TimeoutExpired,
)  # fmt: skip


@dataclass(frozen=True)
class Plan:
    """What is measured, and how long."""

    ways: tuple[str, ...]
    cases: tuple[Case, ...]
    rounds: int = 5
    seconds: int = 2  # of a load
    rate_seconds: int = 10  # of one at a fixed rate
    fresh: bool = True  # whether each round has new servers
    only: frozenset[tuple[Case, str]] | None = None  # cases and servers; else all that fit

    def ways_of(self, case: Case) -> list[str]:
        """The servers that a case is measured with."""
        workload = WORKLOADS[case.workload]
        return [
            way
            for way in self.ways
            if workload.allows(way)
            and not (WAYS[way].limited and case.workers > 1)
            and case.kind not in WAYS[way].unfit
            and (self.only is None or (case, way) in self.only)
        ]


def full_cases() -> Iterator[Case]:
    for name, workload in WORKLOADS.items():
        if not workload.at_once:
            yield Case(name)
    for name in ("sync", "async", "rows"):
        for concurrency in (1, 8, 128):
            yield Case(name, concurrency=concurrency)
    for name in ("sync", "async", "rows"):
        yield Case(name, "rate", concurrency=load.CONNECTIONS)
    for name, workload in WORKLOADS.items():
        if workload.at_once:
            yield Case(name, "at once", concurrency=workload.at_once)
    for name in ("row", "rows", "write", "login"):
        yield Case(name, database="postgres")
    yield Case("row", database="postgres", concurrency=128)
    for name in ("sync", "async", "rows"):
        yield Case(name, workers=2)
    yield Case("sync", "start", concurrency=1)


FULL = Plan(tuple(WAYS), tuple(full_cases()))
QUICK = Plan(
    ("ours", "granian-wsgi", "granian-asgi", "gunicorn-uvicorn"),
    (
        *(Case(name) for name in ("sync", "async", "template", "rows", "login")),
        Case("sync", "start", concurrency=1),
    ),
    seconds=1,
    fresh=False,
)


class Cores:
    """Which cores the servers have, and which the load and the database."""

    def __init__(self) -> None:
        self.all = sorted(os.sched_getaffinity(0))
        if len(self.all) < 2:
            sys.exit(
                "the benchmarks need two cores, one for a server and one for the load: there is one"
            )

    def server(self, workers: int) -> str:
        """A core for each worker, as long as one is left for the load."""
        return ",".join(map(str, self.all[: min(workers, len(self.all) - 1)]))

    def load(self, workers: int) -> str:
        return ",".join(map(str, self.all[min(workers, len(self.all) - 1) :]))


class Runner:
    """Measures what a plan asks for, but for what is measured already."""

    def __init__(self, plan: Plan, samples: Samples) -> None:
        self.plan = plan
        self.samples = samples
        self.cores = Cores()
        self.began = time.monotonic()
        self.total = sum(plan.rounds * len(plan.ways_of(case)) for case in plan.cases)
        self.kept = self.done

    @property
    def done(self) -> int:
        """How many samples of the plan there are, without those that are to be measured again."""
        samples = self.samples
        return sum(key[0] in self.plan.cases and not samples.lacks(key) for key in samples.all)

    def run(self) -> None:
        venv = sites.environment()
        for database in dict.fromkeys(case.database for case in self.plan.cases):
            cases = [case for case in self.plan.cases if case.database == database]
            if not any(self.missing(case) for case in cases):
                continue
            with sites.site(database, venv, self.cores.load(1)) as site:
                self.run_on(site, cases)

    def missing(self, case: Case, number: int | None = None) -> list[str]:
        """The servers that a case is still to be measured with, in one round or in any."""
        rounds = range(self.plan.rounds) if number is None else [number]
        return [
            way
            for way in self.plan.ways_of(case)
            if any(self.samples.lacks((case, way, each)) for each in rounds)
        ]

    def run_on(self, site: Site, cases: list[Case]) -> None:
        """All cases on one database; those that ask for the same servers share them."""
        if self.done == self.kept:
            self.began = time.monotonic()
        groups: dict[tuple[int, bool, bool], list[Case]] = {}
        for case in cases:
            group = case.workers, case.workload == "static", case.kind == "start"
            groups.setdefault(group, []).append(case)
        for (workers, static, starts), group_cases in groups.items():
            variables = {**site.variables, **({"BENCH_WHITENOISE": "1"} if static else {})}
            own = replace(site, variables=variables)
            if starts:
                self.measure_starts(own, group_cases[0])
            else:
                self.measure_loads(own, workers, group_cases)

    def measure_loads(self, site: Site, workers: int, cases: list[Case]) -> None:
        # One that uses up the database's connections would leave none for others.
        alone = cases[0].database == "postgres"
        with ExitStack() as kept:
            servers: dict[str, Server | None] = {}
            for number in range(self.plan.rounds):
                wanted = {way for case in cases for way in self.missing(case, number)}
                ways = turned([way for way in self.plan.ways if way in wanted], number)
                for together in [[way] for way in ways] if alone else [ways] if ways else []:
                    with ExitStack() as stack:
                        if alone or self.plan.fresh:
                            servers = stack.enter_context(self.servers(site, together, workers))
                        elif not servers:
                            servers = kept.enter_context(self.servers(site, together, workers))
                        for case in cases:
                            self.measure_round(site, case, number, servers)

    @contextmanager
    def servers(
        self, site: Site, ways: Iterable[str], workers: int
    ) -> Iterator[dict[str, Server | None]]:
        """Servers that run as long as the block; None for one that did not start."""
        started: dict[str, Server | None] = {}
        with LOG.open("ab") as log:
            try:
                for way in ways:
                    started[way] = None
                    with told_failures():
                        started[way] = Server(site, way, self.cores.server(workers), workers, log)
                yield started
            finally:
                for server in filter(None, started.values()):
                    server.kill()

    def measure_round(
        self, site: Site, case: Case, number: int, servers: Mapping[str, Server | None]
    ) -> None:
        """One round of a case, with those of these servers that it is still to be measured with."""
        missing = self.missing(case, number)
        for way in turned(self.plan.ways_of(case), number):
            if way in servers and way in missing:
                sample = Sample(case, way, number, {}, 1)
                if server := servers[way]:
                    with told_failures():
                        sample = self.measure(site, case, number, server)
                self.keep(sample)

    def keep(self, sample: Sample) -> None:
        """Writes a sample into the file, and tells of it and of the time that is left."""
        self.samples.add(sample)
        done = self.done
        left = (time.monotonic() - self.began) / max(1, done - self.kept) * (self.total - done)
        failed = f", {sample.errors} FAILED" if sample.errors else ""
        shown = ", ".join(f"{name} {value:,.5g}" for name, value in sample.values.items())
        print(
            f"[{done:4}/{self.total}, {left / 60:3.0f} min left] {sample.case}, round"
            f" {sample.round + 1}: {WAYS[sample.way].title}: {shown}{failed}",
            flush=True,
        )

    def measure(self, site: Site, case: Case, number: int, server: Server) -> Sample:
        workload = WORKLOADS[case.workload]
        cores = self.cores.load(case.workers)
        request = request_of(site, case, server)
        errors = 0
        if case.workload not in server.warm:
            server.warm.add(case.workload)
            if problem := wrong_answer(request, workload.expected):
                print(f"{server.way} answers {request.url} wrongly: {problem}", flush=True)
                errors += 1
            if not workload.at_once:
                load.saturate(cores, request, case.concurrency, 1)
        rate = self.half(case) if case.kind == "rate" else 0.0
        if case.kind == "rate" and not rate:
            raise load.LoadError(f"{case}: what it is half of has failed")
        most = self.answers(case, server.way)
        if most and rate > ROOM * most:
            return Sample(case, server.way, number, {"too much": rate})
        before = server.cpu()
        done: Load
        if case.kind == "rate":
            done = load.at_rate(cores, request, rate, self.plan.rate_seconds)
        elif case.kind == "at once":
            done = load.at_once(cores, request, case.concurrency)
        else:
            done = load.saturate(cores, request, case.concurrency, self.plan.seconds)
        values = {
            "answers": done.rate,
            "cpu": (server.cpu() - before) / max(1, done.answered) * 1e6,
            "memory": server.memory(),
        }
        if case.kind == "at once":
            values["seconds"] = done.seconds
        if done.percentiles:
            values |= {**done.percentiles, "rate": rate}
        if not done.answered:
            errors += 1  # it had time for one
        # wrk takes a redirect for a right answer.
        if not workload.at_once and wrong_answer(request, workload.expected):
            errors += 1
        return Sample(case, server.way, number, values, errors + done.errors)

    def answers(self, case: Case, way: str) -> float:
        """Answers a second at saturation, by the first round; none where that failed."""
        at = Case(case.workload, database=case.database, workers=case.workers)
        sample = self.samples.all.get((at, way, 0))
        return sample.values["answers"] if sample and not sample.errors else 0.0

    def half(self, case: Case) -> float:
        """Half of what the slower one serves, of this project and Granian `wsgi`: requests a second."""
        both = [self.answers(case, way) for way in ("ours", "granian-wsgi")]
        return min(filter(None, both), default=0.0) / 2

    def measure_starts(self, site: Site, case: Case) -> None:
        """Seconds from a server's start to its first answer, and from SIGTERM to its end, by turns."""
        with LOG.open("ab") as log:
            for number in range(-1, self.plan.rounds):  # the one before the first reads the files
                for way in turned(self.plan.ways_of(case), max(0, number)):
                    if number >= 0 and way not in self.missing(case, number):
                        continue
                    if number < 0 and not self.missing(case):
                        continue
                    sample = Sample(case, way, number, {}, 1)
                    with told_failures():
                        values = self.start_and_stop(site, way, case.workers, log)
                        sample = Sample(case, way, number, values)
                    if number >= 0:
                        self.keep(sample)

    def start_and_stop(
        self, site: Site, way: str, workers: int, log: IO[bytes]
    ) -> dict[str, float]:
        server = Server(site, way, self.cores.server(workers), workers, log)
        try:
            values = {"start": server.start_time, "memory": server.memory()}
            return values | {"stop": server.stop()}
        finally:
            server.kill()


@contextmanager
def told_failures() -> Iterator[None]:
    """Prints why the measurement of one server failed, and goes on."""
    try:
        yield
    except FAILURES as error:
        print(f"FAILED: {error}", flush=True)


def request_of(site: Site, case: Case, server: Server) -> Request:
    """What a case asks of a server."""
    workload = WORKLOADS[case.workload]
    body = None
    if workload.body is not None:
        body = sites.FOLDER / f"{case.workload}.body"
        body.write_bytes(workload.body)
    headers = {name: value.format(session=site.session) for name, value in workload.headers.items()}
    return Request(server.address + workload.path.format(static=site.static), headers, body)


def wrong_answer(request: Request, expected: str) -> str:
    """What is wrong with the answer to one request; nothing where it is right."""
    method, body = ("POST", request.body.read_bytes()) if request.body else ("GET", None)
    try:
        answer = httpx.request(
            method, request.url, headers=dict(request.headers), content=body,
            timeout=load.PATIENCE, verify=False,  # noqa: S501
        )  # fmt: skip
    except httpx.HTTPError as error:
        return repr(error)
    right = answer.status_code == 200 and expected in answer.text
    return "" if right else f"{answer.status_code} {answer.text[:200]!r}"


def turned(ways: list[str], number: int) -> list[str]:
    """The servers in the order of a round: each is first in turn, and every other round goes back."""
    start = number % max(1, len(ways))
    order = ways[start:] + ways[:start]
    return order[::-1] if number % 2 else order
