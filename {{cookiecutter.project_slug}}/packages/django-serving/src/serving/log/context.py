"""The id of the request that code runs for, and event loops that do not lose it."""

import asyncio
import logging
import sys
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import Context, ContextVar, copy_context
from typing import Any
from weakref import WeakSet

# It flows into tasks, `sync_to_async`, `asyncio.to_thread` and `loop.run_in_executor`; a thread that an app
# starts itself must be given a `copy_context()`.
request_id: ContextVar[str | None] = ContextVar("request_id", default=None)

asyncio_logger = logging.getLogger("asyncio")

carrying: WeakSet[asyncio.AbstractEventLoop] = WeakSet()


class ContextExecutor(ThreadPoolExecutor):
    """Threads in which a call has the context variables of its caller, as with `asyncio.to_thread`.

    And no database connection after it: Django renders the error pages of async views in them, and nobody
    looks after their connections, nor counts them.
    """

    def submit[**P, T](
        self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs
    ) -> Future[T]:
        context = copy_context()

        def call() -> T:
            try:
                return context.run(function, *args, **kwargs)
            finally:
                close_connections()

        return super().submit(call)


def close_connections() -> None:
    """Closes this thread's connections to databases, where Django has any."""
    try:
        if django_db := sys.modules.get("django.db"):
            django_db.connections.close_all()
    except Exception:
        asyncio_logger.exception("a database connection could not be closed")


def carry_context(loop: asyncio.AbstractEventLoop) -> None:
    """Makes an event loop keep context variables where asyncio by itself loses them.

    That is in `run_in_executor`, and when it reports a task whose exception nobody retrieved. Call it before
    an app can set an executor or an exception handler of its own; a second call does nothing.
    """
    if loop not in carrying:
        carrying.add(loop)
        loop.set_default_executor(ContextExecutor(thread_name_prefix="asyncio"))
        loop.set_exception_handler(log_unhandled)


def log_unhandled(*given: Any) -> None:
    """An event loop's exception handler: logs as asyncio's own, with the request id of the task."""
    # It is given the loop and what happened. rloop passes the latter alone; open in 0.5.0:
    # https://github.com/gi0baro/rloop/blob/v0.5.0/rloop/exc.py#L52
    happened: dict[str, Any] = dict(given[-1])
    error = happened.pop("exception", None)
    lines = [happened.pop("message", None) or "Unhandled exception in event loop"]
    lines += [f"{name}: {value!r}" for name, value in happened.items()]
    task = happened.get("task") or happened.get("future")
    if isinstance(task, asyncio.Task):
        context = task.get_context().copy()  # a copy, since a loop may have entered it
    else:  # a future is reported in whatever request it dies, and does not know its own
        context = Context() if task else copy_context()
    context.run(asyncio_logger.error, "\n".join(lines), exc_info=error)
