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

from tests.serving.client import ASGIClient, Exchange, Message

START = {"type": "http.response.start", "status": 200, "headers": []}


@pytest.fixture
def order(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stopping]:
    """A Stopping of this test's own: `order._tell()` is what a signal leads to."""
    own = Stopping()
    monkeypatch.setattr(drain, "stopping", own)
    yield own
    assert own._callbacks == [], "nothing stays registered"


def ask(app: Any, order: Stopping, *, before: bool = False) -> list[Message]:
    """Asks an application, and tells it to stop before or meanwhile: what it sent."""
    exchange = Exchange("/")

    async def main() -> None:
        if before:
            order._tell()
        else:
            asyncio.get_running_loop().call_later(0.01, order._tell)
        async with asyncio.timeout(30):
            await exchange.run(app)
        task = asyncio.current_task()
        assert task
        assert not task.cancelling(), "whoever called it is not cancelled"

    asyncio.run(main())
    return exchange.sent


async def never(scope: Any, receive: Any, send: Any) -> None:
    await asyncio.Event().wait()


async def streams(scope: Any, receive: Any, send: Any) -> None:
    await send(START)
    await never(scope, receive, send)


async def answers(scope: Any, receive: Any, send: Any) -> None:
    await send(START)
    await asyncio.sleep(0.05)
    await send({"type": "http.response.body", "body": b"tea"})


async def promises(scope: Any, receive: Any, send: Any) -> None:
    await send({**START, "headers": [(b"x-tea", b"oolong"), (b"content-length", b"3")]})
    await never(scope, receive, send)


async def promises_as_django(scope: Any, receive: Any, send: Any) -> None:
    """Whose names of headers keep their case."""
    await send({**START, "headers": [(b"X-Tea", b"oolong"), (b"Content-Length", b"3")]})
    await never(scope, receive, send)


async def goes_on(scope: Any, receive: Any, send: Any) -> None:
    """Completes its response, and has more to do."""
    await send(START)
    await send({"type": "http.response.body", "body": b"tea"})
    await never(scope, receive, send)


PART = {"type": "http.response.body", "body": b"te", "more_body": True}


async def streams_on(scope: Any, receive: Any, send: Any) -> None:
    await send(START)
    await send(PART)
    try:
        await never(scope, receive, send)
    finally:
        with pytest.raises(asyncio.CancelledError):
            await send(PART)


END = {"type": "http.response.body", "body": b"", "more_body": False}


@pytest.mark.parametrize("before", [True, False])
def test_what_is_open_is_ended(order: Stopping, before: bool) -> None:
    start, body = ask(Drain(never, timeout=0.01), order, before=before)
    assert start["status"] == 503
    headers = dict(start["headers"])
    assert (headers[b"content-type"], headers[b"retry-after"]) == (
        b"text/plain; charset=utf-8",
        b"1",
    )
    assert (headers[b"content-length"], headers[b"cache-control"]) == (b"24", b"no-store")
    assert headers[b"x-content-type-options"] == b"nosniff"
    assert body == {**END, "body": b"The server is stopping.\n"}
    assert ask(Drain(streams, timeout=0.01), order, before=before)[1:] == [END]
    assert ask(Drain(streams_on, timeout=0.01), order, before=before)[1:] == [PART, END]


@pytest.mark.parametrize("app", [promises, promises_as_django, goes_on])
def test_what_must_not_be_completed_is_left_as_it_is(order: Stopping, app: Any) -> None:
    """A client that was promised more bytes learns that they do not come."""
    alone: list[Message] = []

    async def watched(scope: Any, receive: Any, send: Any) -> None:
        async def note(message: Message) -> None:
            alone.append(message)
            await send(message)

        await app(scope, receive, note)

    assert ask(Drain(watched, timeout=0.01), order) == alone


def test_a_client_that_does_not_read_its_end_is_not_waited_for(order: Stopping) -> None:
    async def send(message: Message) -> None:
        if message != START:
            await asyncio.Event().wait()

    async def main() -> None:
        exchange = Exchange("/")
        order._tell()
        async with asyncio.timeout(30):
            await Drain(streams, timeout=0.01)(exchange.scope, exchange.receive, send)

    asyncio.run(main())


def test_a_cancellation_of_another_goes_on(order: Stopping) -> None:
    async def main() -> None:
        exchange = ASGIClient(Drain(never, timeout=30)).start("/")
        await asyncio.sleep(0)
        exchange.task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await exchange.task
        assert exchange.sent == []

    asyncio.run(main())


def test_an_application_gets_what_the_server_gives_it(order: Stopping) -> None:
    got: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        got.append((scope, receive))

    async def main() -> None:
        exchange = Exchange("/")
        await exchange.run(Drain(app))
        assert got == [(exchange.scope, exchange.receive)]
        socket = {**exchange.scope, "type": "websocket"}
        await Drain(app)(socket, exchange.receive, exchange.send)
        assert got[1:] == [(socket, exchange.receive)]

    asyncio.run(main())


def test_the_log_names_what_was_ended(order: Stopping, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        client = ASGIClient(Drain(never, timeout=0.01))
        open_ones = [client.start(path) for path in ("/tea", "/tea", "/cups")]
        await asyncio.sleep(0)
        order._tell()
        async with asyncio.timeout(30):
            await asyncio.gather(*(exchange.task for exchange in open_ones))

    asyncio.run(main())
    assert [message for message in caplog.messages if "still open" in message] == [
        "ended what was still open 0.01 s after the order to stop (DRAIN_TIMEOUT):"
        " GET /cups, 2 x GET /tea"
    ]


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
