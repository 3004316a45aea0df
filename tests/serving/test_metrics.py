"""Figures for Prometheus, and the port that a worker serves them at."""

import errno
import logging
from typing import Any

import pytest
from prometheus_client import REGISTRY
from serving import metrics
from serving.metrics import PoolCollector, listen, serve_metrics


def test_the_pool_shows_its_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    figures = {"bound": 64, "busy": 3, "idle": 2, "queued": 7}
    monkeypatch.setattr(metrics, "pool", type("Pool", (), figures))
    metrics_shown = list(PoolCollector().collect())
    assert all(metric.documentation for metric in metrics_shown)
    shown = {sample.name: sample.value for metric in metrics_shown for sample in metric.samples}
    assert shown == {f"serving_threads_{name}": value for name, value in figures.items()}


class Network:
    """Ports of which some are taken, until somebody has slept so often."""

    def __init__(self, taken: set[int], until: int = 0) -> None:
        self.taken, self.until, self.sleeps = taken, until, 0
        self.asked: list[tuple[int, str]] = []
        self.error = errno.EADDRINUSE

    def start_http_server(self, port: int, address: str) -> None:
        self.asked.append((port, address))
        if port in self.taken and self.sleeps <= self.until:
            raise OSError(self.error, "no")

    def sleep(self, seconds: float) -> None:
        assert seconds > 0
        self.sleeps += 1


def network(monkeypatch: pytest.MonkeyPatch, *given: Any) -> Network:
    made = Network(*given)
    monkeypatch.setattr(metrics, "start_http_server", made.start_http_server)
    monkeypatch.setattr(metrics, "sleep", made.sleep)
    return made


def test_each_worker_takes_the_first_port_that_is_free(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    found = network(monkeypatch, {9001, 9002})
    with caplog.at_level(logging.INFO, "serving.metrics"):
        listen("192.0.2.1", 9000, 3)
    assert found.asked == [(port, "192.0.2.1") for port in (9001, 9002, 9003)]
    assert found.sleeps == 0
    assert caplog.messages == ["metrics at http://192.0.2.1:9003/metrics"]


def test_a_worker_waits_for_the_one_that_it_replaces_and_complains_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    found = network(monkeypatch, {9001, 9002}, 150)
    with caplog.at_level(logging.INFO, "serving.metrics"):
        listen("192.0.2.1", 9000, 2)
    assert len(found.asked) == 2 * 151 + 1
    assert caplog.messages == [
        "no metrics yet: ports 9001 to 9002 are taken",
        "metrics at http://192.0.2.1:9001/metrics",
    ]


def test_an_address_that_cannot_be_had_is_named_and_not_waited_for(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    found = network(monkeypatch, {9001})
    found.error = errno.EADDRNOTAVAIL
    listen("192.0.2.1", 9000, 2)
    assert len(found.asked) == 1
    assert caplog.messages == ["no metrics: 192.0.2.1:9001: no"]


def test_they_are_served_by_a_thread_that_keeps_no_process_alive(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    registered: list[Any] = []
    started: list[Any] = []

    class Thread:
        def __init__(self, **options: Any) -> None:
            assert (options["name"], options["daemon"]) == ("metrics", True)
            self.options = options

        def start(self) -> None:
            started.append((self.options["target"], self.options["args"]))

    monkeypatch.setattr(REGISTRY, "register", registered.append)
    monkeypatch.setattr(metrics, "Thread", Thread)
    metrics.register_pool.cache_clear()
    serve_metrics("192.0.2.1", 9000, 2)
    serve_metrics("2001:db8::1", 9000, 2)  # at a second address: the pool is registered once
    assert started == [(listen, (host, 9000, 2)) for host in ("192.0.2.1", "2001:db8::1")]
    assert [type(one) for one in registered] == [PoolCollector]
