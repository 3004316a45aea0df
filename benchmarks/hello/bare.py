"""A bare ASGI callable, with the Lifespan wrapper and without it."""

from serving.lifespan import Lifespan
from serving.types import Receive, Scope, Send

START = {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]}
BODY = {"type": "http.response.body", "body": b"ok"}


async def plain(scope: Scope, receive: Receive, send: Send) -> None:
    """Granian takes an application that fails on the lifespan scope for one without."""
    await send(START)
    await send(BODY)


wrapped = Lifespan(plain, mode="disabled", startup_timeout=5, shutdown_timeout=5, drain_timeout=5)
