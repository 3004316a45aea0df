"""An ASGI callable without Django, which answers as the small views do: the limit."""

from typing import Any

START = {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"13")]}
BODY = {"type": "http.response.body", "body": b"Hello, world!"}


async def application(scope: Any, receive: Any, send: Any) -> None:
    await send(START)
    await send(BODY)
