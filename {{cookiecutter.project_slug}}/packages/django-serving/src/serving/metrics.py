"""The figures of each worker, for a Prometheus server: https://prometheus.github.io/client_python/

Granian's main process serves Granian's own at GRANIAN_METRICS_PORT, each worker what it alone knows (its
thread pool, its memory, and what apps register) at one of the ports behind that one.
"""

import logging
from collections.abc import Iterator
from errno import EADDRINUSE
from functools import cache
from itertools import count
from threading import Thread
from time import sleep

from prometheus_client import REGISTRY, start_http_server
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from serving.conf import conf
from serving.http.thread_pool import pool

logger = logging.getLogger(__name__)


class PoolCollector(Collector):
    """The thread pool's figures, read when they are asked for: a request pays nothing for them."""

    def collect(self) -> Iterator[Metric]:
        for name, value, meaning in (
            ("bound", pool.bound, "Threads that the pool may have"),
            ("busy", pool.busy, "Threads that run a view or other sync code"),
            ("idle", pool.idle, "Threads that wait for work"),
            ("queued", pool.queued, "Calls that wait for a thread"),
        ):
            yield GaugeMetricFamily(f"serving_threads_{name}", meaning, value)


def serve_metrics(
    address: str | None = None, port: int | None = None, workers: int | None = None
) -> None:
    """Serves /metrics at one of the `workers` ports behind `port`, in a thread of its own.

    What is not given is METRICS_ADDRESS, METRICS_PORT and WORKERS. Raises ImproperlyConfigured for a wrong one.
    """
    where = conf.METRICS_ADDRESS(address), conf.METRICS_PORT(port), conf.WORKERS(workers)
    register_pool()
    Thread(target=listen, args=where, name="metrics", daemon=True).start()


@cache  # a second registration is an error
def register_pool() -> None:
    REGISTRY.register(PoolCollector())


def listen(address: str, port: int, workers: int) -> None:
    """Takes the first port that is free; a new worker waits until the one it replaces has left."""
    ports = range(port + 1, port + workers + 1)
    for attempt in count():
        for own in ports:
            try:
                start_http_server(own, address)
            except OSError as error:
                if error.errno != EADDRINUSE:
                    logger.error("no metrics: %s:%d: %s", address, own, error.strerror)
                    return
            else:
                logger.info("metrics at http://%s:%d/metrics", address, own)
                return
        if attempt == 100:
            logger.warning("no metrics yet: ports %d to %d are taken", ports[0], ports[-1])
        sleep(0.5)
