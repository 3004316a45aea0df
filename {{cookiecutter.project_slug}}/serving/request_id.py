"""One id for each request: in every record of it, in the response's header, and as `request.id`."""

import asyncio
import inspect
import logging
import re
import secrets
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import Context, ContextVar, copy_context
from typing import Any
from weakref import WeakSet

from serving.asgi import ASGIApp, Message, Receive, Scope, Send

# Under this key a scope holds the id of its request.
SCOPE_KEY = "serving.request_id"
HEADER = b"x-request-id"

# What Granian says of itself to anyone, where a response does not: a word that names no product.
SERVER = (b"server", b"web")

# What a client or a proxy may send: nothing that a log, a shell or a file name could trip over.
well_formed = re.compile(rb"[A-Za-z0-9._-]{1,128}").fullmatch

# The id of the request that this code runs for. It flows into tasks, `sync_to_async`, `asyncio.to_thread`
# and `loop.run_in_executor`; a thread that an app starts itself must be given a `copy_context()`.
request_id: ContextVar[str | None] = ContextVar("request_id", default=None)


asyncio_logger = logging.getLogger("asyncio")
carrying: WeakSet[asyncio.AbstractEventLoop] = WeakSet()


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


class ContextExecutor(ThreadPoolExecutor):
    """Threads in which a call has the context variables of its caller, as with `asyncio.to_thread`."""

    def submit[**P, T](
        self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs
    ) -> Future[T]:
        """Has a thread make a call."""
        context = copy_context()
        return super().submit(lambda: context.run(function, *args, **kwargs))


def carry_context(loop: asyncio.AbstractEventLoop) -> None:
    """Has an event loop keep context variables where asyncio by itself loses them.

    In `run_in_executor`, and when it reports a task whose exception nobody looked at. To be called before
    an app can set an executor or an exception handler of its own; a second call does nothing.
    """
    if loop in carrying:
        return
    carrying.add(loop)
    loop.set_default_executor(ContextExecutor(thread_name_prefix="asyncio"))
    loop.set_exception_handler(report)


def report(*given: Any) -> None:
    """An event loop's exception handler: logs as asyncio's own, with the request id of the task.

    It is given the loop and what happened; by rloop only the latter.
    """
    happened: dict[str, Any] = given[-1]
    task = happened.get("task") or happened.get("future")
    lines = [happened.get("message") or "Unhandled exception in event loop"]
    for name, value in happened.items():
        if name not in ("message", "exception"):
            lines.append(f"{name}: {value!r}")
    if isinstance(task, asyncio.Task):
        context = task.get_context().copy()  # a copy, since a loop may have entered it
    elif task is not None:  # it dies in any request, and knows nothing of its own
        context = Context()
    else:
        context = copy_context()
    context.run(asyncio_logger.error, "\n".join(lines), exc_info=happened.get("exception"))


def identify(headers: list[tuple[bytes, bytes]]) -> str:
    """The id that a request brings, if it is well formed, else a new one: 32 hexadecimal digits."""
    for name, value in headers:
        if name == HEADER:
            if well_formed(value):
                return value.decode()
            break
    return secrets.token_hex(16)
