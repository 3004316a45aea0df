"""Learning of the order to stop: the signals SIGTERM and SIGINT."""

import asyncio
import logging
import signal
import socket
from collections import ChainMap
from collections.abc import Callable
from contextlib import suppress
from threading import current_thread, main_thread
from types import FrameType
from typing import Any

logger = logging.getLogger(__package__)

SIGNALS = (signal.SIGTERM, signal.SIGINT)

# Seconds, and turns of the loop behind them, in which an event loop has surely handed on a signal that
# it has seen (rloop may leave its sockets unread for 250 us), and in which a server that stops its
# loop between startup and serving has done so: Granian does in the third turn.
PAUSE = 0.01

TURNS = 10


class Stopping:
    """Whether this process was told to stop, by SIGTERM or SIGINT.

    A response that lasts asks it, in sync code `stopping.is_set()`, in async code

        while not await stopping.wait(1.0):
            yield ...

    The server is told when it can bear it. Granian's handler of a signal stands still for ever, and
    the worker with it, the second time that it is called before the server serves, and the third while
    responses are open. A terminal's Ctrl-C and systemd tell a worker twice: by themselves and by its
    parent.
    """

    def __init__(self) -> None:
        self._told = False
        self._repeats = False
        self._settled = False  # the loop stands still no more, so it loses no signal
        self._bypass: Bypass | None = None  # while a startup is under way
        self._lost: int | None = None  # a signal that the loop may have lost
        self._loop: asyncio.AbstractEventLoop | None = None
        self._event = asyncio.Event()
        self._callbacks: list[Callable[[], object]] = []
        self.overdue: Callable[[], object] | None = None  # called when the server waits in vain
        # What handled the signals before: first before `listen_early`, then before `listen`.
        self._previous: ChainMap[int, Any] = ChainMap()

    def is_set(self) -> bool:
        """Whether the order to stop has come."""
        return self._told

    async def wait(self, timeout: float | None = None) -> bool:  # noqa: ASYNC109
        """Waits for the order to stop, for `timeout` seconds at most; returns whether it has come."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                await self._event.wait()
        return self._told

    def call(self, callback: Callable[[], object]) -> None:
        """Has a function called on the event loop when the order comes."""
        self._callbacks.append(callback)

    def forget(self, callback: Callable[[], object]) -> None:
        """Takes back a `call`."""
        self._callbacks.remove(callback)

    @property
    def listening(self) -> bool:
        """Whether it would learn of the order."""
        return self._loop is not None

    def listen_early(self) -> None:
        """Has a signal that comes before `listen` end the process, since nothing is open yet.

        A worker of Granian inherits the handlers of the process that it was forked from, and has
        none of its own until the application is imported: so it would lose the signal.
        """
        self._handle_signals()

    def listen(self, *, starting: bool = False) -> None:
        """Starts to listen, for the running event loop; what the server does on a signal stays.

        `starting`: whether a startup is under way, which fails when the order comes before `serve`.
        """
        self._told = False
        self._settled = not starting
        self._lost = None
        self._event = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._previous = self._previous.new_child()
        self._handle_signals()
        if starting and current_thread() is main_thread():
            self._bypass = Bypass(self._loop)

    def serve(self) -> bool:
        """Ends the startup; returns whether the server is to serve: no order has come by now."""
        self._end_bypass()  # before it looks: so no order falls between
        if not self._told:
            self._later(self._settle)
        return not self._told

    def _handle_signals(self) -> None:
        """Python calls signal handlers in the main thread alone, so elsewhere nothing is learnt."""
        if current_thread() is main_thread():
            for number in SIGNALS:
                previous = signal.signal(number, self._hear)
                if previous != self._hear:
                    self._previous[number] = previous

    def stop_listening(self) -> None:
        """Gives the signals back."""
        self._end_bypass()
        self._loop = None
        for number, previous in self._previous.maps[0].items():
            signal.signal(number, previous)
        self._previous = self._previous.parents

    def _end_bypass(self) -> None:
        if self._bypass:
            self._bypass.close()
            self._bypass = None

    def _hear(self, number: int, frame: FrameType | None) -> None:
        if self._repeats:
            return
        first, self._told = not self._told, True
        if first and self._loop is not None and not self._loop.is_closed():
            if not self._bypass:
                self._silence(*(other for other in SIGNALS if other != number))
            if not self._settled:
                self._lost = number
            self._loop.call_soon_threadsafe(self._tell, number)
        previous = self._previous[number]
        if self._through_loop(number):
            pass  # Granian and hypercorn are woken by the loop
        elif callable(previous):  # uvicorn is called here
            previous(number, frame)
        elif previous == signal.SIG_DFL:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
        if self._loop is None and not loop_runs():
            raise SystemExit(0)

    def _tell(self, number: int) -> None:
        """Tells those who asked to be called."""
        self._event.set()
        for callback in list(self._callbacks):
            callback()
        if self._settled:
            self._later(self._silence, number)

    def _settle(self) -> None:
        """Tells the server again of a signal that its loop may have lost.

        uvloop and rloop drop a signal that comes while they do not run, as between startup and
        serving under Granian; and whether they ran when it came can't be known here, for Python calls
        a handler some time after the signal.
        """
        self._settled = True
        if self._lost is None:
            return
        self._repeats = True
        try:
            signal.raise_signal(self._lost)
        finally:
            self._repeats = False
        self._later(self._silence, self._lost)

    def _silence(self, *numbers: int) -> None:
        """Has the loop tell the server nothing more of these signals."""
        if self._loop is None or self._loop.is_closed():
            return
        for number in numbers:
            if self._through_loop(number):
                self._loop.add_signal_handler(number, lambda: None)

    def _through_loop(self, number: int) -> bool:
        """Whether the server hears a signal by its loop, which has a handler of its own for it."""
        return self._loop is not None and package(self._previous[number]) == package(
            type(self._loop)
        )

    def _later(self, callback: Callable[..., object], *arguments: int) -> None:
        """Calls a function after PAUSE and TURNS."""
        loop = asyncio.get_running_loop()

        def turn(left: int) -> None:
            if left:
                loop.call_soon(turn, left - 1)
            else:
                callback(*arguments)

        loop.call_later(PAUSE, turn, TURNS)


class Bypass:
    """Leads signals past an event loop, which still wakes for them; Python calls their handlers."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._woken, self._waker = socket.socketpair()
        self._woken.setblocking(False)
        self._waker.setblocking(False)
        loop.add_reader(self._woken.fileno(), self._wake)
        self._loops_own = signal.set_wakeup_fd(self._waker.fileno(), warn_on_full_buffer=False)

    def _wake(self) -> None:
        """Python calls the signals' handlers in Python code alone: here, where the loop runs none."""
        self._woken.recv(4096)

    def close(self) -> None:
        """Gives the signals back to the loop."""
        signal.set_wakeup_fd(self._loops_own, warn_on_full_buffer=False)
        self._loop.remove_reader(self._woken.fileno())
        self._woken.close()
        self._waker.close()


def package(thing: object) -> str:
    """The top-level package that a function or class comes from."""
    return (getattr(thing, "__module__", None) or "").partition(".")[0]


def loop_runs() -> bool:
    """Whether an event loop runs in this thread."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


stopping = Stopping()
