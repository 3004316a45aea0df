"""Views that take long, streams that end in every way, and what a view sees of the state."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any

from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.urls import path
from serving.http.request import Request
from serving.stopping.signals import stopping

logger = logging.getLogger("stream")


async def slow(request: HttpRequest) -> HttpResponse:
    while not Path("release").exists():
        await asyncio.sleep(0.02)
    return HttpResponse("done")


def slow_sync(request: HttpRequest) -> HttpResponse:
    while not Path("release").exists():
        time.sleep(0.02)
    return HttpResponse("done")


async def for_ever(request: HttpRequest) -> HttpResponse:
    await asyncio.sleep(3600)
    return HttpResponse()


View = Callable[[HttpRequest], Coroutine[Any, Any, StreamingHttpResponse]]


def stream(parts: Callable[[], AsyncIterator[bytes]]) -> View:
    async def view(request: HttpRequest) -> StreamingHttpResponse:
        return StreamingHttpResponse(parts(), content_type="text/event-stream")

    return view


async def endless() -> AsyncIterator[bytes]:
    try:
        while True:
            yield b"data: tick\n\n"
            await asyncio.sleep(0.05)
    finally:
        logger.info("closed")


async def flood() -> AsyncIterator[bytes]:
    blocked = asyncio.get_running_loop().call_later
    while True:
        timer = blocked(1, logger.info, "the client does not read")
        yield b"x" * 1_000_000
        timer.cancel()


async def polite() -> AsyncIterator[bytes]:
    yield b"data: hello\n\n"
    while not await stopping.wait(30):
        yield b"data: tick\n\n"
    yield b"data: bye\n\n"


def replace(request: Request[Any]) -> HttpResponse:
    request.scope["state"]["one"] = "replaced"
    try:
        request.state.one = "replaced"
    except AttributeError as error:
        return HttpResponse(f"{request.state.one}: {error}")
    return HttpResponse("replaced")


def show(request: Request[Any]) -> HttpResponse:
    return HttpResponse(str(getattr(request.state, "one", None)))


def missing(request: Request[Any]) -> HttpResponse:
    try:
        return HttpResponse(request.state.nothing)
    except AttributeError as error:
        return HttpResponse(str(error))


async def missing_async(request: Request[Any]) -> HttpResponse:
    return missing(request)


urlpatterns = [
    path("slow", slow),
    path("slow-sync", slow_sync),
    path("for-ever", for_ever),
    path("endless", stream(endless)),
    path("flood", stream(flood)),
    path("polite", stream(polite)),
    path("replace", replace),
    path("show", show),
    path("missing", missing),
    path("missing-async", missing_async),
]
