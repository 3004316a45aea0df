"""Responses that go out part by part, to clients that may leave or not read.

Granian's `send` returns at once where the client has left, and waits where it does not read. So after each
part the event loop takes a turn, and a client that does not read for SEND_TIMEOUT seconds is given up.

A file is read part by part, and keeps no thread in between. Other streams of sync code stay on one thread
(a database cursor belongs to it); clients that do not read keep at most half of the pool's threads waiting.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import CancelledError, Future
from contextlib import suppress
from contextvars import copy_context

from django.core.exceptions import RequestAborted
from django.http import FileResponse
from django.http.response import StreamingHttpResponse

from serving.conf import conf
from serving.http.request_id import SCOPE_KEY
from serving.http.thread_pool import pool
from serving.http.threads import Lease
from serving.log.context import request_id
from serving.types import Message, Scope, Send

logger = logging.getLogger(__name__)

# Bytes of a file that one call of a thread reads.
FILE_PART = 256 * 1024

# Bytes of a complete response beyond which it goes out in parts, too: Granian takes it at once, and would
# keep it without end for a client that does not read.
LARGE = 1024 * 1024

# Seconds that a thread may wait for a client before it counts as one that waits.
SLOW = 1.0

END = b""


class PatientSend:
    """`send` for parts: lets the loop take a turn, and gives up on a client that does not read.

    It gives up by a line in the log and RequestAborted, after SEND_TIMEOUT seconds.
    """

    def __init__(self, send: Send, scope: Scope) -> None:
        self._send = send
        self._scope = scope
        self._seconds: float = conf.SEND_TIMEOUT

    async def __call__(self, message: Message) -> None:
        try:
            async with asyncio.timeout(self._seconds):
                await self._send(message)
        except TimeoutError:
            why = f"its client has read nothing for {self._seconds:g} s (SEND_TIMEOUT)"
            log_end(self._scope, why)
            raise RequestAborted from None
        # To a client that has left Granian sends without a word, and without waiting:
        # https://github.com/emmett-framework/granian/issues/650
        await asyncio.sleep(0)


class ThreadSend:
    """`send` for a thread: waits until a message is sent. Raises RequestAborted after `abort`."""

    def __init__(self, send: Send, scope: Scope) -> None:
        self._send = send
        self._scope = scope
        self._patient: PatientSend | None = None
        self._loop = asyncio.get_running_loop()
        self._pending: Future[None] | None = None
        self._aborted = False

    def abort(self) -> None:
        """Ends the stream at its next part, and gives up the one that is being sent."""
        self._aborted = True
        if (pending := self._pending) is not None:
            pending.cancel()

    def __call__(self, message: Message) -> None:
        if self._aborted:
            raise RequestAborted
        # Either this sees that the stream is aborted, or `abort` sees what is being sent.
        self._pending = pending = asyncio.run_coroutine_threadsafe(self._sent(message), self._loop)
        if self._aborted:
            pending.cancel()
        try:
            self._wait(pending)
        except CancelledError:
            raise RequestAborted from None
        finally:
            self._pending = None  # a cancelled one leads back here

    def _wait(self, pending: Future[None]) -> None:
        """Waits until a part is sent; beyond SLOW only if few others do."""
        with suppress(TimeoutError):
            return pending.result(SLOW)
        if not pool.begin_to_wait():
            log_end(
                self._scope,
                "its client does not read and half of SERVING_THREADS wait for others like it",
            )
            pending.cancel()
            raise RequestAborted
        try:
            return pending.result()
        finally:
            pool.end_to_wait()

    async def _sent(self, message: Message) -> None:
        # The tasks of rloop do not have the context of the thread that begins them.
        request_id.set(self._scope.get(SCOPE_KEY))
        if self._patient is None:  # most requests send nothing from their thread
            self._patient = PatientSend(self._send, self._scope)
        await self._patient(message)


def log_end(scope: Scope, why: str) -> None:
    """Logs that a response was ended before it was complete."""
    logger.warning("%s %s: ended, since %s", scope["method"], scope["path"], why)


def is_large(outcome: list[Message]) -> bool:
    """Whether a complete response, as messages, is one for `send_in_parts`."""
    return len(outcome[1]["body"]) > LARGE


async def send_in_parts(outcome: list[Message], send: Send, scope: Scope) -> None:
    """Sends a complete response part by part. Raises RequestAborted if the client does not read."""
    patient = PatientSend(send, scope)
    begin, end = outcome
    await patient(begin)
    body = end["body"]
    for position in range(0, len(body), FILE_PART):
        part = body[position : position + FILE_PART]
        await patient({"type": "http.response.body", "body": part, "more_body": True})
    await patient({"type": "http.response.body"})


def keeps_its_thread(response: StreamingHttpResponse) -> bool:
    """Whether a stream is of sync code, which stays on the thread that it begins on."""
    return not response.is_async and getattr(response, "file_to_stream", None) is None


def send_from_thread(response: StreamingHttpResponse, send: ThreadSend, first: Message) -> None:
    """In a thread: sends a stream part by part, where Django would first make a list of it.

    `first` begins the response. Raises RequestAborted if the client leaves or does not read.
    """
    send(first)
    for part in response:
        send({"type": "http.response.body", "body": part, "more_body": True})
    send({"type": "http.response.body"})


def read_in_parts(response: StreamingHttpResponse) -> None:
    """Makes a file's response an async stream, each part of which any thread of the pool reads."""
    if isinstance(response, FileResponse):
        response.block_size = FILE_PART
    response.streaming_content = file_parts(iter(response))


async def file_parts(parts: Iterator[bytes]) -> AsyncIterator[bytes]:
    """The parts of a file."""
    threads = Lease(pool)
    threads.release()  # so each call has a thread and gives it back
    loop, context = asyncio.get_running_loop(), copy_context()
    while part := await loop.run_in_executor(threads, lambda: context.run(next, parts, END)):
        yield part
