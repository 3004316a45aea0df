"""An ASGI client for tests: sends requests to an application in this process, without a server.

Either waits for the answer, or lets the application answer in a task, for a client that leaves early:

    client = ASGIClient(application)
    answer = await client.ask("/tea/?leaf=green", headers={"accept": "text/html"})
    assert (answer.status, answer.body) == (200, b"...")

    exchange = client.start("/endless/")
    exchange.leave()
    await exchange.task
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, Self

type Message = Mapping[str, Any]

# What a server takes: https://asgi.readthedocs.io/en/latest/specs/www.html
TAKEN: dict[str, dict[str, type]] = {
    "http.response.start": {"status": int, "headers": object, "trailers": bool},
    "http.response.body": {"body": bytes, "more_body": bool},
    "http.response.pathsend": {"path": str},
}
type App = Callable[[dict[str, Any], Any, Any], Awaitable[object]]


def body_messages(*parts: bytes, whole: bool = True) -> list[Message]:
    """The messages of a request body, one a part. If it is not `whole`, its end does not come."""
    last = len(parts) - 1
    return [
        {"type": "http.request", "body": part, "more_body": number < last or not whole}
        for number, part in enumerate(parts)
    ]


class Exchange:
    """One request, and what the application has sent in answer so far.

    `path` may have a query. `messages` replaces `body` for a client that does not send its body whole.
    `scope` adds keys to the ASGI scope, or replaces those of a plain request.
    """

    task: asyncio.Task[None]

    def __init__(
        self,
        path: str,
        method: str = "GET",
        body: bytes = b"",
        *,
        headers: Mapping[str, str] | None = None,
        messages: Iterable[Message] | None = None,
        **scope: Any,
    ) -> None:
        path, _, query = path.partition("?")
        sent = {"host": "testserver", **(headers or {})}
        self.scope: dict[str, Any] = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "scheme": "http",
            "method": method,
            "path": path,
            "raw_path": path.encode(),
            "query_string": query.encode(),
            "root_path": "",
            "headers": [(name.lower().encode(), sent[name].encode("latin1")) for name in sent],
            "client": ("127.0.0.1", 1),
            "server": ("testserver", 80),
            "state": {},
        } | scope
        self._messages = iter(body_messages(body) if messages is None else messages)
        self._gone = asyncio.Event()
        self.received = 0
        self.sent: list[Message] = []

    async def receive(self) -> Message:
        """ASGI's `receive`: the request's next message; after the last, waits until the client leaves."""
        self.received += 1
        for message in self._messages:
            return message
        await self._gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        """ASGI's `send`. Other tasks run meanwhile, as under a server."""
        taken = TAKEN[message["type"]]
        wrong = {
            name: value
            for name, value in message.items()
            if name != "type" and not isinstance(value, taken.get(name, ()))
        }
        assert not wrong, f"no server takes this: {message}"
        self.sent.append(message)
        await asyncio.sleep(0)

    async def run(self, app: App) -> Self:
        """Waits until an application has answered. Raises what it raises."""
        await app(self.scope, self.receive, self.send)
        return self

    @property
    def gone(self) -> bool:
        """True once the client has left."""
        return self._gone.is_set()

    def leave(self) -> None:
        """Closes the client's side of the connection."""
        self._gone.set()

    @property
    def status(self) -> int | None:
        """The status of the response; None before it has begun."""
        return next((message["status"] for message in self.sent if "status" in message), None)

    @property
    def headers(self) -> list[tuple[str, str]]:
        """The headers of the response, in their order, with names as they were sent."""
        return [
            (name.decode(), value.decode("latin1"))
            for message in self.sent
            for name, value in message.get("headers", ())
        ]

    @property
    def body(self) -> bytes:
        """The body of the response so far."""
        return b"".join(message.get("body", b"") for message in self.sent)

    @property
    def ended(self) -> bool:
        """True once the response is complete."""
        return any(
            message["type"] == "http.response.body" and not message.get("more_body", False)
            for message in self.sent
        )


class ASGIClient:
    """Sends requests to one application. `scope` applies to each of them, as that of `Exchange` does."""

    def __init__(self, app: App, **scope: Any) -> None:
        self.app = app
        self.scope = scope

    async def ask(self, path: str, method: str = "GET", body: bytes = b"", **more: Any) -> Exchange:
        """Waits for the answer. Takes what `Exchange` takes; raises what the application raises."""
        return await Exchange(path, method, body, **self.scope | more).run(self.app)

    def start(self, path: str, method: str = "GET", body: bytes = b"", **more: Any) -> Exchange:
        """Lets the application answer in a task, `exchange.task`. Takes what `Exchange` takes."""
        exchange = Exchange(path, method, body, **self.scope | more)

        async def run() -> None:
            await exchange.run(self.app)

        exchange.task = asyncio.create_task(run())
        return exchange
