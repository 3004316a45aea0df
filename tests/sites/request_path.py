"""What the pool of threads does, and streams that log when they are closed."""

import asyncio
import logging
import threading
import time
from collections.abc import AsyncIterator, Iterator

from django.db import connection
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.urls import path
from serving.http.thread_pool import pool

logger = logging.getLogger("home")
together = threading.Barrier(40)


def waits(request: HttpRequest) -> HttpResponse:
    together.wait(50)
    return HttpResponse("waited")


def thread(request: HttpRequest) -> HttpResponse:
    connection.ensure_connection()
    return HttpResponse(f"{threading.get_ident()} {id(connection.connection)}")


def figures(request: HttpRequest) -> HttpResponse:
    return HttpResponse(f"{pool.queued} {pool.busy} {pool.idle} {pool.bound}")


def parts() -> Iterator[bytes]:
    try:
        while True:
            yield b"tick"
            time.sleep(0.01)
    finally:
        logger.warning("sync stream closed")


async def aparts() -> AsyncIterator[bytes]:
    try:
        while True:
            yield b"tick"
            await asyncio.sleep(0.01)
    finally:
        logger.warning("async stream closed")


def stream(request: HttpRequest) -> StreamingHttpResponse:
    return StreamingHttpResponse(parts())


async def astream(request: HttpRequest) -> StreamingHttpResponse:
    return StreamingHttpResponse(aparts())


def late(request: HttpRequest) -> StreamingHttpResponse:
    time.sleep(0.1)
    return StreamingHttpResponse(aparts() if "async" in request.GET else parts())


async def alate(request: HttpRequest) -> StreamingHttpResponse:
    await asyncio.sleep(0.1)
    return StreamingHttpResponse(aparts() if "async" in request.GET else parts())


urlpatterns = [
    path("waits/", waits),
    path("thread/", thread),
    path("figures/", figures),
    path("stream/", stream),
    path("astream/", astream),
    path("late/", late),
    path("alate/", alate),
]
