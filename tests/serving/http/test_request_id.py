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


async def answers(scope: Any, receive: Any, send: Any) -> None:
    headers = [(b"Server", b"ours")] if scope["path"] == "/named" else []
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"tea"})


def names(app: Any, path: str) -> list[str]:
    """The headers `Server` of an answer."""
    answer = asyncio.run(ASGIClient(app).ask(path))
    assert answer.status == 200
    return [value for name, value in answer.headers if name.lower() == "server"]


def test_a_server_that_names_itself_is_named_once() -> None:
    """Under another server than Granian, which puts a header of its own before the application's."""
    assert names(RequestId(answers), "/") == []
    assert names(application, "/livez") == []


def test_granian_names_no_product() -> None:
    assert names(ServerName(answers), "/") == ["web"]
    assert names(ServerName(answers), "/named") == ["ours"]
