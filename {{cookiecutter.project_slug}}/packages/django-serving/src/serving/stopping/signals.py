"""Learning of the order to stop: the signals SIGTERM and SIGINT."""

import asyncio
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from threading import current_thread, main_thread
from types import FrameType
from typing import Any

from serving.process.flags import granian_flags
from serving.stopping.listeners import empty_accept_queues

SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Stopping:
    """Whether this process was told to stop, by SIGTERM or SIGINT: a response that lasts asks it."""

    def __init__(self) -> None:
        self._told = False
        self._event = asyncio.Event()
        self._callbacks: list[Callable[[], object]] = []
        self._loop: asyncio.AbstractEventLoop | None = None  # the server's, once there is one
        self._starting = False
        self._previous: dict[int, Any] = {}  # what handled the signals before
        self._stop_server: Callable[[], object] | None = None  # instead of those handlers

    def is_set(self) -> bool:
        """Whether the order to stop has come."""
        return self._told

    async def wait(self, timeout: float | None = None) -> bool:  # noqa: ASYNC109
        """Waits for the order to stop, for `timeout` seconds at most; returns whether it has come."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                await self._event.wait()
        return self._told

    def add_callback(self, callback: Callable[[], object]) -> None:
        """Registers a function to be called on the event loop when the order comes, or now if it has."""
        self._callbacks.append(callback)
        if self._event.is_set():
            callback()

    def remove_callback(self, callback: Callable[[], object]) -> None:
        """Removes a callback, if it is registered."""
        if callback in self._callbacks:
            self._callbacks.remove(callback)

    def install(self) -> None:
        """Handles the signals of this process; while it has no event loop, a signal ends it.

        To be called before Django is imported, which takes longest: a forked worker of Granian has the
        main process's handlers until its loop exists, and would lose a signal.
        """
        granian: Any = sys.modules.get("granian._signals")
        if granian:
            granian.set_loop_signals = set_loop_signals
        self.listen(asyncio._get_running_loop())  # which uvicorn has by now

    def listen(
        self,
        loop: asyncio.AbstractEventLoop | None,
        stop_server: Callable[[], object] | None = None,
    ) -> None:
        """Handles the signals for what runs on this event loop.

        `stop_server` is called on it, once and not during a startup, in the place of the handlers before.
        """
        self._told, self._starting, self._event = False, False, asyncio.Event()
        self._loop, self._stop_server = loop, stop_server
        if current_thread() is main_thread():  # in others, Python lets nobody handle signals
            for number in SIGNALS:
                previous = signal.signal(number, self._hear)
                if previous != self._hear:
                    self._previous[number] = previous

    @contextmanager
    def startup(self) -> Iterator[None]:
        """Listens on the running event loop while the body starts the server, and serves.

        Until `end_startup` the server is not told of the order: its startup is to fail. At the end the
        signals are given back, unless something listened on this loop already.
        """
        loop = asyncio.get_running_loop()
        if listens := self._loop is not loop:
            self.listen(loop)
        self._starting = True
        try:
            yield
        finally:
            if listens:
                self._loop = None
                self._callbacks.clear()
                if current_thread() is main_thread():
                    for number, previous in self._previous.items():
                        signal.signal(number, previous)

    def end_startup(self) -> bool:
        """Returns whether the server is to serve: no order has come by now."""
        self._starting = False
        return not self._told

    def _hear(self, number: int, frame: FrameType | None) -> None:
        first, self._told = not self._told, True
        if first and self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._tell)
        previous = self._previous[number]
        if self._stop_server:
            return
        if callable(previous):
            previous(number, frame)
        elif previous == signal.SIG_DFL:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
        if self._loop is None and asyncio._get_running_loop() is None:
            raise SystemExit(0)

    def _tell(self) -> None:
        self._event.set()
        for callback in list(self._callbacks):
            callback()
        if self._stop_server and not self._starting:
            self._stop_server()


stopping = Stopping()


def set_loop_signals(loop: asyncio.AbstractEventLoop) -> Any:
    """Handles the signals of a worker of Granian, in the place of its own function of this name.

    Granian's handler blocks for good, and the worker with it, the second time that it is called before
    the server serves, and the third while responses are open; but Ctrl-C in a terminal and systemd signal
    a worker twice: directly and through its parent. And uvloop and rloop drop a signal that comes while
    they do not run, as between startup and serving. Open in Granian 2.8.9, uvloop 0.23.0, rloop 0.5.0:
    https://github.com/emmett-framework/granian/blob/v2.8.1/src/workers.rs#L39-L57
    https://github.com/MagicStack/uvloop/blob/v0.22.1/uvloop/loop.pyx#L333-L353
    https://github.com/gi0baro/rloop/blob/v0.5.0/rloop/loop.py#L1060-L1070
    """
    from granian._granian import WorkerSignal

    if type(loop).__module__.partition(".")[0] == "rloop":
        close_once(loop)
    told = WorkerSignal()
    for number in SIGNALS:  # so that a signal wakes the loop, and Python calls our handler
        loop.add_signal_handler(number, lambda: None)
    stopping.listen(loop, partial(empty_accept_queues, granian_flags().get("port"), told.set))
    return told


def close_once(loop: Any) -> None:
    """Lets rloop close the sockets that wake it for signals, and Python not once more.

    By then another thread may have opened something with the same numbers: a worker lost its connection to the
    database by that, or died of it, at one start in fifty. Open in rloop 0.5.0:
    https://github.com/gi0baro/rloop/blob/v0.5.0/rloop/loop.py#L980-L986
    """
    close = loop._ssock_stop

    def close_and_forget() -> None:
        pair = loop._ssock_r, loop._ssock_w
        close()
        for each in pair:
            each.detach()

    loop._ssock_stop = close_and_forget
