"""Streams, files and large pages of every kind. Each logs when it is closed."""

import asyncio
import io
import itertools
import logging
import random
import tempfile
import time
from collections.abc import AsyncIterator, Iterable, Iterator

from django.contrib.auth import get_user_model
from django.http import FileResponse, HttpRequest, HttpResponse, StreamingHttpResponse
from django.urls import path
from serving.http.thread_pool import pool

logger = logging.getLogger("home")
PART = b"x" * 65536
given: list[int] = []  # the sizes of all parts of busy streams so far


def closing(parts: Iterable[bytes]) -> Iterator[bytes]:
    try:
        for part in parts:
            given.append(len(part))
            yield part
    finally:
        logger.info("stream closed")


async def busy() -> AsyncIterator[bytes]:
    try:
        while True:
            given.append(len(PART))
            yield PART
    finally:
        logger.info("stream closed")


async def rows() -> AsyncIterator[str]:
    try:
        for number in range(3_000_000):
            yield f"{number},{number},{number}\n"
    finally:
        logger.info("stream closed")


async def queries() -> AsyncIterator[bytes]:
    try:
        await get_user_model().objects.acount()  # takes a thread
        while True:
            yield PART
    finally:
        logger.info("stream closed")


class Source(io.RawIOBase):
    """A file of 64 MB."""

    left = 1024

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        self.left -= 1
        return b"x" * size if self.left >= 0 else b""

    def close(self) -> None:
        if not self.closed:
            logger.info("stream closed")
        super().close()


def sync_busy(request: HttpRequest) -> StreamingHttpResponse:
    return StreamingHttpResponse(closing(itertools.repeat(PART)))


def sync_some(request: HttpRequest) -> StreamingHttpResponse:
    return StreamingHttpResponse([PART] * 10)


async def async_busy(request: HttpRequest) -> StreamingHttpResponse:
    return StreamingHttpResponse(busy())


async def async_rows(request: HttpRequest) -> StreamingHttpResponse:
    return StreamingHttpResponse(rows())


async def async_of_sync(request: HttpRequest) -> StreamingHttpResponse:
    return StreamingHttpResponse(closing(itertools.repeat(PART)))


async def async_queries(request: HttpRequest) -> StreamingHttpResponse:
    return StreamingHttpResponse(queries())


def sync_file(request: HttpRequest) -> FileResponse:
    return FileResponse(Source())


async def async_file(request: HttpRequest) -> FileResponse:
    return FileResponse(Source())


def real_file(request: HttpRequest) -> FileResponse:
    file = tempfile.TemporaryFile()  # noqa: SIM115 (the response closes it)
    file.write(b"0123456789" * 1_000_000)
    file.seek(0)
    return FileResponse(file)


def late(request: HttpRequest) -> FileResponse:
    time.sleep(random.uniform(0.015, 0.025))  # noqa: S311
    return FileResponse(io.BytesIO(PART * 10))


async def alate(request: HttpRequest) -> StreamingHttpResponse:
    await asyncio.sleep(random.uniform(0.015, 0.025))  # noqa: S311
    return StreamingHttpResponse(some())


async def some() -> AsyncIterator[bytes]:
    for _ in range(10):
        yield PART


def large(request: HttpRequest) -> HttpResponse:
    return HttpResponse(PART * 1024)


async def alarge(request: HttpRequest) -> HttpResponse:
    await get_user_model().objects.acount()  # takes a thread
    return HttpResponse(PART * 1024)


def tick(request: HttpRequest) -> HttpResponse:
    return HttpResponse("tick")


async def atick(request: HttpRequest) -> HttpResponse:
    return HttpResponse("tick")


async def how_many(request: HttpRequest) -> HttpResponse:
    return HttpResponse(str(len(given)))


def busy_threads(request: HttpRequest) -> HttpResponse:
    return HttpResponse(str(pool.busy - 1))


urlpatterns = [
    path(view.__name__, view)
    for view in (
        sync_busy,
        sync_some,
        async_busy,
        async_rows,
        async_of_sync,
        async_queries,
        sync_file,
        async_file,
        real_file,
        late,
        alate,
        large,
        alarge,
        tick,
        atick,
        how_many,
        busy_threads,
    )
]
