"""The threads that sync code runs in: one pool a process, bounded, elastic and long-lived.

Django opens a thread for every request under ASGI, and with it a database connection. Here a thread
outlives its requests, so a connection persists (CONN_MAX_AGE), and there are never more of either
than the pool's bound.
"""

import asyncio
import atexit
import contextvars
import logging
import os
from collections import deque
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Executor, Future
from contextlib import asynccontextmanager, suppress
from functools import partial
from queue import Empty, SimpleQueue
from threading import Lock, Thread
from time import monotonic, process_time
from typing import Any

from asgiref.sync import SyncToAsync, ThreadSensitiveContext
from asgiref.sync import _restore_context as restore_context
from django.core.exceptions import RequestAborted
from django.db import close_old_connections, connections, reset_queries

from serving.patches import as_written

logger = logging.getLogger(__name__)

# Threads share one interpreter lock: more of them make code that computes no faster, and each switch
# between them costs. These few let it compute while some of them wait for a database.
CORE = 3
TICK = 0.01  # seconds between two looks at calls that wait
IDLE = 30.0  # seconds without a call, after which a thread ends
# Seconds that the process must have computed between two looks for more threads to be of no use. A look
# comes late where the processor was given to others (a container's limit, say), and no less is asked then.
COMPUTING = 0.9 * TICK


class Pool:
    """Threads that take calls from one queue.

    A call is made at once while fewer than a limit of threads are at work. After that it waits, and
    every `TICK` seconds the pool looks why: if the process computes, more threads would only fight for
    the interpreter lock, and if it does not, or no thread took a call for two ticks, the threads wait
    for something, and the limit doubles, up to `bound`. It goes down again when the process computes
    and more than `CORE` threads take calls.
    """

    def __init__(self, bound: int) -> None:
        self.bound = bound
        self._lock = Lock()
        self._calls: deque[Callable[[], None]] = deque()
        self._idle: list[PoolThread] = []  # the latest comes last
        self._size = 0
        self._limit = CORE  # or `bound`, if that is less
        self._took: set[PoolThread] = set()  # the threads that asked for a call since the last look
        self._looked = 0.0  # when that was
        self._computed = 0.0  # what the process had computed by then, in seconds
        self._moved = 0.0  # when a thread was last seen to have asked for a call
        self._watching: set[asyncio.AbstractEventLoop] = set()
        self._warned = float("-inf")
        self._warning: tuple[Any, ...] | None = None

    @property
    def queued(self) -> int:
        """Calls that wait for a thread."""
        return len(self._calls)

    @property
    def busy(self) -> int:
        """Threads that make a call, or are kept for a request."""
        return self._size - len(self._idle)

    @property
    def idle(self) -> int:
        """Threads that wait for a call."""
        return len(self._idle)

    def submit(self, call: Callable[[], None]) -> None:
        """Has a thread make a call, which must raise nothing. To be called on an event loop.

        Raises RuntimeError if the system gives the pool no thread at all.
        """
        with self._lock:
            self._calls.append(call)
            self._hand_out()
            if not self._calls:
                return
            # Each loop whose calls wait, for another one may end while they do.
            loop = asyncio.get_running_loop()
            if loop in self._watching:
                return
            self._watching.add(loop)
            self._look()  # what was before says nothing of calls that wait
            self._moved = self._looked
        # In no request's context, for it goes on for others, and it logs.
        loop.call_later(TICK, self._watch, loop, context=contextvars.Context())

    def _hand_out(self) -> None:
        """Gives calls to threads, as many as may be at work."""
        while self._calls and self.busy < min(self._limit, self.bound):
            call = self._calls.popleft()
            if self._idle:
                # The latest, for it is warm, and the others may end.
                self._idle.pop().mailbox.put(call)
                continue
            thread = PoolThread(self)
            thread.mailbox.put(call)
            try:
                # In no request's context: a tracer would take what it finds there for the thread's own.
                contextvars.Context().run(thread.start)
            except RuntimeError:  # the system gives no more: a limit on processes, say
                if not self._size:
                    raise
                self._calls.appendleft(call)
                self._limit = self._size
                self._warn("the system gives no more than %d threads", self._size)
                return
            self._size += 1

    def _watch(self, loop: asyncio.AbstractEventLoop) -> None:
        """Looks after the queue, on an event loop, for as long as there is one."""
        with self._lock:
            # Unless another loop has just looked.
            if self._calls and monotonic() - self._looked >= TICK / 2:
                self._adapt()
            waiting = bool(self._calls)
            if not waiting:
                self._watching.discard(loop)
            warning, self._warning = self._warning, None
        if warning:
            logger.warning(*warning)
        if waiting:
            loop.call_later(TICK, self._watch, loop)

    def _look(self) -> tuple[int, bool]:
        """How many threads asked for a call since the last look, and whether the process computed."""
        now, computed, took = monotonic(), process_time(), len(self._took)
        computing = computed - self._computed >= COMPUTING
        self._looked, self._computed = now, computed
        self._took.clear()
        return took, computing

    def _adapt(self) -> None:
        """Lets more threads be at work, or fewer."""
        took, computing = self._look()
        if took:
            self._moved = self._looked
        stalled = self._looked - self._moved
        if not computing or stalled >= 2 * TICK:
            self._limit = min(self.bound, self._limit + min(self._limit, len(self._calls)))
            self._hand_out()
        elif took > CORE:
            self._limit = max(CORE, self._limit - 1)
        if stalled >= 1.0 and self._calls:
            self._warn(
                "all %d threads (SERVING_THREADS) have been at work for %.1f s; %d calls wait",
                self._size,
                stalled,
                len(self._calls),
            )

    def _warn(self, message: str, *arguments: object) -> None:
        """Has the next tick log a warning, without the lock: one a minute at most."""
        if self._looked - self._warned >= 60.0:
            self._warned = self._looked
            self._warning = (message, *arguments)

    def next_call(self, thread: "PoolThread") -> Callable[[], None] | None:
        """Waits for the next call of a thread; None if it is to end."""
        with self._lock:
            self._took.add(thread)
            if self._calls and self.busy <= self._limit:
                return self._calls.popleft()
            self._idle.append(thread)
        with suppress(Empty):
            return thread.mailbox.get(timeout=IDLE)
        with self._lock:
            if thread in self._idle:
                self._idle.remove(thread)
                return None
        return thread.mailbox.get()  # it was given a call at the last moment

    def ended(self, thread: "PoolThread") -> None:
        """Counts a thread out."""
        with self._lock:
            self._size -= 1
            self._took.discard(thread)

    def close(self) -> None:
        """Ends the threads that have nothing to do, and waits until their connections are closed."""
        with self._lock:
            ending, self._idle = self._idle, []
        for thread in ending:
            thread.mailbox.put(None)
        for thread in ending:
            thread.join(0.5)


class PoolThread(Thread):
    """A thread of the pool. It is a daemon, since a view that hangs must not keep the process alive."""

    def __init__(self, pool: Pool) -> None:
        super().__init__(name="serving", daemon=True)
        self.pool = pool
        self.mailbox: SimpleQueue[Callable[[], None] | None] = SimpleQueue()

    def run(self) -> None:
        """Makes calls until the pool has none for it."""
        try:
            call = self.mailbox.get()
            while call:
                call()
                call = None  # or a thread that waits would keep a request in memory
                call = self.pool.next_call(self)
        finally:
            try:
                connections.close_all()
            finally:
                # Not before, or the next thread's connection were one too many.
                self.pool.ended(self)


class Call:
    """A function on its way through a thread, with a copy of the caller's context variables.

    `function(call)` runs in the thread, and may hand a value to the event loop before it returns.
    """

    __slots__ = ("_context", "_error", "_forgotten", "_function", "_loop", "_over", "_tasks", "_waiter", "aborted", "delivered")  # fmt: skip

    def __init__(self, function: Callable[["Call"], None]) -> None:
        self._function = function
        self._loop = asyncio.get_running_loop()
        self._context = contextvars.copy_context()
        self._tasks: list[asyncio.Task[Any]] = []
        self._waiter: asyncio.Future[None] | None = None
        self._error: BaseException | None = None
        self._over = False
        self._forgotten = False
        # What the function handed over; None if it ended without.
        self.delivered: asyncio.Future[Any] = self._loop.create_future()
        self.aborted = False

    def run(self) -> None:
        """In the thread: makes the call."""
        try:
            if self.aborted:  # before it was begun
                raise RequestAborted
            be_a_thread_of(self._loop, self._tasks)
            self._context.run(self._run)
        except BaseException as error:
            # Its traceback leads back here, so `ended` or `forget` must take it out again.
            self._error = RequestAborted() if self.aborted else error
            if self._forgotten:
                self._error = None
            self._tell(self._resolve, None)
        self._over = True
        if (waiter := self._waiter) is not None:
            self._tell(self._wake, waiter)

    def _run(self) -> None:
        restore_context(self._context)
        self._function(self)

    def deliver(self, value: object) -> None:
        """In the thread: gives the event loop a value, and goes on."""
        self._tell(self._resolve, value)

    def abort(self) -> None:
        """On the event loop: has the call end as soon as it can, and with it what it awaits there."""
        self.aborted = True
        for task in list(self._tasks):
            task.cancel()

    async def ended(self) -> None:
        """On the event loop: waits until the function has returned. Raises what it raised."""
        if not self._over:
            # The thread says that it is over and then looks for a waiter; here it is the other way round.
            self._waiter = self._loop.create_future()
            try:
                if not self._over:
                    await self._waiter
            finally:
                self._waiter = None
        error, self._error = self._error, None
        if error is not None:
            try:
                raise error
            finally:
                del error  # it holds this frame

    def forget(self) -> None:
        """On the event loop: says that nobody waits any more."""
        self._forgotten = True
        self._error = None
        del self.delivered  # as the waiter in `ended`, it holds a cancellation's traceback

    def take_context(self) -> None:
        """On the event loop: takes over the context variables as the function has set them."""
        restore_context(self._context)

    def _tell(self, callback: Callable[[Any], object], value: object) -> None:
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            self._loop.call_soon_threadsafe(callback, value)

    def _resolve(self, value: object) -> None:
        if not self._forgotten and not self.delivered.done():
            self.delivered.set_result(value)

    def _wake(self, waiter: asyncio.Future[None]) -> None:
        if not waiter.done():  # cancelled, that is
            waiter.set_result(None)


class Lease(Executor):
    """One thread of the pool, from the first call that a request makes until `release`.

    An executor for asgiref's ThreadSensitiveContext, which promises that all sync code of a request
    runs on one thread.
    """

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._calls: SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None] = SimpleQueue()
        self.taken = False
        self._released = False

    def submit[**P, T](
        self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs
    ) -> Future[T]:
        """Has the thread make a call after those that it was given before."""
        if self._released:  # a task outlives its request: it gets a thread for each call
            own = Lease(self._pool)
            try:
                return own.submit(function, *args, **kwargs)
            finally:
                own.release()
        future: Future[T] = Future()
        self._calls.put((future, partial(function, *args, **kwargs)))
        if not self.taken:
            self.taken = True
            self._pool.submit(self._serve)
        return future

    def release(self) -> None:
        """Gives the thread back when it has made its calls."""
        self._released = True
        if self.taken:
            self._calls.put(None)

    def _serve(self) -> None:
        # What Django does at a request's start and end, for the connections of this thread.
        try:
            reset_queries()
            close_old_connections()
        except Exception:
            logger.exception("a database connection could not be closed")
        while item := self._calls.get():
            future, call = item
            if future.set_running_or_notify_cancel():
                try:
                    future.set_result(call())
                except BaseException as error:
                    future.set_exception(error)
            del item, future, call
        try:
            close_old_connections()
        except Exception:
            logger.exception("a database connection could not be closed")


def asgiref_is_patched() -> bool:
    """Whether a library (New Relic's agent, say) has put something in place of what `Call` leaves out.

    It is to find there all that it finds under Django's handler, so sync code must go that way then.
    """
    now = vars(SyncToAsync)
    return (now["__call__"], now["thread_handler"]) != ASGIREFS


def asgirefs_own() -> tuple[Any, Any] | None:
    """The two functions as asgiref wrote them; None if they are not, since a library came first."""
    now = vars(SyncToAsync)
    functions = (now["__call__"], now["thread_handler"])
    return functions if all(as_written(function, "asgiref") for function in functions) else None


ASGIREFS = asgirefs_own()


def be_a_thread_of(loop: asyncio.AbstractEventLoop, tasks: list[asyncio.Task[Any]]) -> None:
    """Tells asgiref that this thread works for an event loop, so that `async_to_sync` runs there.

    `tasks` will hold the tasks that this thread waits for. The loop and the tasks are asgiref's own
    (`SyncToAsync.thread_handler` sets the same three), and so is `restore_context`: its public
    `sync_to_async` does all this at five times the cost. tests/test_request_path.py fails when
    they change.
    """
    local = SyncToAsync.threadlocal
    local.main_event_loop = loop
    local.main_event_loop_pid = os.getpid()
    local.task_context = tasks


pool = Pool(bound=64)
atexit.register(pool.close)


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
        # asgiref refuses sync code to a task that outlives the context, where with Django's handler it
        # runs. Both attributes are asgiref's own; tests/test_request_path.py fails when they change.
        context._exited = False
        SyncToAsync.context_to_thread_executor[context] = lease
