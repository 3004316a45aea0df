"""What the setting SCHED_BATCH gains under full load, and costs beside other programs: on against off.

    .venv/bin/python -m benchmarks.scheduling

Needs what `make bench` does, and an otherwise idle machine: the server has one core, the load another. Rounds
alternate between both. Prints medians, and the ratio with its spread. Beside the server, processes that compute have its core, too.
"""

import os
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial

from benchmarks import load, sites
from benchmarks.__main__ import alone
from benchmarks.report import spread, table
from benchmarks.results import Case, figure, ratios
from benchmarks.run import LOG, Cores, request_of, turned
from benchmarks.servers import Server, Site

ROUNDS = 11
OTHERS = 12  # processes that compute
RATE = 300  # requests a second beside them
SETTINGS: Mapping[str, dict[str, str]] = {"on": {}, "off": {"BENCH_SCHED_OTHER": "1"}}


@contextmanager
def others(number: int, cores: str) -> Iterator[None]:
    """Processes that compute on these cores as long as the block runs."""
    command = ["taskset", "-c", cores, sys.executable, "-c", "while True: pass"]
    with ExitStack() as stack:
        for _ in range(number):
            process = subprocess.Popen(command)
            stack.callback(process.wait)
            stack.callback(process.kill)
        yield


def measure(servers: Mapping[str, Server], site: Site, cores: Cores) -> Iterator[list[str]]:
    """The rows of a table: what is measured, with it, without it, and the ratio of both."""
    for workload in ("sync", "async", "template", "rows"):
        taken = rounds(servers, partial(cpu, site, cores, workload))
        yield row(f"{workload}, 32 at once, us of CPU time a request", taken)
    with others(OTHERS, cores.server(1)):
        found = rounds(servers, partial(percentiles, site, cores))
    for name in load.PERCENTILES:
        taken = {
            way: {number: each[name] for number, each in own.items()} for way, own in found.items()
        }
        yield row(f"sync, {RATE} a second beside {OTHERS} processes, {name} in ms", taken)


def rounds[T](
    servers: Mapping[str, Server], measured: Callable[[Server], T]
) -> dict[str, dict[int, T]]:
    """What each server gives, by round; the one before the first warms it up."""
    found: dict[str, dict[int, T]] = {name: {} for name in servers}
    for number in range(-1, ROUNDS):
        for name in turned(list(servers), max(0, number)):
            found[name][number] = measured(servers[name])
    return {name: {n: value for n, value in own.items() if n >= 0} for name, own in found.items()}


def cpu(site: Site, cores: Cores, workload: str, server: Server) -> float:
    """Microseconds of CPU time that a request takes under full load."""
    before = server.cpu()
    done = load.saturate(cores.load(1), request_of(site, Case(workload), server), 32, 1)
    if done.errors:
        raise load.LoadError(f"{done.errors} requests for {workload} failed")
    return (server.cpu() - before) / done.answered * 1e6


def percentiles(site: Site, cores: Cores, server: Server) -> Mapping[str, float]:
    """Milliseconds at a fixed rate."""
    done = load.at_rate(cores.load(1), request_of(site, Case("sync"), server), RATE, 4)
    if done.errors or not done.percentiles:
        raise load.LoadError(f"{done.errors} requests failed beside others")
    return done.percentiles


def row(what: str, taken: Mapping[str, Mapping[int, float]]) -> list[str]:
    on, off = taken["on"], taken["off"]
    ratio = figure(ratios(on, off))
    assert ratio
    medians = [f"{statistics.median(each.values()):.4g}" for each in (on, off)]
    return [what, *medians, f"{spread(ratio, '.2f')} x"]


def main() -> None:
    cores = Cores()
    venv = sites.environment()
    with ExitStack() as stack:
        stack.enter_context(alone())
        log = stack.enter_context(LOG.open("ab"))
        site = stack.enter_context(sites.site("sqlite", venv, cores.load(1)))
        servers: dict[str, Server] = {}
        for name, variables in SETTINGS.items():
            own = replace(site, variables={**site.variables, **variables})
            servers[name] = Server(own, "ours", cores.server(1), 1, log)
            stack.callback(servers[name].kill)
        os.sched_setaffinity(0, map(int, cores.load(1).split(",")))
        print(table(["what", "on", "off", "ratio"], list(measure(servers, site, cores))))


if __name__ == "__main__":
    main()
