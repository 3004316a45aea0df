"""One id for each request: in every record of it, in the response's header, and as `request.id`."""

import inspect
import re
import secrets
from collections.abc import Awaitable, Coroutine
from contextvars import ContextVar
from typing import Any

from serving.asgi import ASGIApp, Message, Receive, Scope, Send

# Under this key a scope holds the id of its request.
SCOPE_KEY = "serving.request_id"
HEADER = b"x-request-id"

# What a client or a proxy may send: nothing that a log, a shell or a file name could trip over.
well_formed = re.compile(rb"[A-Za-z0-9._-]{1,128}").fullmatch

# The id of the request that this code runs for. It flows into tasks, `sync_to_async` and
# `asyncio.to_thread`; a thread that an app starts itself must be given a `copy_context()`.
request_id: ContextVar[str | None] = ContextVar("request_id", default=None)


class RequestId:
    """ASGI middleware that takes the id from X-Request-ID, or makes one, and sends it back."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    @inspect.markcoroutinefunction
    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Coroutine[Any, Any, None]:
        if scope["type"] == "http":
            return self._identified(scope, receive, send)
        return self.app(scope, receive, send)

    async def _identified(self, scope: Scope, receive: Receive, send: Send) -> None:
        own = identify(scope["headers"])
        scope[SCOPE_KEY] = own
        # Never taken back: each request is a task with a context of its own, and at the end of it
        # Granian writes the access record, which shall have the id too.
        request_id.set(own)
        header = (HEADER, own.encode())

        def send_with_id(message: Message) -> Awaitable[None]:
            if message["type"] == "http.response.start":
                headers = [item for item in message.get("headers", ()) if item[0] != HEADER]
                message = {**message, "headers": [*headers, header]}
            return send(message)

        await self.app(scope, receive, send_with_id)


def identify(headers: list[tuple[bytes, bytes]]) -> str:
    """The id that a request brings, if it is well formed, else a new one: 32 hexadecimal digits."""
    for name, value in headers:
        if name == HEADER:
            if well_formed(value):
                return value.decode()
            break
    return secrets.token_hex(16)
