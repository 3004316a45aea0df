"""The ASGI lifespan: what the apps open before the first request and close after the last.

An app's `lifespan.py` defines `lifespan()`, an async context manager that yields a mapping; its
items become attributes of `request.state`:

    @asynccontextmanager
    async def lifespan() -> AsyncIterator[dict[str, object]]:
        async with AsyncClient() as client:
            yield {"client": client}

Specification: https://asgi.readthedocs.io/en/latest/specs/lifespan.html
"""

import asyncio
import inspect
import logging
from collections.abc import Coroutine
from typing import Any

from serving.lifespan.resources import LifespanError, Resources, cancel_requested
from serving.lifespan.state import ORIGIN
from serving.lifespan.watchdogs import end_without_threads, ended_if_blocked
from serving.log.context import carry_context
from serving.stopping.signals import stopping
from serving.types import ASGIApp, Receive, Scope, Send

logger = logging.getLogger(__package__)

GIVEN_UP = "startup given up: the server was told to stop"


class Lifespan:
    """ASGI middleware that answers the `lifespan` scope and passes everything else on untouched.

    `required`: whether a failed startup ends the server, or is logged and served without.
    `startup_timeout`, `shutdown_timeout`: seconds that all apps together may take.
    `enabled`: whether the apps' lifespans run at all; the server gets its answer either way.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        required: bool,
        startup_timeout: float,
        shutdown_timeout: float,
        enabled: bool = True,
    ) -> None:
        self.app = app
        self.required = required
        self.startup_timeout = startup_timeout
        self.shutdown_timeout = shutdown_timeout
        self.enabled = enabled
        self.mode = "LIFESPAN=disabled"
        self.problem: str | None = "no lifespan runs, since LIFESPAN=disabled"
        self.public_problem: str | None = self.problem
        if enabled:
            self.mode = "LIFESPAN=required" if required else "LIFESPAN=optional"
            self.problem = self.public_problem = None

    # Servers ask whether they are given a coroutine function. This one hands on the coroutine of the
    # application itself, so a request pays for no coroutine of its own.
    @inspect.markcoroutinefunction
    def __call__(
        self, scope: Scope, receive: Receive, send: Send | None = None
    ) -> Coroutine[Any, Any, None]:
        if send is None:  # gunicorn without a worker class, say
            raise TypeError(
                "config.asgi is an ASGI application, and this server calls it as one of another kind:"
                " use `make run`, or this server's option for ASGI"
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
        stopping.listen(starting=True)
        try:
            try:
                started = await self._started(resources)
            except asyncio.CancelledError:  # Granian takes it for a success
                logger.error("startup failed: %s: its task was cancelled", resources.at_work)
                await send({"type": "lifespan.startup.failed", "message": ""})
                raise
            if not started:
                await send({"type": "lifespan.startup.failed", "message": ""})  # it is logged
                return
            state.update(resources.items, **{ORIGIN: self})
            await send({"type": "lifespan.startup.complete"})

            failures = await self._served(resources, receive, state)
            outcome = "failed" if failures else "complete"
            await send({"type": f"lifespan.shutdown.{outcome}"})
        finally:
            stopping.stop_listening()
            if resources.hung:
                end_without_threads(resources.hung)

    async def _started(self, resources: "Resources") -> bool:
        """Enters the lifespans; whether the server is to go on."""
        if self.enabled and not await self._entered(resources):
            return False
        if stopping.serve():
            return True
        await resources.leave()  # what was entered by code that no cancellation reached
        logger.warning(GIVEN_UP)
        return False

    async def _entered(self, resources: "Resources") -> bool:
        """Enters the lifespans; whether they may be served with, or without in the optional mode."""
        task = asyncio.current_task()
        assert task is not None  # noqa: S101
        stopping.call(task.cancel)
        try:
            await resources.enter()
        except asyncio.CancelledError:
            if not stopping.is_set():
                raise
            while task.uncancel():
                pass
            logger.warning(GIVEN_UP)
            return False
        except LifespanError as error:
            self.problem = f"startup failed: {error}"
            self.public_problem = f"startup failed: {error.public}; the log says more"
            if self.required:
                logger.error("%s", self.problem, exc_info=error.__cause__)
                return False
            detailed = logger.isEnabledFor(logging.DEBUG)
            logger.warning(
                "%s; serving without the apps' state (LIFESPAN=optional)%s",
                self.problem,
                "" if detailed else "; GRANIAN_LOG_LEVEL=debug shows the traceback",
                exc_info=error.__cause__ if detailed else None,
            )
        finally:
            stopping.forget(task.cancel)
        return True

    async def _served(
        self, resources: "Resources", receive: Receive, state: dict[str, Any]
    ) -> list[LifespanError]:
        """Waits for the shutdown and leaves the lifespans; returns what failed to be left."""
        task = asyncio.current_task()
        assert task is not None  # noqa: S101
        overdue = False

        def leave_now() -> None:
            nonlocal overdue
            overdue = task.cancel()

        stopping.overdue = leave_now
        try:
            await receive()  # lifespan.shutdown
        except asyncio.CancelledError:
            if overdue:
                # Granian waits for ever for a client that does not read what it was sent.
                task.uncancel()
                logger.warning("the server does not stop: leaving the lifespans before it kills it")
                failures = await resources.leave()
                await receive()  # lifespan.shutdown, should it come yet
                return failures
            # By the server, or by a task group that an app holds open, one of whose tasks failed.
            failures = await resources.leave()
            if cancel_requested():
                raise
            self.problem = f"ended while serving: {'; '.join(map(str, failures))}"
            kinds = "; ".join(failure.public for failure in failures)
            self.public_problem = f"ended while serving: {kinds}; the log says more"
            logger.critical("%s", self.problem)
            state.clear()
            state[ORIGIN] = self
            await receive()  # lifespan.shutdown
            return failures
        finally:
            stopping.overdue = None
        return await resources.leave()
