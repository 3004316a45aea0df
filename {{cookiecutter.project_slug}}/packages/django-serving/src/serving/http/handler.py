"""Django as an ASGI application, with at most one change of thread for a request.

Django's own handler sends the work of every middleware to a thread and back, a dozen times a request.
Here a request for a sync view goes to a thread of the pool once, and all of Django runs there, as under
WSGI. A request for an async view stays on the event loop, except for what may do I/O.

Both ways serve both kinds of view, so a wrong guess costs speed and nothing else.
"""

import asyncio
import sys
from contextlib import suppress
from copy import copy
from typing import Any, NamedTuple

from asgiref.sync import sync_to_async
from django.core import signals
from django.core.exceptions import RequestAborted
from django.core.handlers.asgi import ASGIHandler, get_script_prefix
from django.db import close_old_connections
from django.http.response import HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.urls import set_script_prefix

from serving.conf import conf
from serving.http.async_routes import leads_to_async_view
from serving.http.body import Bodies
from serving.http.clients import DisconnectWatcher, interruptible
from serving.http.inline_middleware import closes_nothing, inline, only_tidies
from serving.http.request import Request, tell_refusal
from serving.http.streams import PART, PatientSend, keeps_thread, read_in_thread
from serving.http.thread_pool import pool
from serving.http.threads import Call, Lease, asgiref_is_patched, one_thread
from serving.types import Message, Receive, Scope, Send

# Bytes of a complete response beyond which it goes out in parts, too.
# Granian takes a whole body at once and keeps it for a client that does not read; open in 2.8.9:
# https://github.com/emmett-framework/granian/blob/v2.8.1/src/asgi/io.rs#L243-L254
LARGE = 1024 * 1024


class PlainHandler(ASGIHandler):
    """Django's own handler; its requests carry the lifespan's state."""

    request_class = Request


class DjangoHandler(PlainHandler):
    """The same, faster. Sync code runs in up to `SERVING_THREADS` threads."""

    def __init__(self) -> None:
        super().__init__()
        self._bodies = Bodies()
        self._send_timeout = conf.SEND_TIMEOUT()
        _ = pool.bound  # so that a wrong SERVING_THREADS ends the start, and not each request
        # This handler again, with the chain of middleware for sync views. A copy, so that it has what a
        # subclass or a library that patches Django has changed.
        self._sync = copy(self)
        self._sync.load_middleware(is_async=False)
        leads_to_async_view("/")  # imports the URLconf now, and not while requests wait

    def adapt_method_mode(self, is_async: bool, method: Any, *args: Any, **kwargs: Any) -> Any:
        """Lets a middleware that only computes do so on the event loop."""
        if is_async and (inlined := inline(method)):
            return inlined
        return super().adapt_method_mode(is_async, method, *args, **kwargs)

    def process_exception_by_middleware(self, exception: Exception, request: Any) -> Any:
        """As Django's; notes what a client is told of an upload that its view could not keep."""
        if isinstance(request, Request):
            request.note_refusal(exception)
        return super().process_exception_by_middleware(exception, request)

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves a request, in place of what Django's `__call__` calls.

        `__call__` itself stays Django's, since error trackers and tracers wrap it for all handlers.
        """
        body = await self._bodies.read(scope, receive, send)
        if body is None:
            return
        by_asgiref = asgiref_is_patched() or leads_to_async_view(path_info(scope))
        serve = self._serve_async if by_asgiref else self._serve_sync
        with body, DisconnectWatcher(receive) as watcher:
            await serve(Exchange(scope, body, send, watcher))

    # A request for a sync view

    async def _serve_sync(self, exchange: "Exchange") -> None:
        call = Call(lambda call: self._respond(call, exchange))
        pool.submit(call.run)
        exchange.watcher.start(call.abort)
        try:
            response: Any = await call.result()
            if call.lease:
                await self._stream(response, exchange, call.lease)
                call.lease.release()
            elif response is not None and not (response.streaming or call.aborted):
                with suppress(RequestAborted):
                    await self._send(response, exchange)
            await call.ended()
        except RequestAborted:
            return
        except Exception:  # a stream broke: its thread closes it first
            call.abort()
            with suppress(RequestAborted):
                await call.ended()
            raise
        finally:
            call.abandon()  # if this was cancelled, the thread ends without us
        if response.streaming and not call.lease:
            await self._stream_and_close(response, exchange)

    def _respond(self, call: Call, exchange: "Exchange") -> None:
        """In a thread: all of Django. It hands over what is to be sent, and then tidies up."""
        set_script_prefix(get_script_prefix(exchange.scope))
        signals.request_started.send(sender=type(self), scope=exchange.scope)
        response: Any
        request, response = self.create_request(exchange.scope, exchange.body)
        if request is not None:
            try:
                response = tell_refusal(request, self._sync.get_response(request))
                response._handler_class = type(self)
            except BaseException:  # it was cancelled, say, and no response will send the signal
                signals.request_finished.send(sender=type(self))
                raise
        if not response.streaming:
            call.deliver(response)
            response.close()
        elif keeps_thread(response) or call.aborted:
            call.keep_thread(response)
            close(response)
        else:
            close_old_connections()
            call.deliver(response)

    # A request for an async view

    async def _serve_async(self, exchange: "Exchange") -> None:
        response: Any = None
        async with one_thread() as lease:
            set_script_prefix(get_script_prefix(exchange.scope))
            # A task of the loop begins without connections, and so with none to tidy up.
            if not only_tidies(signals.request_started, type(self)):
                await signals.request_started.asend(sender=type(self), scope=exchange.scope)
            request, response = self.create_request(exchange.scope, exchange.body)
            with suppress(RequestAborted), interruptible(RequestAborted) as leave:
                exchange.watcher.start(leave)
                if request is not None:
                    response = tell_refusal(request, await self.run_get_response(request))
                if not response.streaming:
                    await self._send(response, exchange, lease)
            if response is None:
                await signals.request_finished.asend(sender=type(self))
            elif not response.streaming:
                await self._close(response, lease)
        if response is not None and response.streaming:
            await self._stream_and_close(response, exchange)

    async def _close(self, response: HttpResponseBase, lease: Lease) -> None:
        """Closes a response, which sends the finish signal: in a thread if that means any work."""
        tidies = closes_nothing(response) and only_tidies(signals.request_finished, type(self))
        if tidies and not lease.taken:
            close(response)
        else:
            await sync_to_async(close)(response)

    # Both kinds

    async def _send(
        self, response: HttpResponse, exchange: "Exchange", lease: Lease | None = None
    ) -> None:
        """Sends a complete response. Raises RequestAborted if the client does not read."""
        content = response.content
        if len(content) <= LARGE:
            await exchange.send(start(response))
            await exchange.send({"type": "http.response.body", "body": content})
            return
        if lease:
            lease.release()  # to send it may take long
        send = PatientSend(exchange.send, exchange.scope, self._send_timeout)
        await send(start(response))
        for position in range(0, len(content), PART):
            part = content[position : position + PART]
            await send({"type": "http.response.body", "body": part, "more_body": True})
        await send({"type": "http.response.body"})

    async def _stream(
        self, response: StreamingHttpResponse, exchange: "Exchange", lease: Lease
    ) -> None:
        """Sends a stream, unless its client has left or leaves."""
        if exchange.watcher.gone:
            return
        keeps = keeps_thread(response)
        send = PatientSend(exchange.send, exchange.scope, self._send_timeout, keeps_thread=keeps)
        with suppress(RequestAborted), interruptible(RequestAborted) as leave:
            exchange.watcher.start(leave)
            if not response.is_async:
                read_in_thread(response, lease)
            await self.send_response(response, send)

    async def _stream_and_close(
        self, response: StreamingHttpResponse, exchange: "Exchange"
    ) -> None:
        """A thread that the view took is not kept for the stream, which may take hours."""
        async with one_thread() as lease:
            try:
                await self._stream(response, exchange, lease)
            finally:
                closing = self._close(response, lease)
                # asgiref leaves the exception being handled in a reference cycle; open in 3.13.0:
                # https://github.com/django/asgiref/blob/3.13.0/asgiref/sync.py#L626-L633
                await (asyncio.create_task(closing) if sys.exception() else closing)


class Exchange(NamedTuple):
    """A request, and the way back."""

    scope: Scope
    body: Any  # a file
    send: Send
    watcher: DisconnectWatcher


def path_info(scope: Scope) -> str:
    """The path below the script's prefix, as ASGIRequest has it."""
    path: str = scope["path"]
    prefix = get_script_prefix(scope).rstrip("/")
    return path.removeprefix(prefix) if f"{path}/".startswith(f"{prefix}/") else path


def close(response: HttpResponseBase) -> None:
    """Closes a response, and takes a stream apart."""
    response.close()
    if isinstance(response, StreamingHttpResponse):
        # Django's iterator over it refers to the response; open in 6.1.3:
        # https://github.com/django/django/blob/6.1.3/django/http/response.py#L578
        response.streaming_content = ()


def start(response: HttpResponse) -> Message:
    """The message that begins a response; header names keep their case, as Django has it."""
    headers = [(name.encode("ascii"), value.encode("latin1")) for name, value in response.items()]
    headers += [
        (b"Set-Cookie", morsel.OutputString().encode("ascii"))
        for morsel in response.cookies.values()
    ]
    return {"type": "http.response.start", "status": response.status_code, "headers": headers}
