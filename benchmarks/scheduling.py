"""What the setting SCHED_BATCH gains under full load, and costs beside other programs: on against off.

    .venv/bin/python -m benchmarks.scheduling

Needs what `make bench` does, and an otherwise idle machine: the server has one core, the load another. Rounds
alternate between both; prints medians. Beside the server, processes that compute have its core, too.
"""

import os
import statistics
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace

from benchmarks import load, sites
from benchmarks.__main__ import alone
from benchmarks.results import Case
from benchmarks.run import LOG, Cores, request_of
from benchmarks.servers import Server, Site

ROUNDS = 11
OTHERS = 12  # processes that compute
RATE = 300  # requests a second beside them
SETTINGS = {"on": {}, "off": {"BENCH_SCHED_OTHER": "1"}}


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


def measure(servers: dict[str, Server], site: Site, cores: Cores) -> Iterator[str]:
    """The lines of a table: what is measured, with it, without it, and the ratio of both."""
    for workload in ("sync", "async", "template", "rows"):
        taken: dict[str, list[float]] = {name: [] for name in servers}
        for number in range(-1, ROUNDS):
            for name, server in sorted(servers.items(), reverse=bool(number % 2)):
                before = server.cpu()
                request = request_of(site, Case(workload), server)
                done = load.saturate(cores.load(1), request, 32, 1)
                if number >= 0:  # the one before the first warms up
                    taken[name].append((server.cpu() - before) / done.answered * 1e6)
        yield line(f"{workload}, 32 at once, us of CPU time a request", taken)
    with others(OTHERS, cores.server(1)):
        found: dict[str, list[Mapping[str, float]]] = {name: [] for name in servers}
        for number in range(ROUNDS):
            for name, server in sorted(servers.items(), reverse=bool(number % 2)):
                request = request_of(site, Case("sync"), server)
                done = load.at_rate(cores.load(1), request, RATE, 4)
                assert done.percentiles
                found[name].append(done.percentiles)
    for name in load.PERCENTILES:
        taken = {way: [each[name] for each in rounds] for way, rounds in found.items()}
        yield line(f"sync, {RATE} a second beside {OTHERS} processes, {name} in ms", taken)


def line(what: str, taken: dict[str, list[float]]) -> str:
    on, off = (statistics.median(taken[name]) for name in ("on", "off"))
    ratio = statistics.median(a / b for a, b in zip(taken["on"], taken["off"], strict=True))
    return f"| {what} | {on:.4g} | {off:.4g} | {ratio:.2f} |"


def main() -> None:
    cores = Cores()
    venv = sites.environment()
    with ExitStack() as stack:
        stack.enter_context(alone())
        log = stack.enter_context(LOG.open("ab"))
        site = stack.enter_context(sites.site("sqlite", venv, cores.load(1)))
        servers = {}
        for name, variables in SETTINGS.items():
            own = replace(site, variables={**site.variables, **variables})
            servers[name] = Server(own, "ours", cores.server(1), 1, log)
            stack.callback(servers[name].kill)
        os.sched_setaffinity(0, map(int, cores.load(1).split(",")))
        print("| what | on | off | ratio |\n|---|---:|---:|---:|")
        for row in measure(servers, site, cores):
            print(row, flush=True)


if __name__ == "__main__":
    main()
