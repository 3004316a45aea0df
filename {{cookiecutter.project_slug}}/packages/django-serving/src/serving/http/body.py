"""The bodies of requests: read whole before Django sees the request, and within bounds.

Servers set none (Granian takes a body of any size, and waits for one for ever), so this decides what a
stranger may take of the process: memory, disk, time. A refused body gets an answer of one line, and one
line in the log.

Django settings, each with a default:

- MAX_BODY_SIZE: bytes of the largest body. A larger one is answered with 413.
- BODY_SPACE: bytes of disk that the open requests of a process may take together; 503 beyond it.
- BODY_TIMEOUT (seconds) and BODY_MIN_RATE (bytes a second): while a body is awaited, that many bytes
  must arrive in every BODY_TIMEOUT seconds; 408 where they do not.
- FILE_UPLOAD_MAX_MEMORY_SIZE and FILE_UPLOAD_TEMP_DIR are Django's own.
"""

import asyncio
import errno
import io
import logging
import shutil
import tempfile
from contextlib import suppress
from threading import Lock
from typing import IO, Any

from django.conf import settings
from django.core.exceptions import BadRequest

from serving.conf import conf
from serving.http.inline_middleware import SAFE_METHODS
from serving.security import security_headers
from serving.types import Message, Receive, Scope, Send

logger = logging.getLogger(__name__)

# Bytes of memory for all bodies of a process; what comes beyond it goes to disk, however small.
MEMORY = 32 * 2**20

# Seconds in which the rest of a refused body is read and dropped. A server that closes a connection on
# which the client still sends resets it, and the answer may be lost (RFC 9112, section 9.6).
LINGER = 2.0

# Seconds between two looks at which bodies are late.
LOOK = 1.0

# Seconds after which a client may try again where there was no room for its body.
RETRY_AFTER = 5

BODY_HEADERS = (b"content-length", b"transfer-encoding")
FULL = (errno.ENOSPC, errno.EDQUOT)

# Under this key a scope says that there was no room for the files in its body.
NO_ROOM = "serving.no_room"


class Refused(Exception):
    """A body that is not taken. Its text is for the log, `text` for the client."""

    def __init__(
        self, status: int, text: str, reason: str, level: int, *, more_comes: bool = True
    ) -> None:
        super().__init__(reason)
        self.status = status
        self.text = text
        self.level = level
        self.more_comes = more_comes  # whether the client may still be sending


class NoRoom(BadRequest):
    """There is no room on disk for the files of a form; the answer becomes a 507.

    Django logs a BadRequest in one line, and sends no alarm (`got_request_exception`).
    """


class Bodies:
    """Reads bodies. There is one for a process, since it counts what all of them take."""

    def __init__(self) -> None:
        self.max_size: int = conf.MAX_BODY_SIZE
        self.timeout: float = conf.BODY_TIMEOUT
        self.min_rate: float = conf.BODY_MIN_RATE
        self._room = Room(conf.BODY_SPACE or 10 * self.max_size)
        self._deadlines = Deadlines()

    async def read(
        self, scope: Scope, receive: Receive, send: Send
    ) -> tuple[IO[bytes], Send] | None:
        """The whole body of a request, to be closed, and the `send` for its response.

        None if the request is over: the body was refused and answered, or the client has left.
        """
        if not has_body(scope):
            return io.BytesIO(), send
        size, multipart = announced(scope)
        try:
            # The files in a form are copied to files of their own when a view asks for them.
            body = await self._read(receive, size, copies=2 if multipart else 1)
        except Refused as refused:
            logger.log(refused.level, "%s %s: %s", scope["method"], scope["path"], refused)
            await answer(refused, scope, receive, send)
            return None
        return body, corrected(scope, send) if multipart else send

    async def _read(
        self, receive: Receive, announced: int | None, copies: int
    ) -> "MemoryBody | DiskBody":
        if announced is not None and announced > self.max_size:
            raise self._too_large(f"of {announced} bytes")
        limit: int = settings.FILE_UPLOAD_MAX_MEMORY_SIZE
        reader = Reader(receive, announced, self.timeout, self.min_rate, self._deadlines)
        first = MemoryBody(self._room)
        body: MemoryBody | DiskBody = first
        try:
            if announced is not None and announced > limit:
                body = await self._to_disk(first, announced, copies)
            while reader.more:
                part = await reader.part()
                if reader.size > self.max_size:
                    raise self._too_large(f"after {reader.size} bytes")
                if isinstance(body, MemoryBody):
                    if reader.size <= limit and body.add(part):
                        continue
                    body = await self._to_disk(body, announced, copies)
                await body.add(part)
        except BaseException:
            body.close()
            raise
        body.seek(0)
        return body

    def _too_large(self, what: str) -> Refused:
        return Refused(
            413,
            f"The body of the request is larger than {self.max_size} bytes.",
            f"refused a body {what}: MAX_BODY_SIZE is {self.max_size}",
            logging.WARNING,
        )

    async def _to_disk(self, body: "MemoryBody", announced: int | None, copies: int) -> "DiskBody":
        with body:
            moved = await asyncio.to_thread(DiskBody.open, self._room, announced, copies)
            try:
                await moved.add(body.getvalue())
            except BaseException:
                moved.close()
                raise
            return moved


class Reader:
    """Receives the parts of one body, as long as they come fast enough."""

    def __init__(
        self,
        receive: Receive,
        announced: int | None,
        timeout: float,
        min_rate: float,
        deadlines: "Deadlines",
    ) -> None:
        self.announced = announced
        self.size = 0
        self.more = announced != 0
        self.deadline = 0.0  # in the event loop's time, while it waits
        self.late = False
        self.task: asyncio.Task[Any] | None = None
        self._receive = receive
        self._timeout = self._left = timeout  # seconds until the next `_wanted` bytes must be here
        self._wanted = self._missing = timeout * min_rate
        self._deadlines = deadlines

    async def part(self) -> bytes:
        """The next part. Raises Refused if it comes too late or can't come."""
        self._deadlines.add(self, self._left)
        try:
            message = await self._receive()
        except asyncio.CancelledError:
            if self.late and self.task and self.task.uncancel() == 0:
                raise self._too_slow() from None
            raise
        finally:
            left = self._deadlines.remove(self)
        if message["type"] == "http.disconnect":
            raise self._broken_off()
        part: bytes = message.get("body", b"")
        self.size += len(part)
        # When all of it is here, the message that says so is not waited for.
        self.more = message.get("more_body", False) and self.size != self.announced
        self._missing -= len(part)
        if self._missing <= 0:
            self._left, self._missing = self._timeout, self._wanted
        else:
            self._left = left
        return part

    def _too_slow(self) -> Refused:
        return Refused(
            408,
            "The body of the request came too slowly.",
            f"gave up on a body {self._progress}: too slow for BODY_TIMEOUT and BODY_MIN_RATE",
            logging.INFO,
            more_comes=False,  # or so little that nothing can be lost
        )

    def _broken_off(self) -> Refused:
        """What a server tells of a chunk that is none looks as a client that left."""
        return Refused(
            400,
            "The body of the request is broken or not complete.",
            f"a body broke off {self._progress}",
            logging.INFO,
            more_comes=False,
        )

    @property
    def _progress(self) -> str:
        whole = "" if self.announced is None else f" of {self.announced}"
        return f"after {self.size}{whole} bytes"


class Deadlines:
    """Cancels the tasks that wait for too long; one timer for all, since one for each would cost more."""

    def __init__(self) -> None:
        self._waiting: set[Reader] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._due = 0.0

    def add(self, reader: Reader, seconds: float) -> None:
        """Gives the running task so many seconds."""
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            self._loop, self._timer = loop, None
            self._waiting.clear()
        reader.task = asyncio.current_task()
        reader.deadline = loop.time() + seconds
        self._waiting.add(reader)
        if self._timer is None:
            self._start(loop)

    def remove(self, reader: Reader) -> float:
        """Ends the waiting; returns how many seconds were left."""
        self._waiting.discard(reader)
        reader.task = None  # or a task that was cancelled would be left to the garbage collector
        return reader.deadline - asyncio.get_running_loop().time()

    def _start(self, loop: asyncio.AbstractEventLoop) -> None:
        self._due = loop.time() + LOOK
        self._timer = loop.call_later(LOOK, self._look, loop)

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        if loop is not self._loop:
            return
        now = loop.time()
        # While the loop stood still, it did not take what clients sent.
        stood_still = max(0.0, now - self._due)
        for reader in list(self._waiting):
            reader.deadline += stood_still
            if reader.deadline <= now:
                self._waiting.discard(reader)
                reader.late = True
                if reader.task:
                    reader.task.cancel()
        self._timer = None
        if self._waiting:
            self._start(loop)


class Room:
    """What the bodies of a process take. Bodies are closed by any thread."""

    def __init__(self, space: int) -> None:
        self.space = space
        self._lock = Lock()
        self._memory = 0
        self._reserved = 0  # bytes of disk that may be taken
        self._written = 0  # bytes of them that bodies have taken by now

    def take_memory(self, body: "MemoryBody", size: int) -> bool:
        """Whether there is room in memory, which is taken then."""
        with self._lock:
            if self._memory + size > MEMORY:
                return False
            self._memory += size
            body.taken += size
        return True

    def give_memory(self, body: "MemoryBody") -> None:
        """Gives back what a body has taken."""
        with self._lock:
            self._memory -= body.taken
            body.taken = 0

    def reserve(self, size: int) -> None:
        """Raises Refused if so much would be more than BODY_SPACE."""
        with self._lock:
            if self._reserved + size > self.space:
                raise Refused(
                    503,
                    "Too many uploads at once; try again in a moment.",
                    f"refused a body that takes {size} bytes of disk: open requests have"
                    f" {self._reserved} of BODY_SPACE, {self.space}",
                    logging.WARNING,
                )
            self._reserved += size

    def wrote(self, size: int) -> None:
        """Notes what a body has taken."""
        with self._lock:
            self._written += size

    def check(self, folder: str) -> None:
        """Raises OSError if the disk has less than what is reserved."""
        free = shutil.disk_usage(folder).free
        with self._lock:
            wanted = self._reserved - self._written
        if free < wanted:
            raise OSError(errno.ENOSPC, f"{free} bytes are free, and {wanted} wanted")

    def give_disk(self, reserved: int, written: int) -> None:
        """Gives back what a body had."""
        with self._lock:
            self._reserved -= reserved
            self._written -= written


class MemoryBody(io.BytesIO):
    """A body in memory."""

    def __init__(self, room: Room) -> None:
        super().__init__()
        self.taken = 0
        self._room = room

    def add(self, part: bytes) -> bool:
        """Appends a part, if there is room in memory for it; returns whether there is."""
        if not self._room.take_memory(self, len(part)):
            return False
        self.write(part)
        return True

    def close(self) -> None:
        self._room.give_memory(self)
        super().close()


class DiskBody(io.BufferedRandom):
    """A body in a temporary file, which has no name and ends with the process."""

    def __init__(self, file: Any, room: Room, copies: int, reserved: int) -> None:
        super().__init__(file)
        self._copies = copies
        self._room = room
        self._whole = reserved > 0  # or it is reserved part by part
        self._reserved = reserved
        self._written = 0

    @classmethod
    def open(cls, room: Room, announced: int | None, copies: int) -> "DiskBody":
        """Makes the file; blocks. Raises Refused if there is no room for it, and its copies."""
        reserved = (announced or 0) * copies
        room.reserve(reserved)
        try:
            folder = temporary_folder()
            room.check(folder)
            return cls(tempfile.TemporaryFile(buffering=0, dir=folder), room, copies, reserved)
        except OSError as error:
            room.give_disk(reserved, 0)
            raise disk_refused(error) from None

    async def add(self, part: bytes) -> None:
        """Appends a part, in a thread. Raises Refused if there is no room for it."""
        if not self._whole:
            self._room.reserve(len(part) * self._copies)
            self._reserved += len(part) * self._copies
        self._room.wrote(len(part))
        self._written += len(part)
        try:
            await asyncio.to_thread(self._append, part)
        except OSError as error:
            raise disk_refused(error) from None

    def _append(self, part: bytes) -> None:
        self.write(part)
        self.flush()

    def close(self) -> None:
        reserved, self._reserved = self._reserved, 0
        written, self._written = self._written, 0
        self._room.give_disk(reserved, written)
        with suppress(OSError):  # what could not be written is not wanted any more
            super().close()


def temporary_folder() -> str:
    """Where bodies lie that are not in memory."""
    return str(settings.FILE_UPLOAD_TEMP_DIR or tempfile.gettempdir())


def disk_refused(error: OSError) -> Refused:
    """What is said of a disk that does not take a body."""
    return Refused(
        507,
        "The server has no room for the body of the request.",
        f"can't keep a body in {temporary_folder()}: {error.strerror or error}",
        logging.ERROR,
    )


async def answer(refused: Refused, scope: Scope, receive: Receive, send: Send) -> None:
    """Answers a request whose body is refused. It reaches nobody where the client has left."""
    await send(start(refused.status, refused.text, scope))
    if refused.more_comes:
        await send({"type": "http.response.body", "body": content(refused.text), "more_body": True})
        with suppress(TimeoutError):
            async with asyncio.timeout(LINGER):
                while (await receive()).get("more_body", False):
                    pass
        await send({"type": "http.response.body"})
    else:
        await send({"type": "http.response.body", "body": content(refused.text)})


def start(status: int, text: str, scope: Scope) -> Message:
    """The message that begins an answer of one line."""
    headers = [
        (b"content-type", b"text/plain; charset=utf-8"),
        (b"content-length", str(len(content(text))).encode()),
        (b"cache-control", b"no-store"),
        *security_headers(scope),
    ]
    if status == 503:
        headers.append((b"retry-after", str(RETRY_AFTER).encode()))
    if scope.get("http_version", "1.1").startswith("1"):  # HTTP/2 has no such header
        headers.append((b"connection", b"close"))
    return {"type": "http.response.start", "status": status, "headers": headers}


def content(text: str) -> bytes:
    """A line of text as a body."""
    return f"{text}\n".encode()


def corrected(scope: Scope, send: Send) -> Send:
    """A `send` that turns Django's 400 for a NoRoom into a 507."""
    replaced = False

    async def send_corrected(message: Message) -> None:
        nonlocal replaced
        if text := scope.get(NO_ROOM):
            if message["type"] == "http.response.start":
                replaced = message["status"] == 400
                message = start(507, text, scope) if replaced else message
            elif replaced and message.get("more_body", False):
                return
            elif replaced:
                message = {"type": "http.response.body", "body": content(text)}
        await send(message)

    return send_corrected


def no_room(scope: Scope, error: OSError) -> NoRoom:
    """What a view gets that asks for the files of a form when the disk is full."""
    refused = disk_refused(error)
    scope[NO_ROOM] = refused.text
    return NoRoom(str(refused))


def has_body(scope: Scope) -> bool:
    """True if a body may follow. Waiting for one that cannot arrive costs 10 % of a small request.

    Under HTTP/1 a header must announce it (RFC 9112, section 6.3).
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
