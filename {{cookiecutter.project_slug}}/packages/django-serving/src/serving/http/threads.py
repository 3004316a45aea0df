"""How a request gets to a thread of the pool and back, with its context variables."""

import asyncio
import contextvars
import logging
import os
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Executor, Future
from contextlib import asynccontextmanager, suppress
from functools import partial
from queue import SimpleQueue
from typing import Any, cast

from asgiref.sync import SyncToAsync, ThreadSensitiveContext, sync_to_async
from asgiref.sync import _restore_context as restore_context
from django.core.exceptions import RequestAborted
from django.db import close_old_connections, reset_queries

from serving.http.originals import as_written
from serving.http.thread_pool import Pool, pool

logger = logging.getLogger(__name__)

# What `Call` leaves out, as asgiref wrote it; nothing, where that was replaced before this was imported.
ASGIREFS = [
    function if as_written(function, "asgiref") else None
    for function in map(vars(SyncToAsync).get, ("__call__", "thread_handler"))
]


class Call:
    """A function on its way through a thread, with a copy of the caller's context variables.

    `function(call)` runs in the thread, and may hand a value to the event loop before it returns.
    """

    def __init__(self, function: Callable[["Call"], None]) -> None:
        self._function = function
        self._loop = asyncio.get_running_loop()
        self._context = contextvars.copy_context()
        self._tasks: list[asyncio.Task[Any]] = []
        self._waiter: asyncio.Future[Any] | None = None
        self._error: BaseException | None = None
        self._over = self.aborted = False
        self._delivered: asyncio.Future[Any] | None = self._loop.create_future()
        # Where the function has kept its thread: for what comes after it.
        self.lease: Lease | None = None

    def run(self) -> None:
        """In the thread: makes the call."""
        try:
            if self.aborted:  # before it was begun
                raise RequestAborted
            bind_to_loop(self._loop, self._tasks)
            self._context.run(self._run)
        except BaseException as error:
            if self._delivered:  # not yet abandoned
                self._error = RequestAborted() if self.aborted else error
                self.deliver(None)
        self._over = True
        self._resolve(self._waiter, None)

    def _run(self) -> None:
        restore_context(self._context)
        self._function(self)

    def deliver(self, value: object) -> None:
        """In the thread: gives the event loop a value, and goes on."""
        self._resolve(self._delivered, value)

    def keep_thread(self, value: object) -> None:
        """In the thread: delivers a value, and makes the calls of `lease` until that is released."""
        self.lease = Lease(pool, taken=True)
        if self.aborted:  # or else `abort` sees the lease
            self.lease.release()
        self.deliver(value)
        self.lease.make_calls()

    def abort(self) -> None:
        """On the event loop: ends the call as soon as it can be, and what it awaits there."""
        self.aborted = True
        if self.lease:
            self.lease.release()
        for task in list(self._tasks):
            task.cancel()

    async def ended(self) -> None:
        """On the event loop: waits until the function has returned. Raises what it raised."""
        # The thread says that it is over and then looks for a waiter; here it is the other way round.
        # Most calls are over by now, and so need not wake the loop once more.
        if not self._over:
            self._waiter = self._loop.create_future()
            if not self._over:
                await self._waiter
        if self._error is not None:
            raise self._error

    def abandon(self) -> None:
        """On the event loop: nobody waits any more, and what is not over is to end."""
        self.abort()
        self._delivered = self._waiter = self._error = None  # a traceback in them leads back here

    async def result(self) -> Any:
        """On the event loop: waits for what the function delivers; None if it ends without.

        Takes over the context variables as the function has set them by then.
        """
        value = await self._delivered if self._delivered else None
        restore_context(self._context)
        return value

    def _resolve(self, future: asyncio.Future[Any] | None, value: object) -> None:
        if future is not None:
            with suppress(RuntimeError):  # the loop is closed: nobody waits any more
                self._loop.call_soon_threadsafe(resolve, future, value)


def resolve(future: asyncio.Future[Any], value: object) -> None:
    """Sets the result of a future, unless it was cancelled."""
    if not future.done():
        future.set_result(value)


async def in_thread[T](lease: "Lease", function: Callable[[], T]) -> T:
    """Calls a function in the thread of a lease, with the context variables of the caller."""
    if asgiref_is_patched():
        by_asgiref: Any = sync_to_async  # its types know no executor but the standard library's
        return cast(T, await by_asgiref(function, thread_sensitive=False, executor=lease)())
    call = Call(lambda call: call.deliver(function()))
    lease.make(call.run)
    try:
        result: T = await call.result()
        await call.ended()
    finally:
        call.abandon()
    return result


class Lease(Executor):
    """One thread of the pool, from the first call that a request makes until `release`.

    An executor for asgiref's ThreadSensitiveContext, which promises that all sync code of a request
    runs on one thread.
    """

    def __init__(self, pool: Pool, *, taken: bool = False) -> None:
        self.taken = taken
        self._pool = pool
        self._calls: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._released = False

    def submit[**P, T](
        self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs
    ) -> Future[T]:
        """As `make`, for a function that returns or raises something."""
        future: Future[T] = Future()
        self.make(partial(fulfil, future, partial(function, *args, **kwargs)))
        return future

    def make(self, call: Callable[[], None]) -> None:
        """Queues a call for the thread; it must raise nothing."""
        if self._released:  # a task outlives its request: it gets a thread for each call
            own = Lease(self._pool)
            own.make(call)
            own.release()
            return
        self._calls.put(call)
        if not self.taken:
            self.taken = True
            self._pool.submit(self._serve)

    def release(self) -> None:
        """Gives the thread back when it has made its calls."""
        if self.taken and not self._released:
            self._calls.put(None)
        self._released = True

    def make_calls(self) -> None:
        """In the thread: makes calls until the lease is released."""
        while call := self._calls.get():
            call()
            call = None  # or a thread that waits would keep a request in memory

    def _serve(self) -> None:
        # What Django does at a request's start and end, for the connections of this thread.
        tidy(reset_queries, close_old_connections)
        self.make_calls()
        tidy(close_old_connections)


def fulfil[T](future: Future[T], function: Callable[[], T]) -> None:
    """Calls a function, and gives a future what it returns or raises."""
    try:
        if future.set_running_or_notify_cancel():
            future.set_result(function())
    except BaseException as error:
        future.set_exception(error)
    finally:
        del future, function  # the exception's traceback leads here


def tidy(*functions: Callable[[], object]) -> None:
    """Prepares a thread's database connections for the next request."""
    try:
        for function in functions:
            function()
    except Exception:
        logger.exception("a database connection could not be closed")


def asgiref_is_patched() -> bool:
    """Whether a library (New Relic's agent, say) has replaced what `Call` leaves out.

    It must find there all that it finds under Django's handler, so sync code must go that way then.
    """
    methods = vars(SyncToAsync)
    return not (methods["__call__"] is ASGIREFS[0] and methods["thread_handler"] is ASGIREFS[1])


def bind_to_loop(
    loop: asyncio.AbstractEventLoop, tasks: list[asyncio.Task[Any]] | None = None
) -> None:
    """Makes `async_to_sync` in this thread run its coroutines on a loop; `tasks` will hold those it awaits."""
    # Private, as `restore_context`: asgiref 3.13.0 has no public way to tell a thread of its loop, but
    # `sync_to_async`, at five times the cost: tests/serving/http/test_request_path.py
    # https://github.com/django/asgiref/blob/3.13.0/asgiref/sync.py#L621-L624
    local = SyncToAsync.threadlocal
    local.main_event_loop = loop
    local.main_event_loop_pid = os.getpid()
    local.task_context = tasks


@asynccontextmanager
async def one_thread() -> AsyncIterator[Lease]:
    """Runs the sync code in its body on one thread, which is given back at its end.

    For async code that lives long, like a stream: without it the thread, and its database
    connection, are kept until the stream ends.

        async with one_thread():
            price = await Price.objects.alatest()
    """
    lease = Lease(pool)
    context = ThreadSensitiveContext(executor=lease)
    try:
        async with context:
            yield lease
    finally:
        lease.release()
        # asgiref refuses sync code to a task that outlives the context; open in 3.13.0:
        # https://github.com/django/asgiref/blob/3.13.0/asgiref/sync.py#L517-L524
        context._exited = False
        SyncToAsync.context_to_thread_executor[context] = lease
