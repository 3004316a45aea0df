"""Learning that a client went away while its request is served.

What is here must leave nothing to the garbage collector, which would keep a request's response in memory
until its next full run: so nothing refers to itself, not by a bound method, a task or a traceback.
"""

import asyncio
from collections.abc import Callable
from typing import Self

from django.core.exceptions import RequestAborted

from serving.types import Receive

# Seconds after which a request begins to watch whether its client goes away: most are over by then. A
# stream does so at once.
WATCH_AFTER = 0.02


class Listener:
    """Asks the server once in a request whether its client goes away; to be closed by `with`.

    Granian has no patience with who gives such a question up and asks anew, as a view's end and a
    stream's begin would: it may say that a client has left that is still there, and the answer is lost.
    """

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._leave: Callable[[], object] | None = None
        self._gone = False
        self._task: asyncio.Task[None] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._task is not None:
            self._task.cancel()
            self._task = None  # the traceback of its cancellation leads back here

    def call(self, leave: Callable[[], object]) -> None:
        """Has a function called when the client goes away: at once, if it has. There is one at a time."""
        if self._gone:
            leave()
            return
        self._leave = leave
        if self._task is None:
            self._task = asyncio.create_task(self._listen())

    def forget(self) -> None:
        """Takes back the `call`."""
        self._leave = None

    async def _listen(self) -> None:
        message = await self._receive()
        if message["type"] == "http.request":  # an empty body that was not read
            message = await self._receive()
        if message["type"] == "http.disconnect":
            self._gone = True
            if self._leave is not None:
                self._leave()


class Watch:
    """Calls a function once if the client goes away while the body of the `with` runs."""

    def __init__(
        self, listener: Listener, leave: Callable[[], object], *, after: float = WATCH_AFTER
    ) -> None:
        self._listener = listener
        self._after = after
        self._leave = leave
        self._timer: asyncio.TimerHandle | None = None

    def __enter__(self) -> None:
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(self._after, self._listener.call, self._leave)

    def __exit__(self, *_: object) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._listener.forget()
        # Each of these leads back here.
        self._timer = None
        del self._leave


class Leaving:
    """Cancels its body when the client goes away, and raises RequestAborted then."""

    def __init__(self, listener: Listener, *, after: float = WATCH_AFTER) -> None:
        self._watch = Watch(listener, self._leave, after=after)
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
