"""The threads that sync code runs in: one pool a process, bounded, elastic and long-lived.

Here a thread outlives its requests, so a database connection persists (CONN_MAX_AGE), and there are
never more of either than SERVING_THREADS.
"""

import asyncio
import atexit
import contextvars
import logging
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from queue import Empty, SimpleQueue
from threading import Lock, Thread
from time import monotonic, process_time

from django.db import connections

from serving.conf import conf

# Django opens a thread, and a connection, for each request under ASGI; documented in 6.1.3:
# https://code.djangoproject.com/ticket/33497

logger = logging.getLogger(__name__)

# Threads share one interpreter lock: more of them make code that computes no faster, each switch between
# them costs, and async views wait for the lock too. These few let it compute while some of them wait for a
# database. docs/ablation.md of the template has what that gains.
CORE = 3

TICK = 0.01  # seconds between two looks at calls that wait

IDLE = 30.0  # seconds without a call, after which a thread ends

# CPU time of the process in a tick, in seconds, from which on more threads cannot help. It does not grow
# with a tick that comes late because others had the processor (a container's limit, say).
COMPUTING = 0.9 * TICK


class Pool:
    """Threads that take calls from one queue.

    A call is made at once while fewer than a limit of threads are at work. After that it waits, and
    every `TICK` seconds the pool looks why: if the process computes, more threads would only fight for
    the interpreter lock; if it does not, or no thread took a call for two ticks, the threads wait for
    something, and the limit doubles, up to `bound`. It goes down again when the process computes and
    more than `CORE` threads take calls.
    """

    def __init__(self, bound: int | None = None) -> None:
        self._bound = bound
        self._lock = Lock()
        self._calls: deque[Callable[[], None]] = deque()
        self._idle: list[PoolThread] = []  # the latest comes last
        self._size = 0
        self._limit = CORE  # or `bound`, if that is less
        self._took: set[PoolThread] = set()  # the threads that asked for a call since the last look
        self._looked = self._computed = 0.0  # when that was, and the CPU time by then
        self._moved = 0.0  # when a thread was last seen to have asked for a call
        self._watching: asyncio.AbstractEventLoop | None = None
        self._warned = float("-inf")

    @property
    def bound(self) -> int:
        """The most threads: SERVING_THREADS when it is first read, unless it was given."""
        if self._bound is None:
            self._bound = conf.SERVING_THREADS()
        return self._bound

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
        """Queues a call for a thread; it must raise nothing. To be used on an event loop.

        Raises RuntimeError if the system gives the pool no thread at all.
        """
        with self._lock:
            self._calls.append(call)
            self._hand_out()
            if self._calls and (self._watching is None or self._watching.is_closed()):
                self._look()  # what was before says nothing of calls that wait
                self._moved = self._looked
                self._watching = asyncio.get_running_loop()
                # In no request's context, for it goes on for others, and it logs.
                self._watching.call_later(TICK, self._watch, context=contextvars.Context())

    def _hand_out(self) -> None:
        """Gives calls to threads, as many as may be at work."""
        while self._calls and self.busy < min(self._limit, self.bound):
            if self._idle:
                # The latest, for it is warm, and the others may end.
                self._idle.pop().mailbox.put(self._calls.popleft())
                continue
            thread = PoolThread(self)
            try:
                # In no request's context: a tracer would take what it finds there for the thread's own.
                contextvars.Context().run(thread.start)
            except RuntimeError:  # the system gives no more: a limit on processes, say
                if not self._size:
                    self._calls.pop()
                    raise
                self._limit = self._size
                return
            thread.mailbox.put(self._calls.popleft())
            self._size += 1
            if self._size == 1:
                atexit.unregister(self.close)  # of threads that have ended since
                atexit.register(self.close)

    def _watch(self) -> None:
        """Looks after the queue, on an event loop, for as long as there is one."""
        with self._lock:
            warning = self._adapt() if self._calls else ""
            self._watching = loop = self._watching if self._calls else None
        if loop:
            loop.call_later(TICK, self._watch)
        if warning:  # without the lock, since a log's handler may want a thread
            logger.warning(warning)

    def _adapt(self) -> str:
        """Lets more threads be at work, or fewer; returns a warning, once a minute at most."""
        took, computing = self._look()
        stalled = self._looked - self._moved
        if not computing or stalled >= 2 * TICK:
            self._limit = min(self.bound, self._limit + min(self._limit, len(self._calls)))
            self._hand_out()
        elif took > CORE:
            self._limit = max(CORE, self._limit - 1)
        if stalled < 1.0 or not self._calls or self._looked - self._warned < 60.0:
            return ""
        self._warned = self._looked
        most = "" if self._size == self.bound else ", and the system gives no more"
        return (
            f"all {self._size} threads (SERVING_THREADS) have been at work for {stalled:.1f} s{most};"
            f" {len(self._calls)} calls wait"
        )

    def _look(self) -> tuple[int, bool]:
        """How many threads asked for a call since the last look, and whether the process computed."""
        computed, took = process_time(), len(self._took)
        computing = computed - self._computed >= COMPUTING
        self._looked, self._computed = monotonic(), computed
        if took:
            self._moved = self._looked
        self._took.clear()
        return took, computing

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


pool = Pool()
