"""The ASGI lifespan, spoken to the server: https://asgi.readthedocs.io/en/latest/specs/lifespan.html"""

import asyncio
import inspect
import logging
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any

from serving.conf import conf
from serving.lifespan.resources import LifespanError, Resources, cancel_requested
from serving.lifespan.state import ORIGIN, Origin
from serving.lifespan.watchdogs import end_without_threads, ended_if_blocked
from serving.log.context import carry_context
from serving.stopping.signals import stopping
from serving.types import ASGIApp, Receive, Scope, Send

logger = logging.getLogger(__package__)


class Lifespan:
    """ASGI middleware that answers the `lifespan` scope and passes everything else on untouched.

    What is not given is read from LIFESPAN (`mode`), LIFESPAN_STARTUP_TIMEOUT and so on; times are in seconds.
    A second after `drain_timeout` the lifespans are left, even if the server still waits for a client.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        mode: str | None = None,
        startup_timeout: float | None = None,
        shutdown_timeout: float | None = None,
        drain_timeout: float | None = None,
    ) -> None:
        self.app = app
        self.mode = conf.LIFESPAN(mode)
        self.startup_timeout = conf.LIFESPAN_STARTUP_TIMEOUT(startup_timeout)
        self.shutdown_timeout = conf.LIFESPAN_SHUTDOWN_TIMEOUT(shutdown_timeout)
        self.drain_timeout = conf.DRAIN_TIMEOUT(drain_timeout)
        self._origin = Origin(f"LIFESPAN={self.mode}")
        if self.mode == "disabled":
            self._note("no lifespan runs, since LIFESPAN=disabled")

    # Servers ask whether they are given a coroutine function. This one returns the coroutine of the
    # application itself, so a request pays for no coroutine of its own.
    @inspect.markcoroutinefunction
    def __call__(
        self, scope: Scope, receive: Receive, send: Send | None = None
    ) -> Coroutine[Any, Any, None]:
        if send is None:  # gunicorn without a worker class, say
            raise TypeError(
                "this is an ASGI application, and this server calls it as one of another kind: use"
                " `python -m serving`, or this server's option for ASGI"
            )
        if scope["type"] == "lifespan":
            return self._run(scope, receive, send)
        return self.app(scope, receive, send)

    async def _run(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The protocol, in the one task that the server gives it."""
        carry_context(asyncio.get_running_loop())
        state: dict[str, Any] = scope.setdefault("state", {})
        resources = Resources(
            startup_timeout=self.startup_timeout,
            shutdown_timeout=self.shutdown_timeout,
            guard=ended_if_blocked,
        )
        await receive()  # lifespan.startup
        try:
            with stopping.startup():
                if not await self._start(resources, send):
                    await send({"type": "lifespan.startup.failed", "message": ""})  # it is logged
                    return
                self._origin.started = resources.started
                state.update(resources.items, **{ORIGIN: self._origin})
                await send({"type": "lifespan.startup.complete"})
                failures = await self._serve_then_leave(resources, receive, state)
                outcome = "failed" if failures else "complete"
                await send({"type": f"lifespan.shutdown.{outcome}"})
        finally:
            if resources.hung:
                end_without_threads(resources.hung)

    async def _start(self, resources: Resources, send: Send) -> bool:
        """Enters the lifespans; returns whether the server is to serve."""
        serves = True
        task = asyncio.current_task()
        assert task is not None  # noqa: S101
        if self.mode != "disabled" and not stopping.is_set():
            stopping.add_callback(task.cancel)
            try:
                await resources.enter()
            except asyncio.CancelledError:
                if not stopping.is_set():  # which Granian takes for a success; open in 2.8.9:
                    # https://github.com/emmett-framework/granian/blob/v2.8.9/granian/asgi.py#L31-L42
                    logger.error("startup failed: %s: its task was cancelled", resources.at_work)
                    await send({"type": "lifespan.startup.failed", "message": ""})
                    raise
                while task.uncancel():
                    pass
            except LifespanError as error:
                serves = self._serves_without(error)
            finally:
                stopping.remove_callback(task.cancel)
        if stopping.end_startup():
            return serves
        await resources.leave()  # what was entered by code that no cancellation reached
        logger.warning("startup given up: the server was told to stop")
        return False

    def _serves_without(self, error: LifespanError) -> bool:
        """Logs why the startup failed; returns whether to serve all the same."""
        problem = self._note("startup failed", error)
        if self.mode == "required":
            logger.error("%s", problem, exc_info=error.__cause__)
            return False
        detailed = logger.isEnabledFor(logging.DEBUG)
        logger.warning(
            "%s; serving without the apps' state (LIFESPAN=optional)%s",
            problem,
            "" if detailed else "; GRANIAN_LOG_LEVEL=debug shows the traceback",
            exc_info=error.__cause__ if detailed else None,
        )
        return True

    def _note(self, what: str, *errors: LifespanError) -> str:
        """Notes why there is no state; returns it for the log."""
        origin = self._origin
        origin.problem = origin.public_problem = what
        if errors:
            origin.problem = f"{what}: {'; '.join(map(str, errors))}"
            kinds = "; ".join(error.public for error in errors)
            origin.public_problem = f"{what}: {kinds}; the log says more"
        return origin.problem

    async def _serve_then_leave(
        self, resources: Resources, receive: Receive, state: dict[str, Any]
    ) -> list[LifespanError]:
        """Waits for the shutdown and leaves the lifespans; returns what failed to be left."""
        shutdown = asyncio.ensure_future(receive())
        overdue = asyncio.ensure_future(self._overdue())
        try:
            with suppress(asyncio.CancelledError):
                await asyncio.wait({shutdown, overdue}, return_when=asyncio.FIRST_COMPLETED)
            cancelled = not (shutdown.done() or overdue.done())
            if not (shutdown.done() or cancelled):
                logger.warning("leaving the lifespans: the server does not stop by itself")
            failures = await resources.leave()
            if cancelled:
                if cancel_requested():
                    raise asyncio.CancelledError
                # By a task group that an app holds open, one of whose tasks failed.
                logger.critical("%s", self._note("ended while serving", *failures))
                state.clear()
                state[ORIGIN] = self._origin
            await shutdown
        finally:
            shutdown.cancel()
            overdue.cancel()
        return failures

    async def _overdue(self) -> None:
        """Returns when the server should have shut down: Granian waits for a client that does not read.

        Open in 2.8.9:
        https://github.com/emmett-framework/granian/issues/547
        """
        await stopping.wait()
        await asyncio.sleep(self.drain_timeout + 1.0)
