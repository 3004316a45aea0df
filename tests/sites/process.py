"""Views that take long, never end, log much, or end their process."""

import asyncio
import ctypes
import logging
import time
from collections.abc import AsyncIterator

from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.urls import path

log = logging.getLogger("home")


def slow(request: HttpRequest) -> HttpResponse:
    log.warning("slow begins")
    time.sleep(2)
    return HttpResponse("done")


def stuck(request: HttpRequest) -> HttpResponse:
    log.warning("stuck begins")
    time.sleep(3600)
    return HttpResponse()


async def endless(request: HttpRequest) -> StreamingHttpResponse:
    async def parts() -> AsyncIterator[bytes]:
        while True:
            yield b"tick\n"
            await asyncio.sleep(0.01)

    return StreamingHttpResponse(parts())


def lines(request: HttpRequest) -> HttpResponse:
    for number in range(int(request.GET["from"]), int(request.GET["to"])):
        log.info("line %d %s", number, "x" * int(request.GET.get("size", 0)))
    return HttpResponse("said")


def segfault(request: HttpRequest) -> HttpResponse:
    return HttpResponse(ctypes.string_at(0))


urlpatterns = [
    path("slow", slow),
    path("stuck", stuck),
    path("endless", endless),
    path("lines", lines),
    path("segfault", segfault),
]
