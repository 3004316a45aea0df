"""Stopping in time: requests finish, streams learn of it, and what stays open is ended.

Granian stops listening on SIGTERM, waits for the responses that are open, for ever if one never ends,
and runs lifespan shutdown after that. So one open stream would leave every resource unclosed when the
worker is killed. Here what is still open after a while is ended.
"""

import asyncio
import inspect
import logging
import signal
from collections import ChainMap
from collections.abc import Callable, Coroutine
from contextlib import suppress
from threading import current_thread, main_thread
from types import FrameType
from typing import Any

from serving.asgi import ASGIApp, Message, Receive, Scope, Send

logger = logging.getLogger(__name__)

SIGNALS = (signal.SIGTERM, signal.SIGINT)

# Of the event loop, a millisecond apart: more than a server needs from startup to serving, or to
# handle a signal. Time alone won't do: in an iteration that was held up, timers come before signals.
ITERATIONS = 10


class Stopping:
    """Whether this process was told to stop, by SIGTERM or SIGINT.

    A response that lasts asks it, in sync code `stopping.is_set()`, in async code

        while not await stopping.wait(1.0):
            yield ...
    """

    def __init__(self) -> None:
        self._told = False
        self._repeats = False
        self._serving = False  # the loop runs for good, and drops no signal
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

    def listen(self) -> None:
        """Starts to listen, for the running event loop; what the server does on a signal stays."""
        self._told = self._serving = False
        self._event = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._previous = self._previous.new_child()
        self._handle_signals()

    def started(self) -> None:
        """To be called when the startup is complete and the server goes on to serve."""
        self._later(self._serve)

    def _serve(self) -> None:
        self._serving = True

    def _later(self, callback: Callable[[], object], iterations: int = ITERATIONS) -> None:
        """Calls a function after some iterations of the loop; not at all if it listens no more."""
        if self._loop is None:
            return
        if iterations:
            self._loop.call_later(0.001, self._later, callback, iterations - 1)
        else:
            callback()

    def _handle_signals(self) -> None:
        """Python calls signal handlers in the main thread alone, so elsewhere nothing is learnt."""
        if current_thread() is main_thread():
            for number in SIGNALS:
                previous = signal.signal(number, self._hear)
                if previous != self._hear:
                    self._previous[number] = previous

    def stop_listening(self) -> None:
        """Gives the signals back."""
        self._loop = None
        for number, previous in self._previous.maps[0].items():
            signal.signal(number, previous)
        self._previous = self._previous.parents

    def _hear(self, number: int, frame: FrameType | None) -> None:
        if self._repeats:
            return
        self._told = True
        if self._loop is not None and not self._loop.is_closed():
            heard = self._serving and loop_runs()
            self._loop.call_soon_threadsafe(self._tell, None if heard else number)
        # A server that uses its loop's signal handling (Granian, hypercorn) is woken by the loop, and
        # what it left here does nothing; another (uvicorn) is called here.
        previous = self._previous[number]
        if callable(previous):
            previous(number, frame)
        elif previous == signal.SIG_DFL:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
        if self._loop is None and not loop_runs():
            raise SystemExit(0)

    def _tell(self, missed: int | None) -> None:
        """Tells the server again of a signal that it may have missed, and those who asked to know.

        uvloop and rloop drop a signal that comes while they do not run, as between startup and
        serving under Granian; and whether they ran when it came can't be known at first, for Python
        calls a handler some time after the signal. Servers take the second for the first.
        """
        if self._event.is_set():  # a second signal says nothing new
            return
        if missed is not None:
            self._repeats = True
            try:
                signal.raise_signal(missed)
            finally:
                self._repeats = False
        self._later(self._mute)
        self._event.set()
        for callback in list(self._callbacks):
            callback()

    def _mute(self) -> None:
        """Keeps further signals from a server that uses its loop's signal handling.

        A worker of Granian that is told three times hangs: each is sent to a thread that takes one,
        through a queue that holds one. Ctrl-C tells it twice already, since a terminal signals every
        process, and the main one then each worker.
        """
        if self._loop is not None and current_thread() is main_thread():
            for number in SIGNALS:
                self._loop.add_signal_handler(number, lambda: None)
                signal.signal(number, self._hear)


def loop_runs() -> bool:
    """Whether an event loop runs in this thread."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


stopping = Stopping()


class Drain:
    """ASGI middleware that ends the responses still open `timeout` seconds after the order to stop.

    Their task is cancelled, so async views and streams run their `finally`. A response that was not
    begun becomes a 503; a stream is ended as if it were complete, unless it has promised a length.
    """

    def __init__(self, app: ASGIApp, *, timeout: float) -> None:
        self.app = app
        self.timeout = timeout
        self._open: set[Response] = set()
        stopping.call(self._begin)

    @inspect.markcoroutinefunction
    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Coroutine[Any, Any, None]:
        if scope["type"] == "http":
            return self._serve(scope, receive, send)
        return self.app(scope, receive, send)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        if not stopping.listening:  # in a server that ran no lifespan
            stopping.listen()
            stopping.started()
        response = Response(scope, send)
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

    def _begin(self) -> None:
        asyncio.get_running_loop().call_later(self.timeout, self._end)

    def _end(self) -> None:
        if self._open:
            logger.warning(
                "ended %d responses still open %g s after the order to stop (DRAIN_TIMEOUT): %s",
                len(self._open),
                self.timeout,
                ", ".join(sorted({response.name for response in self._open})),
            )
        for response in list(self._open):
            response.ended = True
            response.task.cancel()
        asyncio.get_running_loop().call_later(1.0, self._give_up)

    def _give_up(self) -> None:
        """A server that still waits for a client has no response left to wait for."""
        if stopping.overdue:
            stopping.overdue()


class Response:
    """How far one response has come."""

    __slots__ = ("_send", "complete", "ended", "name", "promised", "started", "task")

    def __init__(self, scope: Scope, send: Send) -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101
        self.task = task
        self.name = f"{scope['method']} {scope['path']}"
        self.started = self.complete = self.ended = self.promised = False
        self._send = send

    async def send(self, message: Message) -> None:
        """Passes a message on, until the response was ended."""
        if self.ended:  # by a task of the application that its cancellation did not reach
            raise asyncio.CancelledError
        if message["type"] == "http.response.start":
            self.started = True
            self.promised = any(name == b"content-length" for name, _ in message["headers"])
        else:
            self.complete = not message.get("more_body", False)
        await self._send(message)

    async def finish(self) -> None:
        """Ends the response in the application's place, as well as HTTP lets it.

        A client that does not read gets no end: its connection is closed half a second later.
        """
        if self.complete or (self.started and self.promised):
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(0.5):
                await self._end()

    async def _end(self) -> None:
        body = b""
        if not self.started:
            body = b"The server is stopping.\n"
            headers = [(b"content-type", b"text/plain"), (b"retry-after", b"1")]
            await self._send({"type": "http.response.start", "status": 503, "headers": headers})
        await self._send({"type": "http.response.body", "body": body, "more_body": False})
