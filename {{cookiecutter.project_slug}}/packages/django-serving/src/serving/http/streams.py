"""Responses that go out part by part, to clients that may leave or not read.

The parts of sync code come from a thread. Any thread reads the next part of a file, and none is kept in
between. Other streams stay on one thread (a database cursor belongs to it), and clients that do not read
keep at most half of the pool's threads.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from functools import partial
from typing import Any

from django.core.exceptions import RequestAborted
from django.http import FileResponse
from django.http.response import StreamingHttpResponse

from serving.http.clients import Deadline
from serving.http.thread_pool import pool
from serving.http.threads import Lease, in_thread
from serving.types import Message, Scope, Send

logger = logging.getLogger(__name__)

# Bytes of a file that one call of a thread reads, and of a part of a large response.
PART = 256 * 1024

# Seconds that a thread may be kept for a client that does not read, however many there are.
SLOW = 1.0


class PatientSend:
    """`send` for parts: lets the loop take a turn, and gives up on a client that does not read.

    It gives up with a line in the log and RequestAborted: after some `seconds` (SEND_TIMEOUT), or after SLOW if it
    `keeps_thread` and half of the threads are kept for others like it.
    """

    kept = 0  # threads, for longer than SLOW

    def __init__(
        self, send: Send, scope: Scope, seconds: float, *, keeps_thread: bool = False
    ) -> None:
        self._send = send
        self._scope = scope
        self._seconds = seconds
        self._keeps_thread = keeps_thread
        self._why = f"has read nothing for {seconds:g} s (SEND_TIMEOUT)"

    async def __call__(self, message: Message) -> None:
        deadline = Deadline(self._seconds)
        try:
            if self._keeps_thread:
                await self._send_from_thread(message, deadline)
            else:
                await deadline.wait_for(self._send(message))
        except TimeoutError:
            request = f"{self._scope['method']} {self._scope['path']}"
            logger.warning("%s: ended, since its client %s", request, self._why)
            raise RequestAborted from None
        # Granian's send to a client that has left neither waits nor raises; open in 2.8.9:
        # https://github.com/emmett-framework/granian/issues/650
        await asyncio.sleep(0)

    async def _send_from_thread(self, message: Message, deadline: Deadline) -> None:
        self._is_slow = False
        slow = Deadline(SLOW)
        slow.start(partial(self._be_slow, deadline))
        try:
            await deadline.wait_for(self._send(message))
        finally:
            slow.stop()
            PatientSend.kept -= self._is_slow

    def _be_slow(self, deadline: Deadline) -> None:
        if PatientSend.kept < max(1, pool.bound // 2):
            self._is_slow = True
            PatientSend.kept += 1
        else:
            self._why = "does not read and half of SERVING_THREADS wait for others like it"
            deadline.expire()


def keeps_thread(response: StreamingHttpResponse) -> bool:
    """Whether a stream is of sync code, which stays on the thread that it begins on."""
    return not response.is_async and getattr(response, "file_to_stream", None) is None


def read_in_thread(response: StreamingHttpResponse, lease: Lease) -> None:
    """Makes a response of sync code an async stream, read in the thread of a lease; a file in any."""
    # Under ASGI Django reads a sync stream to its end before it sends any; open in 6.1.3:
    # https://github.com/django/django/blob/6.1.3/django/http/response.py#L535-L549
    if not keeps_thread(response):
        lease = Lease(pool)
        lease.release()  # so each call has a thread and gives it back
        if isinstance(response, FileResponse):
            response.block_size = PART
    response.streaming_content = parts_in_thread(iter(response), lease)


async def parts_in_thread(parts: Iterator[bytes], lease: Lease) -> AsyncIterator[bytes]:
    """The parts of an iterator, each asked for in a thread."""
    end: Any = object()
    while (part := await in_thread(lease, lambda: next(parts, end))) is not end:
        yield part
