"""Django as an ASGI application, with at most one change of thread for a request.

Django's own handler sends the work of every middleware to a thread and back, a dozen times a request.
Here a request for a sync view goes to a thread of the pool once, and all of Django runs there, as
under WSGI. A request for an async view stays on the event loop, but for what may do I/O.

Either way serves either kind of view, so a wrong guess costs speed and nothing else.
"""

import asyncio
import sys
import tempfile
from concurrent.futures import CancelledError, Future
from copy import copy
from io import BytesIO
from typing import IO, Any, cast

from asgiref.sync import sync_to_async
from django.conf import settings
from django.core import signals
from django.core.exceptions import RequestAborted
from django.core.handlers.asgi import ASGIHandler, get_script_prefix
from django.db import close_old_connections
from django.http import FileResponse
from django.http.response import HttpResponseBase, StreamingHttpResponse
from django.urls import set_script_prefix

from serving.asgi import Message, Receive, Scope, Send
from serving.disconnect import Leaving, Watch
from serving.middleware import SAFE_METHODS, closes_nothing, inline, only_tidies
from serving.request import Request
from serving.routes import leads_to_async_view
from serving.threads import Call, Lease, asgiref_is_patched, one_thread, pool

BODY_HEADERS = (b"content-length", b"transfer-encoding")


class PlainHandler(ASGIHandler):
    """Django's own handler; its requests carry the lifespan's state."""

    request_class = Request


class DjangoHandler(PlainHandler):
    """The same, faster. Sync code runs in up to `SERVING_THREADS` threads."""

    def __init__(self) -> None:
        super().__init__()
        pool.bound = getattr(settings, "SERVING_THREADS", pool.bound)
        # This handler once more, with the chain for sync views: so it has whatever was made of it, or of
        # Django's classes, by a subclass or by a library that patches them.
        self._sync = copy(self)
        self._sync.load_middleware(is_async=False)
        leads_to_async_view("/")  # imports the URLconf now, and not while requests wait

    def adapt_method_mode(self, is_async: bool, method: Any, *args: Any, **kwargs: Any) -> Any:
        """Has a middleware that only computes do so on the event loop."""
        if is_async and (inlined := inline(method)):
            return inlined
        return super().adapt_method_mode(is_async, method, *args, **kwargs)

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves a request, in place of what Django's `__call__` calls.

        `__call__` itself stays Django's, since error trackers and tracers wrap it for all handlers.
        """
        try:
            body = await self.read_body(receive) if has_body(scope) else BytesIO()
        except RequestAborted:
            return
        by_asgiref = asgiref_is_patched() or leads_to_async_view(path_info(scope))
        serve = self._serve_async if by_asgiref else self._serve_sync
        with body:
            await serve(scope, body, receive, send)

    async def read_body(self, receive: Receive) -> IO[bytes]:
        """The request's body: in memory where it fits, else in a temporary file.

        Raises RequestAborted when the client goes away.
        """
        limit: int = settings.FILE_UPLOAD_MAX_MEMORY_SIZE
        message = await read(receive)
        part: bytes = message.get("body", b"")
        if not message.get("more_body", False) and len(part) <= limit:
            return BytesIO(part)
        body = tempfile.SpooledTemporaryFile(limit, dir=settings.FILE_UPLOAD_TEMP_DIR)  # noqa: SIM115
        size = 0
        try:
            while True:
                size += len(part)
                if size <= limit:
                    body.write(part)
                else:
                    await asyncio.to_thread(body.write, part)
                if not message.get("more_body", False):
                    break
                message = await read(receive)
                part = message.get("body", b"")
        except BaseException:
            body.close()
            raise
        body.seek(0)
        return cast("IO[bytes]", body)

    # A request for a sync view

    async def _serve_sync(
        self, scope: Scope, body: IO[bytes], receive: Receive, send: Send
    ) -> None:
        sending = ThreadSend(send)
        call = Call(lambda call: self._respond(call, scope, body, sending))

        def leave() -> None:
            sending.abort()
            call.abort()

        pool.submit(call.run)
        try:
            with Watch(receive, leave):
                outcome: list[Message] | StreamingHttpResponse | None = await call.delivered
                call.take_context()
                if isinstance(outcome, list) and not call.aborted:
                    for message in outcome:
                        await send(message)
                await call.ended()
        except RequestAborted:
            return
        except asyncio.CancelledError:
            leave()
            call.forget()
            raise
        if isinstance(outcome, StreamingHttpResponse):
            await self._stream(outcome, receive, send, wanted=not call.aborted)

    def _respond(self, call: Call, scope: Scope, body: IO[bytes], send: "ThreadSend") -> None:
        """In a thread: all of Django. It hands over what is to be sent, and tidies up then."""
        set_script_prefix(get_script_prefix(scope))
        signals.request_started.send(sender=type(self), scope=scope)
        response: Any
        request, response = self.create_request(scope, body)
        if request is not None:
            try:
                response = self._adopt(self._sync.get_response(request))
            except BaseException:  # it was cancelled, say, and no response will send the signal
                signals.request_finished.send(sender=type(self))
                raise
        if not response.streaming:
            call.deliver(messages(response))
            response.close()
        elif response.is_async and not call.aborted:
            close_old_connections()
            call.deliver(response)
        else:
            try:
                self._send_parts(response, send)
            finally:
                close(response)
            call.deliver([])

    # A request for an async view

    async def _serve_async(
        self, scope: Scope, body: IO[bytes], receive: Receive, send: Send
    ) -> None:
        response: Any = None
        async with one_thread() as lease:
            set_script_prefix(get_script_prefix(scope))
            await self._signal_start(scope)
            request, response = self.create_request(scope, body)
            try:
                async with Leaving(receive):
                    if request is not None:
                        response = await self.run_get_response(request)
                    if not response.streaming:
                        for message in messages(response):
                            await send(message)
            except RequestAborted:
                pass
            if response is None:
                await signals.request_finished.asend(sender=type(self))
            elif not response.streaming:
                await self._close(response, lease)
        if response is not None and response.streaming:
            await self._stream(response, receive, send)

    async def _signal_start(self, scope: Scope) -> None:
        if only_tidies(signals.request_started, type(self)):
            signals.request_started.send(sender=type(self), scope=scope)
        else:
            await signals.request_started.asend(sender=type(self), scope=scope)

    async def _close(self, response: HttpResponseBase, lease: Lease) -> None:
        """Closes a response, which sends the finish signal: in a thread if there is any work to it."""
        if (
            not lease.taken
            and closes_nothing(response)
            and only_tidies(signals.request_finished, type(self))
        ):
            response.close()
        else:
            await sync_to_async(close)(response)

    # Of both

    def _adopt(self, response: Any) -> Any:
        response._handler_class = type(self)
        if isinstance(response, FileResponse):
            response.block_size = self.chunk_size
        return response

    async def _stream(
        self, response: StreamingHttpResponse, receive: Receive, send: Send, *, wanted: bool = True
    ) -> None:
        """Sends a stream, or only closes it if it is not `wanted` any more.

        A thread that the view took is not kept for it, for it may take hours.
        """
        async with one_thread() as lease:
            try:
                async with Leaving(receive) as leaving:
                    if not wanted:
                        pass
                    elif response.is_async:
                        await self.send_response(response, send)
                    else:
                        sending = ThreadSend(send)
                        leaving.also(sending.abort)
                        await sync_to_async(self._send_parts)(response, sending)
            except RequestAborted:
                pass
            finally:
                closing = self._close(response, lease)
                # asgiref leaves the exception that it finds in a task in a cycle with its own frame.
                await (asyncio.create_task(closing) if sys.exception() else closing)

    def _send_parts(self, response: StreamingHttpResponse, send: "ThreadSend") -> None:
        """In a thread: sends a stream part by part, where Django would first make a list of it."""
        send(start(response))
        for part in response:
            for chunk, _ in self.chunk_bytes(part):
                send({"type": "http.response.body", "body": chunk, "more_body": True})
        send({"type": "http.response.body"})


class ThreadSend:
    """`send` for a thread: waits until a message is sent. Raises RequestAborted after `abort`."""

    def __init__(self, send: Send) -> None:
        self._send = send
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
            pending.result()
        except CancelledError:
            raise RequestAborted from None
        finally:
            self._pending = None  # a cancelled one leads back here

    async def _sent(self, message: Message) -> None:
        await self._send(message)


def has_body(scope: Scope) -> bool:
    """Whether a request may have a body, for to wait for one that can't come costs a tenth of its time.

    Under HTTP/1 a header must announce it (RFC 9112, section 6.3).
    """
    if scope["method"] not in SAFE_METHODS or scope.get("http_version") not in ("1.0", "1.1"):
        return True
    return any(name in BODY_HEADERS for name, _ in scope["headers"])


async def read(receive: Receive) -> Message:
    """The next part of a body. Raises RequestAborted when the client went away."""
    message = await receive()
    if message["type"] == "http.disconnect":
        raise RequestAborted
    return message


def path_info(scope: Scope) -> str:
    """The path below the script's prefix, as ASGIRequest has it."""
    path: str = scope["path"]
    prefix = get_script_prefix(scope).rstrip("/")
    return path.removeprefix(prefix) if f"{path}/".startswith(f"{prefix}/") else path


def close(response: HttpResponseBase) -> None:
    """Closes a response, and takes a file's apart: what is left of its iterator refers to it."""
    response.close()
    if isinstance(response, FileResponse):
        response.streaming_content = ()


def start(response: HttpResponseBase) -> Message:
    """The message that begins a response; header names keep their case, as Django has it."""
    headers = [(name.encode("ascii"), value.encode("latin1")) for name, value in response.items()]
    headers += [
        (b"Set-Cookie", morsel.OutputString().encode("ascii"))
        for morsel in response.cookies.values()
    ]
    return {"type": "http.response.start", "status": response.status_code, "headers": headers}


def messages(response: Any) -> list[Message]:
    """A response that is no stream, as messages. The server cuts a long one as it needs."""
    return [start(response), {"type": "http.response.body", "body": response.content}]
