"""The site of tests/serving/http/garbage.py: views that take long, break off or never end."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from inspect import iscoroutinefunction
from typing import Any

from asgiref.sync import async_to_sync
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.urls import path
from django.utils.decorators import sync_and_async_middleware
from django.views.decorators.csrf import csrf_exempt

from tests.sites import handler as site

DRAIN: Any = None


@sync_and_async_middleware
def breaks(get_response: Any) -> Any:
    """Raises where a request asks for it."""

    def fail(request: HttpRequest, when: str) -> None:
        if when in request.GET:
            raise ValueError(f"{when} the view")

    if iscoroutinefunction(get_response):

        async def amiddleware(request: HttpRequest) -> Any:
            fail(request, "before")
            response = await get_response(request)
            fail(request, "after")
            return response

        return amiddleware

    def middleware(request: HttpRequest) -> Any:
        fail(request, "before")
        response = get_response(request)
        fail(request, "after")
        return response

    return middleware


def slow(request: HttpRequest) -> HttpResponse:
    for _ in range(10 if "3" in request.GET else 1):
        time.sleep(0.03)
    return HttpResponse(b"x" * 100_000)


async def aslow(request: HttpRequest) -> HttpResponse:
    await asyncio.sleep(0.3 if "3" in request.GET else 0.03)
    return HttpResponse(b"x" * 100_000)


def read(request: HttpRequest) -> HttpResponse:
    return HttpResponse(str(len(request.body)))


async def aread(request: HttpRequest) -> HttpResponse:
    return HttpResponse(str(len(request.body)))


def boom(request: HttpRequest) -> HttpResponse:
    body = b"x" * 100_000
    if "late" in request.GET:
        time.sleep(0.03)
    raise ValueError(f"no tea for {len(body)}")


async def aboom(request: HttpRequest) -> HttpResponse:
    body = b"x" * 100_000
    if "late" in request.GET:
        await asyncio.sleep(0.03)
    raise ValueError(f"no tea for {len(body)}")


def pieces(seconds: float) -> Iterator[bytes]:
    for _ in range(3):
        time.sleep(seconds)
        yield b"x" * 1000


async def apieces(seconds: float) -> AsyncIterator[bytes]:
    for _ in range(3):
        await asyncio.sleep(seconds)
        yield b"x" * 1000


def slow_stream(request: HttpRequest) -> StreamingHttpResponse:
    return StreamingHttpResponse(pieces(0.02))


async def aslow_stream(request: HttpRequest) -> StreamingHttpResponse:
    return StreamingHttpResponse(apieces(0.02))


def cracks() -> Iterator[bytes]:
    yield b"x"
    raise ValueError("no more tea")


async def acracks() -> AsyncIterator[bytes]:
    yield b"x"
    raise ValueError("no more tea")


def broken(request: HttpRequest) -> StreamingHttpResponse:
    return StreamingHttpResponse(acracks() if "other" in request.GET else cracks())


async def abroken(request: HttpRequest) -> StreamingHttpResponse:
    return StreamingHttpResponse(cracks() if "other" in request.GET else acracks())


def ticks() -> Iterator[bytes]:
    for _ in range(500):  # Django's own handler makes a list of it
        time.sleep(0.001)
        yield b"x"


async def aticks() -> AsyncIterator[bytes]:
    while True:
        await asyncio.sleep(0.001)
        yield b"x"


def endless(request: HttpRequest) -> StreamingHttpResponse:
    return StreamingHttpResponse(aticks() if "other" in request.GET else ticks())


async def aendless(request: HttpRequest) -> StreamingHttpResponse:
    return StreamingHttpResponse(ticks() if "other" in request.GET else aticks())


def ended(request: HttpRequest) -> HttpResponse:
    async def end() -> None:
        DRAIN._end()
        await asyncio.sleep(60)

    async_to_sync(end)()
    return HttpResponse("never")


async def aended(request: HttpRequest) -> HttpResponse:
    DRAIN._end()
    await asyncio.sleep(60)
    return HttpResponse("never")


async def afile(request: HttpRequest) -> Any:
    return site.file(request)


own = (
    slow, aslow, read, aread, boom, aboom, slow_stream, aslow_stream, broken, abroken, endless, aendless,
    ended, aended, afile,
)  # fmt: skip
shared = (
    site.hello, site.ahello, site.template, site.atemplate, site.counts, site.acounts, site.who, site.awho,
    site.rows, site.arows, site.stream, site.astream, site.stream_of_async, site.astream_of_sync, site.file,
    site.upload, site.aupload, site.signs_in,
)  # fmt: skip
exempt = (read, aread, slow, aslow)
urlpatterns = [
    path(f"{view.__name__}/", csrf_exempt(view) if view in exempt else view)
    for view in (*own, *shared)
]
