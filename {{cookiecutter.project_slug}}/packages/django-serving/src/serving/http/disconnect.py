"""Learning that a client left while its request is served.

Nothing here may keep a reference to itself, by a bound method, a task or a traceback: the response would
stay in memory until the garbage collector's next full run.
"""

import asyncio
from collections.abc import Callable
from typing import Self

from django.core.exceptions import RequestAborted

from serving.types import Receive

# Seconds until a request begins to watch for its client: most are over by then.
WATCH_AFTER = 0.02


class DisconnectWatcher:
    """Asks the server whether the client of a request has left; to be used in a `with`.

    It asks once in a request, however often it is started. When Granian is asked again after a question
    that was cancelled, it may answer that a client has left that is still there.
    """

    def __init__(self, receive: Receive) -> None:
        self.gone = False
        self._receive = receive
        self._callback: Callable[[], object] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._task is not None:
            self._task.cancel()
            self._task = None

    def start(self, callback: Callable[[], object], *, after: float = WATCH_AFTER) -> None:
        """Registers the function to call when the client leaves, and asks `after` some seconds."""
        self.stop()
        self._callback = callback
        self._timer = asyncio.get_running_loop().call_later(after, self._ask)

    def stop(self) -> None:
        """Removes the function."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._callback = None

    def _ask(self) -> None:
        if self._task is None:
            self._task = asyncio.create_task(self._wait())
        elif self.gone and self._callback:  # it left between two starts
            self._callback()

    async def _wait(self) -> None:
        message = await self._receive()
        if message["type"] == "http.request":  # an empty body that was not read
            message = await self._receive()
        if message["type"] == "http.disconnect":
            self.gone = True
            if self._callback:
                self._callback()


class cancel_on_disconnect:  # noqa: N801  # it is used as a function
    """Cancels the body of an `async with` when the client leaves, and raises RequestAborted then."""

    def __init__(self, watcher: DisconnectWatcher, *, after: float = WATCH_AFTER) -> None:
        self._watcher = watcher
        self._after = after
        self._cancelled = False

    async def __aenter__(self) -> None:
        if self._watcher.gone:
            raise RequestAborted
        self._task = asyncio.current_task()
        self._watcher.start(self._cancel, after=self._after)

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._watcher.stop()
        task, self._task = self._task, None
        if self._cancelled and task and task.uncancel() == 0 and kind is asyncio.CancelledError:
            raise RequestAborted

    def _cancel(self) -> None:
        if self._task:
            self._cancelled = True
            self._task.cancel()
