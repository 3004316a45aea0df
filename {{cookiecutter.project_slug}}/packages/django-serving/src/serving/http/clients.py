"""Clients that leave while their request is served, or that keep it waiting.

Nothing here may keep a reference to itself, by a bound method, a task or a traceback: the response would
stay in memory until the garbage collector's next full run.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Self

from serving.types import Receive

# Seconds until the server is asked: most requests are over by then. To ask at once takes 10 us of CPU time
# a request, 4 % of a small one.
PATIENCE = 0.02

# Seconds: a timer that is later shows that the event loop stood still (in a paused container, say), and saw
# nothing of what clients did. So it waits a little longer for what they have done meanwhile.
STOOD_STILL = 0.1
GRACE = 1.0


class interruptible:
    """When it is called, cancels the body of its `with`, and raises an error there."""

    def __init__(self, error: type[Exception]) -> None:
        self._error = error
        self._task: asyncio.Task[object] | None = None
        self._called = False

    def __enter__(self) -> Self:
        self._task = asyncio.current_task()
        return self

    def __call__(self) -> None:
        if self._task and not self._called:
            self._called = True
            self._task.cancel()

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        task, self._task = self._task, None
        if self._called and task and task.uncancel() == 0 and kind is asyncio.CancelledError:
            raise self._error


class Deadline:
    """So many seconds from now on, and GRACE more if the event loop stood still until they were over."""

    def __init__(self, seconds: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._at = self._loop.time() + seconds

    async def wait_for[T](self, awaitable: Awaitable[T]) -> T:
        """What the awaitable returns. Raises TimeoutError if that takes too long."""
        with interruptible(TimeoutError) as expire:
            self.start(expire)
            try:
                return await awaitable
            finally:
                self.stop()

    def start(self, expire: Callable[[], object]) -> None:
        """Registers what to call when the time is over."""
        self.expire = expire
        self._timer = self._loop.call_at(self._at, self._check)

    def stop(self) -> None:
        """Removes it."""
        self._timer.cancel()
        del self.expire

    def _check(self) -> None:
        now = self._loop.time()
        if now - self._at > STOOD_STILL:
            self._at = now + GRACE
            self._timer = self._loop.call_at(self._at, self._check)
        else:
            self.expire()


class DisconnectWatcher:
    """Asks the server whether the client of a request has left; the end of a `with` ends the question.

    It asks once in a request, however often it is started.
    """

    # A receive that is cancelled makes the next one answer http.disconnect; open in Granian 2.8.9:
    # https://github.com/emmett-framework/granian/blob/v2.8.1/src/asgi/io.rs#L141-L192

    def __init__(self, receive: Receive) -> None:
        self.gone = False
        self._receive = receive
        self._callback: Callable[[], object] | None = None
        self._pending: asyncio.TimerHandle | asyncio.Task[None] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._pending:
            self._pending.cancel()
        self._pending = self._callback = None

    def start(self, callback: Callable[[], object]) -> None:
        """Registers the function to call when the client leaves, in place of the one before."""
        self._callback = callback
        if self._pending is None:
            self._pending = asyncio.get_running_loop().call_later(PATIENCE, self._ask)

    def _ask(self) -> None:
        self._pending = asyncio.create_task(self._wait())

    async def _wait(self) -> None:
        message = await self._receive()
        if message["type"] == "http.request":  # an empty body that was not read
            message = await self._receive()
        if message["type"] == "http.disconnect":
            self.gone = True
            if self._callback:
                self._callback()
