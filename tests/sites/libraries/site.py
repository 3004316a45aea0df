"""Views of every kind, for tests/live/test_libraries.py. Each says whose request it is: `?n=` is its number."""

import asyncio
import os
import random
import time
from collections.abc import AsyncIterator, Iterator
from importlib import import_module
from typing import Any

from asgiref.sync import async_to_sync, sync_to_async
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.template import engines
from django.template.response import TemplateResponse
from django.urls import path

library: Any = import_module(f"tests.sites.libraries.{os.environ['LIBRARY']}")
BROKEN = engines["django"].from_string("{{ fails }}")


def moment() -> float:
    """Long enough for requests to overlap, and on both sides of WATCH_AFTER."""
    return random.uniform(0, 0.04)  # noqa: S311


def own(request: HttpRequest) -> str:
    number = request.GET["n"]
    library.mark(number)
    return number


def user(request: HttpRequest) -> HttpResponse:
    number = own(request)
    library.is_user(number)
    with library.span(f"work {number}"):
        time.sleep(moment())
        async_to_sync(aside)(number)
    return HttpResponse(number)


async def auser(request: HttpRequest) -> HttpResponse:
    number = own(request)
    library.is_user(number)
    with library.span(f"work {number}"):
        await asyncio.sleep(moment())
        await sync_to_async(side)(number)
    return HttpResponse(number)


def side(number: str) -> None:
    with library.span(f"side {number}"):
        time.sleep(moment() / 4)


async def aside(number: str) -> None:
    with library.span(f"side {number}"):
        await asyncio.sleep(moment() / 4)


def boom(request: HttpRequest) -> HttpResponse:
    number = own(request)
    time.sleep(moment())
    raise ValueError(f"boom {number}")


async def aboom(request: HttpRequest) -> HttpResponse:
    number = own(request)
    await asyncio.sleep(moment())
    raise ValueError(f"boom {number}")


class Fails:
    def __init__(self, number: str) -> None:
        self.number = number

    def __str__(self) -> str:
        raise ValueError(f"template {self.number}")


def template(request: HttpRequest) -> TemplateResponse:
    return TemplateResponse(request, BROKEN, {"fails": Fails(own(request))})


async def atemplate(request: HttpRequest) -> TemplateResponse:
    return TemplateResponse(request, BROKEN, {"fails": Fails(own(request))})


def parts(number: str, *, breaks: bool) -> Iterator[bytes]:
    for part in range(3):
        with library.span(f"part {part} of {number}"):
            time.sleep(moment())
        yield b"x"
    if breaks:
        raise ValueError(f"stream {number}")


async def aparts(number: str, *, breaks: bool) -> AsyncIterator[bytes]:
    for part in range(3):
        with library.span(f"part {part} of {number}"):
            await asyncio.sleep(moment())
        yield b"x"
    if breaks:
        raise ValueError(f"stream {number}")


def stream(request: HttpRequest) -> StreamingHttpResponse:
    return StreamingHttpResponse(parts(own(request), breaks="breaks" in request.GET))


async def astream(request: HttpRequest) -> StreamingHttpResponse:
    return StreamingHttpResponse(aparts(own(request), breaks="breaks" in request.GET))


def stream_of_async(request: HttpRequest) -> StreamingHttpResponse:
    return StreamingHttpResponse(aparts(own(request), breaks="breaks" in request.GET))


async def astream_of_sync(request: HttpRequest) -> StreamingHttpResponse:
    return StreamingHttpResponse(parts(own(request), breaks="breaks" in request.GET))


def ends(request: HttpRequest) -> HttpResponse:
    if "begin" not in request.GET:
        library.end()
    return HttpResponse("ended")


VIEWS = (
    ends,
    user,
    auser,
    boom,
    aboom,
    template,
    atemplate,
    stream,
    astream,
    stream_of_async,
    astream_of_sync,
)
urlpatterns = [path(f"{view.__name__}/", view) for view in VIEWS]
