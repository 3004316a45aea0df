"""A flame graph of the requests of one view, by py-spy, from a server that is under load."""

import subprocess
import threading
from pathlib import Path

from benchmarks import load, sites
from benchmarks.results import Case
from benchmarks.run import LOG, Cores, request_of
from benchmarks.servers import Server
from tests.support.server import workers_of

RATE = 500  # samples a second


def record(way: str, workload: str, seconds: int) -> Path:
    """Samples the stacks of the threads that compute; returns the path of the graph, an SVG."""
    cores = Cores()
    venv = sites.environment()
    graph = sites.FOLDER / f"flame-{way}-{workload}.svg"
    with sites.site("sqlite", venv, cores.load(1)) as site, LOG.open("ab") as log:
        server = Server(site, way, cores.server(1), 1, log)
        try:
            request = request_of(site, Case(workload), server)
            loading = threading.Thread(
                target=load.saturate, args=(cores.load(1), request, 32, seconds + 3)
            )
            loading.start()
            worker = max(workers_of(server.process.pid), key=lambda each: each.cpu_times().user)
            subprocess.run(
                ["taskset", "-c", cores.load(1), venv / "bin" / "py-spy", "record",
                 f"--pid={worker.pid}", f"--duration={seconds}", f"--rate={RATE}", "--gil",
                 "--nonblocking", f"--output={graph}"],
                check=True,
            )  # fmt: skip
            loading.join()
        finally:
            server.kill()
    return graph
