"""The header `Server`: Granian sends its own name and version, unless a response has one.

It has no option against it; open in 2.8.9: https://github.com/emmett-framework/granian/issues/594
"""

from collections.abc import Awaitable

from serving.types import ASGIApp, Message, Receive, Scope, Send

SERVER = (b"server", b"web")  # names no product


class ServerName:
    """ASGI middleware that adds a name of the server to responses that have none."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.app(scope, receive, with_name(send) if scope["type"] == "http" else send)


def with_name(send: Send) -> Send:
    """A `send` that adds the name."""

    def send_with_name(message: Message) -> Awaitable[None]:
        if message["type"] == "http.response.start":
            headers = list(message.get("headers", ()))
            if not any(name in (b"Server", b"server") for name, _ in headers):
                message = {**message, "headers": [*headers, SERVER]}
        return send(message)

    return send_with_name
