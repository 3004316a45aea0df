"""One id for each request: in every record of it, in the response's header, and as `request.request_id`."""

import asyncio
import inspect
import re
import secrets
from collections.abc import Awaitable, Coroutine
from typing import Any

from serving.log.context import carry_context, request_id
from serving.types import ASGIApp, Message, Receive, Scope, Send

# Under this key a scope holds the id of its request.
SCOPE_KEY = "serving.request_id"

HEADER = b"x-request-id"

# What Granian says of itself to anyone, where a response does not: a word that names no product.
SERVER = (b"server", b"web")

# What a client or a proxy may send: nothing that a log, a shell or a file name could trip over.
well_formed = re.compile(rb"[A-Za-z0-9._-]{1,128}").fullmatch


class RequestId:
    """ASGI middleware that takes the id from X-Request-ID, or makes one, and sends it back."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self._loop: asyncio.AbstractEventLoop | None = None  # that of the last request

    @inspect.markcoroutinefunction
    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Coroutine[Any, Any, None]:
        if scope["type"] == "http":
            return self._identified(scope, receive, send)
        return self.app(scope, receive, send)

    async def _identified(self, scope: Scope, receive: Receive, send: Send) -> None:
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            self._loop = loop
            carry_context(loop)
        own = identify(scope["headers"])
        scope[SCOPE_KEY] = own
        # Never taken back: each request is a task with a context of its own, and at the end of it
        # Granian writes the access record, which shall have the id too.
        request_id.set(own)
        header = (HEADER, own.encode())

        def send_with_id(message: Message) -> Awaitable[None]:
            if message["type"] == "http.response.start":
                headers = [item for item in message.get("headers", ()) if item[0] != HEADER]
                headers.append(header)
                if not any(name in (b"Server", b"server") for name, _ in headers):
                    headers.append(SERVER)
                message = {**message, "headers": headers}
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
