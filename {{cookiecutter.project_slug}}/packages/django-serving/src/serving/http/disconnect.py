"""Learning that a client left while its request is served.

Nothing here may keep a reference to itself, by a bound method, a task or a traceback: the response would
stay in memory until the garbage collector's next full run.
"""

import asyncio
from collections.abc import Callable
from typing import Self

from django.core.exceptions import RequestAborted

from serving.types import Receive

# Seconds until the server is asked: most requests are over by then. To ask at once takes 10 us of CPU time
# a request, 4 % of a small one.
PATIENCE = 0.02


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
        self._timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._task is not None:
            self._task.cancel()
            self._task = None

    def start(self, callback: Callable[[], object]) -> None:
        """Registers the function to call when the client leaves, in place of the one before."""
        self.stop()
        self._callback = callback
        if self._task is None:
            self._timer = asyncio.get_running_loop().call_later(PATIENCE, self._ask)

    def stop(self) -> None:
        """Removes the function."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._callback = None

    def _ask(self) -> None:
        self._task = asyncio.create_task(self._wait())

    async def _wait(self) -> None:
        message = await self._receive()
        if message["type"] == "http.request":  # an empty body that was not read
            message = await self._receive()
        if message["type"] == "http.disconnect":
            self.gone = True
            if self._callback:
                self._callback()


class cancel_on_disconnect:
    """Cancels the body of an `async with` when the client leaves, and raises RequestAborted then."""

    def __init__(self, watcher: DisconnectWatcher) -> None:
        self._watcher = watcher
        self._cancelled = False

    async def __aenter__(self) -> None:
        if self._watcher.gone:
            raise RequestAborted
        self._task = asyncio.current_task()
        self._watcher.start(self._cancel)

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._watcher.stop()
        task, self._task = self._task, None
        if self._cancelled and task and task.uncancel() == 0 and kind is asyncio.CancelledError:
            raise RequestAborted

    def _cancel(self) -> None:
        if self._task:
            self._cancelled = True
            self._task.cancel()
