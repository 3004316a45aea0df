"""One id for each request: in every record of it, in the response's header, and as `request.request_id`."""

import asyncio
import re
import secrets
from collections.abc import Awaitable

from serving.log.context import carry_context, request_id
from serving.types import ASGIApp, Message, Receive, Scope, Send

# Under this key a scope holds the id of its request.
SCOPE_KEY = "serving.request_id"

HEADER = b"x-request-id"

# What a client or a proxy may send: nothing that needs quoting in a log, a shell or a file name.
well_formed = re.compile(rb"[A-Za-z0-9._-]{1,128}").fullmatch


class RequestId:
    """ASGI middleware that takes the id from X-Request-ID, or makes one, and sends it back."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            carry_context(asyncio.get_running_loop())
            own = identify(scope["headers"])
            scope[SCOPE_KEY] = own
            # Never reset: each request is a task with a context of its own, in which Granian writes the
            # access record afterwards, which needs the id too.
            request_id.set(own)
            send = with_id(own.encode(), send)
        await self.app(scope, receive, send)


def with_id(own: bytes, send: Send) -> Send:
    """A `send` that adds the id of a request."""

    def send_with_id(message: Message) -> Awaitable[None]:
        if message["type"] == "http.response.start":
            headers = [item for item in message.get("headers", ()) if item[0].lower() != HEADER]
            headers.append((HEADER, own))
            message = {**message, "headers": headers}
        return send(message)

    return send_with_id


def identify(headers: list[tuple[bytes, bytes]]) -> str:
    """The id that a request brings, if it is well formed, else a new one: 32 hexadecimal digits."""
    for name, value in headers:
        if name == HEADER:
            if well_formed(value):
                return value.decode()
            break
    return secrets.token_hex(16)
