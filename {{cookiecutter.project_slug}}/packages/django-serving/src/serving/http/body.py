"""The bodies of requests: read whole before Django sees the request, and bounded.

`serving.conf` has the limits to what a stranger can take of memory, disk and time: MAX_BODY_SIZE (413
beyond it), BODY_SPACE (503), BODY_TIMEOUT and BODY_MIN_RATE (408). A refused body gets an answer of one
line and a line in the log. FILE_UPLOAD_MAX_MEMORY_SIZE and FILE_UPLOAD_TEMP_DIR are Django's own.
"""

import asyncio
import errno
import io
import logging
import shutil
from contextlib import suppress
from functools import partial
from tempfile import SpooledTemporaryFile, gettempdir
from threading import Lock
from typing import IO

from django.conf import settings
from django.core.exceptions import BadRequest

from serving.conf import conf
from serving.http.clients import Deadline
from serving.http.inline_middleware import SAFE_METHODS
from serving.security import answer
from serving.types import Message, Receive, Scope, Send

logger = logging.getLogger(__name__)

# Bytes of memory for all bodies of a process; beyond it even a small one goes to disk.
MEMORY = 16 * 2**20

# The rest of a refused body is read and dropped while it comes: so many seconds at most, and until none comes
# for so many. A server that closes a connection on which the client still sends resets it, and the answer may
# be lost (RFC 9112, section 9.6). https://nginx.org/en/docs/http/ngx_http_core_module.html#lingering_time
LINGER, PAUSE = 30.0, 2.0

# A request with one of these headers came through a proxy, which passes on the answer while it still sends.
PROXIED = {b"forwarded", b"via", b"x-forwarded-for"}

FULL = (errno.ENOSPC, errno.EDQUOT)

# Refusals that the log is louder about, and after which the client may still be sending.
LEVELS = {413: logging.WARNING, 503: logging.WARNING, 507: logging.ERROR}


class Refused(BadRequest):
    """A body that is not taken. The exception's text is for the log, `answer` for the client."""

    def __init__(self, status: int, answer: str, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.answer = answer


class Space:
    """Bytes that all open bodies may take together; they are taken and given back in any thread."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.taken = 0
        self._lock = Lock()

    def take(self, size: int) -> bool:
        """Takes so many bytes, or gives them back; False if fewer are left."""
        with self._lock:
            if self.taken + size > self.size:
                return False
            self.taken += size
            return True


class Bodies:
    """Reads the bodies of a handler's requests."""

    # Granian has no limit for bodies in 2.8.9, and wants none: https://github.com/emmett-framework/granian/issues/728
    # Django reads a body of any size before any limit counts; open in 6.1.3:
    # https://github.com/django/django/blob/6.1.3/django/core/handlers/asgi.py#L239-L266

    def __init__(self) -> None:
        self.max_size = conf.MAX_BODY_SIZE()
        self.timeout = conf.BODY_TIMEOUT()
        self.least = self.timeout * conf.BODY_MIN_RATE()  # bytes in each `timeout`
        self.memory = Space(MEMORY)
        space = conf.BODY_SPACE()
        self.disk = Space(10 * self.max_size if space is None else space)

    async def read(self, scope: Scope, receive: Receive, send: Send) -> IO[bytes] | None:
        """The whole body of a request, to be closed; None if it was refused and that is answered."""
        headers = dict(scope["headers"])
        length = headers.get(b"content-length", b"")
        chunked = b"transfer-encoding" in headers
        # Under HTTP/1 a header must announce a body (RFC 9112, section 6.3). To await one that cannot come
        # costs 6 % of a small async view.
        announced = length or chunked
        if not announced and scope["method"] in SAFE_METHODS and is_http1(scope):
            return io.BytesIO()
        size = int(length) if length.isdigit() and not chunked else None
        # Django copies the files in a form to files of their own when a view asks for them.
        is_form = headers.get(b"content-type", b"").lower().startswith(b"multipart/form-data")
        body = Body(self.memory, self.disk, size or 0, copies=2 if is_form else 1)
        try:
            await self._receive(body, size, receive)
        except Refused as refused:
            body.close()
            level = LEVELS.get(refused.status, logging.INFO)
            logger.log(level, "%s %s: %s", scope["method"], scope["path"], refused)
            awaits = body.size == 0 and b"expect" in headers  # to be told to send it
            sends_on = refused.status in LEVELS and not awaits and PROXIED.isdisjoint(headers)
            await refuse(refused, scope, receive, send, sends_on=sends_on)
            return None
        except BaseException:
            body.close()
            raise
        body.seek(0)
        return body

    async def _receive(self, body: "Body", size: int | None, receive: Receive) -> None:
        """Receives a body, of which `size` bytes are announced, as long as it comes fast enough."""
        if size is not None and size > self.max_size:
            raise self._too_large(f"of {size} bytes")
        if size and size > settings.FILE_UPLOAD_MAX_MEMORY_SIZE:
            await body.add(b"")  # where there is no room, it is refused before any of it is sent
        of_all = "" if size is None else f" of {size}"
        received, more = 0, size != 0
        deadline, missing = Deadline(self.timeout), self.least
        while more:
            try:
                message = await deadline.wait_for(receive())
            except TimeoutError:
                reason = f"gave up on a body after {received}{of_all} bytes: too slow for BODY_TIMEOUT and BODY_MIN_RATE"
                raise Refused(408, "The body of the request came too slowly.", reason) from None
            if message["type"] == "http.disconnect":  # or a chunk is broken: Granian says the same
                reason = f"a body broke off after {received}{of_all} bytes"
                raise Refused(400, "The body of the request is broken or not complete.", reason)
            part: bytes = message.get("body", b"")
            received += len(part)
            if received > self.max_size:
                raise self._too_large(f"after {received} bytes")
            missing -= len(part)
            if missing <= 0:
                deadline, missing = Deadline(self.timeout), self.least
            await body.add(part)
            # When all of it is here, no further message is awaited.
            more = message.get("more_body", False) and received != size

    def _too_large(self, what: str) -> Refused:
        return Refused(
            413,
            f"The body of the request is larger than {self.max_size} bytes.",
            f"refused a body {what}: MAX_BODY_SIZE is {self.max_size}",
        )


class Body(SpooledTemporaryFile[bytes]):
    """A body as a file: in memory, or on disk once it is large, without a name and gone with the process."""

    def __init__(self, memory: Space, disk: Space, announced: int, copies: int) -> None:
        # Python 3.14's own buffer is 16 times as large: of a thousand bodies on disk it fills a container.
        super().__init__(dir=settings.FILE_UPLOAD_TEMP_DIR, buffering=8192)
        self.on_disk = False
        self.size = 0  # bytes
        self._memory = memory
        self._disk = disk
        self._announced = announced
        self._copies = copies
        self._in_memory = 0  # bytes taken of `memory`
        self._reserved = 0  # and of `disk`

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Gives back what the body takes."""
        self._leave_memory()
        reserved, self._reserved = self._reserved, 0
        self._disk.take(-reserved)
        with suppress(OSError):  # what could not be written is not wanted any more
            super().close()

    async def add(self, part: bytes) -> None:
        """Appends a part. Raises Refused if there is no room for it, or for all that is announced."""
        self.size += len(part)
        wanted = max(self.size, self._announced)
        is_small = not self.on_disk and wanted <= settings.FILE_UPLOAD_MAX_MEMORY_SIZE
        if is_small and self._memory.take(len(part)):
            self._in_memory += len(part)
            self.write(part)
        else:
            self._reserve(wanted * self._copies)
            await asyncio.to_thread(self._append, part)
            self._leave_memory()

    def _reserve(self, size: int) -> None:
        more = max(0, size - self._reserved)
        if not self._disk.take(more):
            raise Refused(
                503,
                "Too many uploads at once; try again in a moment.",
                f"refused a body that takes {size} bytes of disk: open requests have"
                f" {self._disk.taken} of BODY_SPACE, {self._disk.size}",
            )
        self._reserved += more

    def _append(self, part: bytes) -> None:
        """In a thread, since it blocks."""
        try:
            if not self.on_disk:
                self._move_to_disk()
            self.write(part)
            self.flush()
        except OSError as error:
            raise disk_refused(error) from None

    def _move_to_disk(self) -> None:
        free = shutil.disk_usage(temporary_folder()).free
        if free < self._reserved:
            raise OSError(errno.ENOSPC, f"{free} bytes are free, and {self._reserved} wanted")
        self.rollover()
        self.on_disk = True

    def _leave_memory(self) -> None:
        taken, self._in_memory = self._in_memory, 0
        self._memory.take(-taken)


def temporary_folder() -> str:
    """The folder of the bodies that are on disk."""
    return str(settings.FILE_UPLOAD_TEMP_DIR or gettempdir())


def disk_refused(error: OSError) -> Refused:
    """The refusal of a body that the disk does not take."""
    return Refused(
        507,
        "The server has no room for the body of the request.",
        f"can't keep a body in {temporary_folder()}: {error.strerror or error}",
    )


async def refuse(
    refused: Refused, scope: Scope, receive: Receive, send: Send, *, sends_on: bool
) -> None:
    """Answers a request whose body is refused. If the client has left, the server drops the answer.

    `sends_on`: whether the rest of the body may be on its way.
    """
    headers = [(b"retry-after", b"5")] if refused.status == 503 else []  # seconds
    if is_http1(scope):
        headers.append((b"connection", b"close"))
    content = f"{refused.answer}\n".encode()
    if not sends_on:
        await answer(scope, send, refused.status, content, *headers)
        return
    # Granian reads no more of a request once the response is complete, so its last byte waits.
    await answer(scope, partial(send_but_last_byte, send), refused.status, content, *headers)
    with suppress(TimeoutError):
        async with asyncio.timeout(LINGER):
            while (await Deadline(PAUSE).wait_for(receive())).get("more_body", False):
                pass
    await send({"type": "http.response.body", "body": content[-1:]})


async def send_but_last_byte(send: Send, message: Message) -> None:
    if message["type"] == "http.response.body":
        message = {**message, "body": message["body"][:-1], "more_body": True}
    await send(message)


def is_http1(scope: Scope) -> bool:
    """Whether a request came over HTTP/1, and not over HTTP/2, which has other rules for bodies."""
    return scope.get("http_version") in ("1.0", "1.1")
