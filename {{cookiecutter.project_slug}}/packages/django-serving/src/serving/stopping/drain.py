"""Stopping in time: requests finish, streams learn of it, and what stays open is ended.

On SIGTERM Granian stops listening, waits for the open responses without a limit, and runs lifespan
shutdown only then: with one open stream the worker would be killed before it closed its resources. Open in 2.8.9:
https://github.com/emmett-framework/granian/issues/547
"""

import asyncio
import logging
from collections import Counter
from contextlib import suppress

from serving.stopping.signals import stopping
from serving.types import ASGIApp, Message, Receive, Scope, Send

logger = logging.getLogger(__package__)


class Drain:
    """ASGI middleware that ends what is still open `timeout` (DRAIN_TIMEOUT) seconds after the order to stop.

    Its task is cancelled, so async views and streams run their `finally`. A response that has not
    begun becomes a 503; a stream is ended as if it were complete, unless it has promised a length.
    """

    def __init__(self, app: ASGIApp, *, timeout: float | None = None) -> None:
        from serving.conf import conf  # here, since signals are handled before Django is imported

        self.app = app
        self.timeout = conf.DRAIN_TIMEOUT(timeout)
        self._open: set[Response] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        response = Response(scope, send)
        if not self._open:
            stopping.add_callback(self._begin)
        self._open.add(response)
        try:
            await self.app(scope, receive, response.send)
        except asyncio.CancelledError:
            if not response.ended:
                raise
            response.task.uncancel()
            await response.finish()
        finally:
            self._open.discard(response)
            if not self._open:
                stopping.remove_callback(self._begin)

    def _begin(self) -> None:
        asyncio.get_running_loop().call_later(self.timeout, self._end)

    def _end(self) -> None:
        names = Counter(f"{each.scope['method']} {each.scope['path']}" for each in self._open)
        if names:
            logger.warning(
                "ended what was still open %g s after the order to stop (DRAIN_TIMEOUT): %s",
                self.timeout,
                ", ".join(f"{n} x {name}" if n > 1 else name for name, n in sorted(names.items())),
            )
        for response in list(self._open):
            response.ended = True
            response.task.cancel()


class Response:
    """How far one response has come."""

    def __init__(self, scope: Scope, send: Send) -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101
        self.task = task
        self.scope = scope
        self.started = self.complete = self.ended = self.promised = False
        self._send = send

    async def send(self, message: Message) -> None:
        """Passes a message on, until the response was ended."""
        if self.ended:  # by a task of the application that its cancellation did not reach
            raise asyncio.CancelledError
        if message["type"] == "http.response.start":
            self.started = True
            self.promised = any(name.lower() == b"content-length" for name, _ in message["headers"])
        else:
            self.complete = not message.get("more_body", False)
        await self._send(message)

    async def finish(self) -> None:
        """Ends the response in the application's place, as well as HTTP allows.

        A client that does not read gets no end: its connection is cut off soon after (serving.stopping.unread).
        """
        if self.complete or self.promised:
            return
        from serving.security import answer  # here, as conf above

        with suppress(TimeoutError):
            async with asyncio.timeout(0.5):
                if self.started:
                    await self._send(
                        {"type": "http.response.body", "body": b"", "more_body": False}
                    )
                else:
                    text = b"The server is stopping.\n"
                    await answer(self.scope, self._send, 503, text, (b"retry-after", b"1"))
