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
import tempfile
from contextlib import suppress
from threading import Lock
from typing import IO, Any, Self, cast

from django.conf import settings
from django.core.exceptions import BadRequest
from django.http import HttpResponse

from serving.conf import conf
from serving.http.inline_middleware import SAFE_METHODS
from serving.security import security_headers
from serving.types import Message, Receive, Scope, Send

logger = logging.getLogger(__name__)

# Bytes of memory for all bodies of a process; beyond it even a small one goes to disk.
MEMORY = 32 * 2**20

# Seconds in which the rest of a refused body is read and dropped. A server that closes a connection on
# which the client still sends resets it, and the answer may be lost (RFC 9112, section 9.6).
LINGER = 2.0

# Seconds: a timer that is later shows that the event loop stood still; what is waited then for what came.
STOOD_STILL = 0.1
GRACE = 1.0

BODY_HEADERS = (b"content-length", b"transfer-encoding")
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
        """Takes so many bytes; False if fewer are left."""
        with self._lock:
            if self.taken + size > self.size:
                return False
            self.taken += size
            return True

    def give_back(self, size: int) -> None:
        """Gives bytes back."""
        if size:
            with self._lock:
                self.taken -= size


class Bodies:
    """Reads the bodies of a handler's requests."""

    # Granian has no limit for bodies in 2.8.9, and wants none: https://github.com/emmett-framework/granian/issues/728
    # Django reads a body of any size before any limit counts; open in 6.1.3:
    # https://github.com/django/django/blob/6.1.3/django/core/handlers/asgi.py#L239-L266

    def __init__(self) -> None:
        self.max_size: int = conf.MAX_BODY_SIZE
        self.timeout: float = conf.BODY_TIMEOUT
        self.least: float = conf.BODY_TIMEOUT * conf.BODY_MIN_RATE  # bytes in each `timeout`
        self.memory = Space(MEMORY)
        self.disk = Space(conf.BODY_SPACE or 10 * self.max_size)

    async def read(self, scope: Scope, receive: Receive, send: Send) -> "IO[bytes] | Body | None":
        """The whole body of a request, to be closed; None if it was refused and that is answered."""
        if not has_body(scope):
            return io.BytesIO()
        size, multipart = announced(scope)
        # Django copies the files in a form to files of their own when a view asks for them.
        body = Body(self.memory, self.disk, size or 0, copies=2 if multipart else 1)
        try:
            await self._receive(body, size, receive)
        except Refused as refused:
            body.close()
            level = LEVELS.get(refused.status, logging.INFO)
            logger.log(level, "%s %s: %s", scope["method"], scope["path"], refused)
            await answer(refused, scope, receive, send)
            return None
        except BaseException:
            body.close()
            raise
        body.seek(0)
        return cast("IO[bytes]", body)  # what it lacks, its file has

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
                message = await deadline.received(receive)
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


class Deadline:
    """Seconds in which messages must come, and some more if the event loop stood still meanwhile.

    While it does (in a paused container, say), nothing that a client sends is taken.
    """

    def __init__(self, seconds: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._at = self._loop.time() + seconds

    async def received(self, receive: Receive) -> Message:
        """The next message. Raises TimeoutError if it does not come in time."""
        async with asyncio.timeout(None) as timeout:
            self._timer = self._loop.call_at(self._at, self._check, timeout)
            del (
                timeout
            )  # it leads to the task, and the task by its cancellation's traceback to this frame
            try:
                return await receive()
            finally:
                self._timer.cancel()

    def _check(self, timeout: asyncio.Timeout) -> None:
        now = self._loop.time()
        if now - self._at > STOOD_STILL:
            self._at = now + GRACE
            self._timer = self._loop.call_at(self._at, self._check, timeout)
        else:
            timeout.reschedule(now)


class Body:
    """A body as a file: in memory, or on disk once it is large, without a name and gone with the process."""

    def __init__(self, memory: Space, disk: Space, announced: int, copies: int) -> None:
        self.on_disk = False
        self._file: IO[bytes] = io.BytesIO()
        self._memory = memory
        self._disk = disk
        self._announced = announced
        self._copies = copies
        self._size = 0
        self._in_memory = 0  # bytes taken of `memory`
        self._reserved = 0  # and of `disk`

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Gives back what the body takes."""
        self._leave_memory()
        reserved, self._reserved = self._reserved, 0
        self._disk.give_back(reserved)
        with suppress(OSError):  # what could not be written is not wanted any more
            self._file.close()

    async def add(self, part: bytes) -> None:
        """Appends a part. Raises Refused if there is no room for it, or for all that is announced."""
        self._size += len(part)
        wanted = max(self._size, self._announced)
        is_small = not self.on_disk and wanted <= settings.FILE_UPLOAD_MAX_MEMORY_SIZE
        if is_small and self._memory.take(len(part)):
            self._in_memory += len(part)
            self._file.write(part)
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
            self._file.write(part)
            self._file.flush()
        except OSError as error:
            raise disk_refused(error) from None

    def _move_to_disk(self) -> None:
        folder, held = temporary_folder(), self._file
        free = shutil.disk_usage(folder).free
        if free < self._reserved:
            raise OSError(errno.ENOSPC, f"{free} bytes are free, and {self._reserved} wanted")
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115  # `close` closes it
        self._file.write(held.getvalue())  # type: ignore[attr-defined]
        self.on_disk = True

    def _leave_memory(self) -> None:
        taken, self._in_memory = self._in_memory, 0
        self._memory.give_back(taken)


def temporary_folder() -> str:
    """The folder of the bodies that are on disk."""
    return str(settings.FILE_UPLOAD_TEMP_DIR or tempfile.gettempdir())


def disk_refused(error: OSError) -> Refused:
    """The refusal of a body that the disk does not take."""
    return Refused(
        507,
        "The server has no room for the body of the request.",
        f"can't keep a body in {temporary_folder()}: {error.strerror or error}",
    )


async def answer(refused: Refused, scope: Scope, receive: Receive, send: Send) -> None:
    """Answers a request whose body is refused. If the client has left, the server drops the answer."""
    content = f"{refused.answer}\n".encode()
    headers = [
        (b"content-type", b"text/plain; charset=utf-8"),
        (b"content-length", str(len(content)).encode()),
        (b"cache-control", b"no-store"),
        *security_headers(scope),
    ]
    if refused.status == 503:
        headers.append((b"retry-after", b"5"))  # seconds
    if scope.get("http_version", "1.1").startswith("1"):  # HTTP/2 has no such header
        headers.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": refused.status, "headers": headers})
    more = refused.status in LEVELS
    await send({"type": "http.response.body", "body": content, "more_body": more})
    if more:
        with suppress(TimeoutError):
            async with asyncio.timeout(LINGER):
                while (await receive()).get("more_body", False):
                    pass
        await send({"type": "http.response.body"})


def tell_no_room(response: HttpResponse, text: str) -> None:
    """Makes a response the 507 for a form whose files the disk did not take."""
    response.status_code = 507
    response.content = f"{text}\n"
    response["Content-Type"] = "text/plain; charset=utf-8"
    response["Content-Length"] = str(len(response.content))
    response["Cache-Control"] = "no-store"
    del response["Content-Encoding"]


def has_body(scope: Scope) -> bool:
    """Whether a body may follow: under HTTP/1 a header must announce it (RFC 9112, section 6.3).

    To await one that cannot come costs 6 % of a small async view.
    """
    if scope["method"] not in SAFE_METHODS or scope.get("http_version") not in ("1.0", "1.1"):
        return True
    return any(name in BODY_HEADERS for name, _ in scope["headers"])


def announced(scope: Scope) -> tuple[int | None, bool]:
    """The size of a body, and whether it is a form that may hold files.

    The size is None where no Content-Length says it, or where that does not count (RFC 9112, 6.3).
    """
    size, chunked, multipart = None, False, False
    for name, value in scope["headers"]:
        if name == b"content-length" and value.isdigit():
            size = int(value)
        elif name == b"transfer-encoding":
            chunked = True
        elif name == b"content-type":
            multipart = value.lower().startswith(b"multipart/form-data")
    return None if chunked else size, multipart
