"""The id of a request, and the header `Server`."""

import asyncio
from typing import Any

import pytest
from config.asgi import application
from serving.http.request_id import RequestId, identify
from serving.http.server_name import ServerName

from tests.serving.client import ASGIClient


@pytest.mark.parametrize("value", [b"", b"x" * 129, b"a b", b"a\x85b", b"../a"])
def test_an_id_is_taken_over_only_if_it_is_well_formed(value: bytes) -> None:
    assert identify([(b"host", b"x"), (b"x-request-id", b"Az09._-")]) == "Az09._-"
    made = identify([(b"x-request-id", value)])
    assert len(made) == 32
    assert made != identify([])
    assert identify([(b"x-request-id", value), (b"x-request-id", b"second")]) != "second"


async def answers(scope: Any, receive: Any, send: Any) -> None:
    """With a header `Server` of its own below /named; on /bare without any header, as ASGI allows."""
    _, *own = scope["path"].split("/named/")
    headers = {"headers": [(name.encode(), b"ours") for name in own]}
    bare = scope["path"] == "/bare"
    await send({"type": "http.response.start", "status": 200, **({} if bare else headers)})
    await send({"type": "http.response.body", "body": await said(receive)})


async def said(receive: Any) -> bytes:
    message: dict[str, bytes] = await receive()
    return message["body"]


def names(app: Any, path: str) -> list[str]:
    """The headers `Server` of an answer."""
    answer = asyncio.run(ASGIClient(app).ask(path, "POST", b"tea"))
    assert (answer.status, answer.body) == (200, b"tea")
    return [value for name, value in answer.headers if name.lower() == "server"]


def test_a_server_that_names_itself_is_named_once() -> None:
    """Under another server than Granian, which puts a header of its own before the application's."""
    assert names(RequestId(answers), "/") == []
    live = asyncio.run(ASGIClient(application).ask("/livez"))
    assert "server" not in [name.lower() for name, _ in live.headers]


def test_granian_names_no_product() -> None:
    assert names(ServerName(answers), "/") == ["web"]
    assert names(ServerName(answers), "/bare") == ["web"]
    assert names(ServerName(answers), "/named/Server") == ["ours"]
    assert names(ServerName(answers), "/named/server") == ["ours"]


def ids(path: str, **headers: str) -> list[str]:
    """The ids that an answer bears, each of them once."""
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    answer = asyncio.run(ASGIClient(RequestId(answers)).ask(path, "POST", b"tea", headers=given))
    assert (answer.status, answer.body) == (200, b"tea")
    return [value for name, value in answer.headers if name.lower() == "x-request-id"]


def test_an_answer_bears_the_id_of_its_request_once() -> None:
    assert ids("/", x_request_id="order-7") == ["order-7"]
    assert ids("/bare", x_request_id="order-7") == ["order-7"]
    assert ids("/named/x-request-id", x_request_id="order-7") == ["order-7"]
    assert ids("/named/X-Request-ID", x_request_id="order-7") == ["order-7"], "as Django names it"
    assert [len(made) for made in ids("/")] == [32]


@pytest.mark.parametrize("layer", [RequestId, ServerName])
def test_what_is_no_request_passes_as_it_is(layer: Any) -> None:
    seen: list[Any] = []

    async def app(*given: Any) -> None:
        seen.extend(given)

    async def send(message: Any) -> None: ...

    scope: dict[str, Any] = {"type": "websocket", "headers": []}
    asyncio.run(layer(app)(scope, send, send))
    assert seen == [{"type": "websocket", "headers": []}, send, send]
