"""Learning that a client went away while its request is served.

What is here must leave nothing to the garbage collector, which would keep a request's response in memory
until its next full run: so nothing refers to itself, not by a bound method, a task or a traceback.
"""

import asyncio
from collections.abc import Callable
from typing import Self

from django.core.exceptions import RequestAborted

from serving.asgi import Receive

# Seconds after which a request begins to watch whether its client goes away: most are over by then. A
# stream does so at once.
WATCH_AFTER = 0.02


class Watch:
    """Calls a function once if the client goes away while the body of the `with` runs."""

    def __init__(
        self, receive: Receive, leave: Callable[[], object], *, after: float = WATCH_AFTER
    ) -> None:
        self._receive = receive
        self._after = after
        self._leave: Callable[[], object] | None = leave
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._listener: asyncio.Task[None] | None = None

    def __enter__(self) -> None:
        self._timer = self._loop.call_later(self._after, self._begin)

    def __exit__(self, *_: object) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._listener is not None:
            self._listener.cancel()
        # Each of these leads back here, the listener by the traceback of its cancellation.
        self._timer = self._listener = self._leave = None

    def _begin(self) -> None:
        self._timer = None
        if self._leave is not None:
            self._listener = self._loop.create_task(listen(self._receive, self._leave))


async def listen(receive: Receive, leave: Callable[[], object]) -> None:
    """Calls a function when the client goes away."""
    message = await receive()
    if message["type"] == "http.request":  # an empty body that was not read
        message = await receive()
    if message["type"] == "http.disconnect":
        leave()


class Leaving:
    """Cancels its body when the client goes away, and raises RequestAborted then."""

    def __init__(self, receive: Receive, *, after: float = WATCH_AFTER) -> None:
        self._watch = Watch(receive, self._leave, after=after)
        self._callbacks: list[Callable[[], object]] = []
        self._gone = False

    def also(self, callback: Callable[[], object]) -> None:
        """Has a function called as well, at this and at any other cancellation."""
        self._callbacks.append(callback)

    async def __aenter__(self) -> Self:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101
        self._task = task
        self._watch.__enter__()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._watch.__exit__()
        if kind is not None:
            for callback in self._callbacks:
                callback()
        if self._gone and self._task.uncancel() == 0 and kind is asyncio.CancelledError:
            raise RequestAborted

    def _leave(self) -> None:
        self._gone = True
        self._task.cancel()
