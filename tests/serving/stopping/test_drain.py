"""Responses that are open when the order to stop comes, without a server; each layer by itself."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from django.test import override_settings
from serving.lifespan import Lifespan
from serving.probes import Probes
from serving.stopping import Drain, drain, stopping
from serving.stopping.signals import Stopping

START = {"type": "http.response.start", "status": 200, "headers": []}


@pytest.fixture
def order(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stopping]:
    """A Stopping of this test's own: `order._tell()` is what a signal leads to."""
    own = Stopping()
    monkeypatch.setattr(drain, "stopping", own)
    yield own
    assert own._callbacks == [], "nothing stays registered"


def ask(app: Any, order: Stopping, *, before: bool = False) -> list[dict[str, Any]]:
    """Asks an application, and tells it to stop before or meanwhile: what it sent."""
    sent: list[dict[str, Any]] = []

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def main() -> None:
        if before:
            order._tell()
        else:
            asyncio.get_running_loop().call_later(0.01, order._tell)
        async with asyncio.timeout(30):
            await app({"type": "http", "method": "GET", "path": "/", "headers": []}, receive, send)

    asyncio.run(main())
    return sent


async def never(scope: Any, receive: Any, send: Any) -> None:
    await asyncio.Event().wait()


async def streams(scope: Any, receive: Any, send: Any) -> None:
    await send(START)
    await never(scope, receive, send)


async def answers(scope: Any, receive: Any, send: Any) -> None:
    await send(START)
    await asyncio.sleep(0.05)
    await send({"type": "http.response.body", "body": b"tea"})


@pytest.mark.parametrize("before", [True, False])
def test_what_is_open_is_ended(order: Stopping, before: bool) -> None:
    start, body = ask(Drain(never, timeout=0.01), order, before=before)
    assert (start["status"], body["body"]) == (503, b"The server is stopping.\n")
    assert {
        (b"content-length", b"24"),
        (b"cache-control", b"no-store"),
        (b"retry-after", b"1"),
    } <= set(start["headers"])
    assert ask(Drain(streams, timeout=0.01), order, before=before)[1:] == [
        {"type": "http.response.body", "body": b"", "more_body": False}
    ]


def test_the_log_names_what_was_ended(order: Stopping, caplog: pytest.LogCaptureFixture) -> None:
    layer = Drain(never, timeout=0.01)

    async def three(*given: Any) -> None:
        scope, receive, send = given
        other = {**scope, "path": "/other"}
        asks = [layer(each, receive, send) for each in (scope, other, scope)]
        await asyncio.gather(*asks)

    ask(three, order)
    (record,) = caplog.records
    assert record.getMessage() == (
        "ended what was still open 0.01 s after the order to stop (DRAIN_TIMEOUT):"
        " 2 x GET /, GET /other"
    )


def test_what_ends_in_time_is_left_alone(order: Stopping) -> None:
    assert ask(Drain(answers, timeout=30), order)[1]["body"] == b"tea"


@override_settings(
    LIFESPAN="optional", LIFESPAN_STARTUP_TIMEOUT=3.0, DRAIN_TIMEOUT=2.0, URL_PATH_PREFIX="/app"
)
def test_layers_read_the_settings_and_set_nothing() -> None:
    registered = list(stopping._callbacks)
    lifespan, probes = Lifespan(never), Probes(never)
    assert (lifespan.mode, lifespan.startup_timeout, lifespan.drain_timeout) == ("optional", 3, 2)
    assert lifespan.shutdown_timeout == 5.0
    assert Drain(never).timeout == 2.0
    assert (probes.live, probes.lifespan) == ("/app/livez", "optional")
    assert stopping._callbacks == registered
    assert Lifespan(never, mode="disabled", drain_timeout=1.0).drain_timeout == 1.0
