"""What the apps open before the first request and close after the last."""

import asyncio
import inspect
import logging
from collections.abc import Callable, Coroutine, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, AbstractContextManager, nullcontext, suppress
from importlib import import_module
from keyword import iskeyword
from threading import Event
from typing import Any, Self

from django.apps import apps
from django.utils.module_loading import module_has_submodule

from serving.conf import conf
from serving.lifespan.state import ORIGIN, Origin, Started, State, opened

logger = logging.getLogger(__package__)

# What contextlib says of a generator, in words that name the mistake.
GENERATOR_MISTAKES = {
    "generator didn't yield": "lifespan() never yields; it must yield once, a mapping",
    "generator didn't stop": "lifespan() yields twice; it must yield once",
}


class LifespanError(Exception):
    """An app's lifespan failed. The message names the app; the cause is what it raised, if it did.

    The message may hold what nobody else is to know: a host, a password. `public` does not.
    """

    def __init__(self, message: str, public: str = "") -> None:
        super().__init__(message)
        self.public = public


class Resources:
    """What the apps' lifespans opened; for a command, a script or a shell, a context manager.

    They are entered in the order of INSTALLED_APPS and left in reverse, all in one task, so that
    cancel scopes and task groups work. `with Resources()` runs them on an event loop in a thread of its own,
    `async with` on the running one. Seconds that are not given are LIFESPAN_STARTUP_TIMEOUT and so on.
    `on_end` is called, by the sync form in that thread, where a lifespan ends by itself.
    """

    def __init__(
        self,
        *,
        startup_timeout: float | None = None,
        shutdown_timeout: float | None = None,
        guard: Callable[["Resources", float], AbstractContextManager[None]] | None = None,
        on_end: Callable[[], None] = lambda: None,
    ) -> None:
        self.startup_timeout = conf.LIFESPAN_STARTUP_TIMEOUT(startup_timeout)
        self.shutdown_timeout = conf.LIFESPAN_SHUTDOWN_TIMEOUT(shutdown_timeout)
        self.at_work = "no app"  # the app that is entered or left
        self.hung: list[str] = []  # the apps that were cancelled after a timeout
        self._guard = guard or (lambda resources, seconds: nullcontext())
        self._on_end = on_end
        self.items: dict[str, Any] = {}
        self.started: list[Started] = []
        self._shown: State | None = None  # where it stands among what this process opened
        self._entered: list[tuple[str, AbstractAsyncContextManager[object]]] = []

    @property
    def state(self) -> Any:
        """What the apps yielded, as attributes; see `State`."""
        return State({**self.items, ORIGIN: Origin(started=self.started)})

    async def enter(self) -> None:
        """Enters every app's lifespan. Raises LifespanError, after leaving those it had entered."""
        clock = asyncio.get_running_loop().time
        deadline = clock() + self.startup_timeout
        owners: dict[str, str] = {}
        for app in apps_with_lifespan():
            began = clock()
            self.at_work = app
            try:
                with self._guard(self, deadline - began):
                    async with asyncio.timeout_at(deadline):
                        context = open_context(app)
                        items = await context.__aenter__()
                        self._entered.append((app, context))
                if clock() >= deadline:  # by code that blocked, or ignored its cancellation
                    raise TimeoutError
                items = checked(app, items, owners)
                self.items.update(items)
            except GeneratorExit:
                raise
            except BaseException as error:  # a sys.exit() in an app must not skip the others' exits
                late = clock() >= deadline
                if late:
                    self.hung.append(app)
                await self.leave()
                self.at_work = app
                if isinstance(error, asyncio.CancelledError) and cancel_requested():
                    raise
                limit = f"started after {self.startup_timeout:g} s (LIFESPAN_STARTUP_TIMEOUT)"
                raise failure(app, error, limit if late else "") from error
            self.started.append(Started(app, clock() - began, tuple(items)))
            logger.info("%s: started in %.0f ms", app, self.started[-1].seconds * 1000)
        self._shown = self.state
        opened.append(self._shown)

    async def leave(self) -> list[LifespanError]:
        """Leaves what was entered. A failure is logged and returned; the others are still left."""
        if self._shown is not None:
            opened.remove(self._shown)
            self._shown = None
        clock = asyncio.get_running_loop().time
        deadline = clock() + self.shutdown_timeout
        failures = []
        cancelled = None
        while self._entered:
            app, context = self._entered.pop()
            began = clock()
            self.at_work = app
            # Half of what is left, the last app all: one that hangs leaves time for the others.
            share = (deadline - began) / (2 if self._entered else 1)
            try:
                with self._guard(self, deadline - began):
                    async with asyncio.timeout(share) as timeout:
                        # Without an error, whatever the reason: so code after a bare `yield` runs too.
                        await context.__aexit__(None, None, None)
            except GeneratorExit:
                raise
            except BaseException as error:
                if isinstance(error, asyncio.CancelledError) and cancel_requested():
                    cancelled = error
                if timeout.expired():
                    self.hung.append(app)
                limit = f"stopped after {share:.3g} s" if timeout.expired() else ""
                failures.append(failure(app, error, limit))
                logger.exception("shutdown failed: %s", failures[-1])
            else:
                logger.info("%s: stopped in %.0f ms", app, (clock() - began) * 1000)
        self.items.clear()
        self.started.clear()
        if cancelled and cancel_requested():
            raise cancelled
        return failures

    async def __aenter__(self) -> Self:
        await self.enter()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.leave()

    def __enter__(self) -> Self:
        if asyncio._get_running_loop():
            raise RuntimeError("an event loop runs here already: write `async with Resources()`")
        ready = Event()
        self._thread = ThreadPoolExecutor(1, "lifespan")
        self._held = self._thread.submit(asyncio.run, self._hold(ready))
        self._held.add_done_callback(lambda _: ready.set())
        ready.wait()
        if self._held.done():
            self._wait_for_end()
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(RuntimeError):  # the loop has ended, if a lifespan has
            self.loop.call_soon_threadsafe(self._end.set)
        self._wait_for_end()

    def run[T](self, coroutine: Coroutine[Any, Any, T]) -> T:
        """In the sync form: runs a coroutine on the event loop that the resources were opened on."""
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result()

    async def _hold(self, ready: Event) -> None:
        """Holds the resources open, in one task, until `__exit__`."""
        async with self:
            self.loop, self._end = asyncio.get_running_loop(), asyncio.Event()
            ready.set()
            try:
                await self._end.wait()
            except asyncio.CancelledError:  # by a task group that an app holds open
                self._on_end()
                raise RuntimeError("a lifespan ended by itself; the log says why") from None

    def _wait_for_end(self) -> None:
        """Raises what went wrong."""
        self._thread.shutdown()
        self._held.result()


def apps_with_lifespan() -> list[str]:
    """The installed apps that have a `lifespan.py`, in the order of INSTALLED_APPS."""
    return [
        config.name
        for config in apps.get_app_configs()
        if config.name != "serving"  # whose own `lifespan` is the protocol
        and config.module is not None
        and module_has_submodule(config.module, "lifespan")
    ]


def open_context(app: str) -> AbstractAsyncContextManager[object]:
    """What the app's `lifespan()` returns. Raises LifespanError if it can't be entered."""
    lifespan = getattr(import_module(f"{app}.lifespan"), "lifespan", None)
    if not callable(lifespan):
        raise LifespanError(
            "lifespan.py defines no function `lifespan`; write `@asynccontextmanager` and"
            " `async def lifespan()`"
        )
    context = lifespan()
    if isinstance(context, AbstractAsyncContextManager):
        return context
    if inspect.iscoroutine(context):
        context.close()  # or Python warns that it was never awaited
    raise LifespanError(
        f"lifespan() returns a {type(context).__name__}, not an async context manager; write"
        " `@asynccontextmanager` above `async def lifespan()`, and `yield` a mapping in it"
    )


def checked(app: str, items: object, owners: dict[str, str]) -> Mapping[str, Any]:
    """What an app yielded, noted in `owners`. Raises LifespanError if it can't become attributes."""
    if not isinstance(items, Mapping):
        raise LifespanError(
            f"lifespan() yields {type(items).__name__}, not a mapping; yield a dict, an empty one if"
            " there is nothing to share"
        )
    for name in items:
        if not (isinstance(name, str) and name.isidentifier()) or iskeyword(name) or name[0] == "_":
            raise LifespanError(f"lifespan() yields the name {name!r}, which can't be an attribute")
        if name in owners:
            raise LifespanError(f"lifespan() yields {name!r}, as {owners[name]} does; rename one")
        owners[name] = app
    return items


def failure(app: str, error: BaseException, limit: str) -> LifespanError:
    """An app's error as a LifespanError; `limit`: what it has not done in time, if that is it."""
    if limit:
        return LifespanError(f"{app}: not {limit}", f"{app}: TimeoutError")
    kind, text = type(error).__name__, str(error).strip().partition("\n")[0]
    if isinstance(error, RuntimeError) and text in GENERATOR_MISTAKES:
        text = GENERATOR_MISTAKES[text]
    elif not isinstance(error, LifespanError):
        text = f"{kind}: {text}" if text else kind
    return LifespanError(f"{app}: {text}", f"{app}: {kind}")


def cancel_requested() -> bool:
    """Whether someone asked for this task to be cancelled, and nobody took it back."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
