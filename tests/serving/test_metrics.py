"""The metrics of a worker; tests/live/test_metrics.py asks real servers for them."""

import pytest
from prometheus_client import REGISTRY
from serving import metrics
from serving.metrics import serve_metrics


def test_they_can_be_served_at_two_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[tuple[object, ...]] = []

    class Thread:
        """Notes what would be run."""

        def __init__(self, *, args: tuple[object, ...], **_: object) -> None:
            self.args = args

        def start(self) -> None:
            started.append(self.args)

    monkeypatch.setattr(metrics, "Thread", Thread)
    serve_metrics("127.0.0.1", 9090, 1)
    serve_metrics("::1", 9090, 1)
    assert started == [("127.0.0.1", 9090, 1), ("::1", 9090, 1)]
    assert REGISTRY.get_sample_value("serving_threads_busy") is not None
