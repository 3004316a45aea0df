"""A view for each end that a container may come to, and streams that its stop must wait for."""

import asyncio
import logging
import os
import signal
import time
from collections.abc import AsyncIterator
from typing import Never

from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.urls import path
from serving.stopping.signals import stopping


def slow(request: HttpRequest) -> HttpResponse:
    """Answers once the server is told to stop."""
    logging.getLogger("home").info("the slow view has begun")
    while not stopping.is_set():
        time.sleep(0.02)
    return HttpResponse("done")


async def stream(request: HttpRequest) -> StreamingHttpResponse:
    async def ticks() -> AsyncIterator[str]:
        yield "tick\n"
        while not await stopping.wait(1.0):
            yield "tick\n"
        yield "bye\n"

    return StreamingHttpResponse(ticks())


async def endless(request: HttpRequest) -> StreamingHttpResponse:
    async def ticks() -> AsyncIterator[str]:
        while True:
            yield "tick\n"
            await asyncio.sleep(0.1)

    return StreamingHttpResponse(ticks())


def eat(request: HttpRequest) -> Never:
    held = []
    while True:
        held.append(bytearray(os.urandom(1024) * 1024 * 8))


def kill(request: HttpRequest) -> HttpResponse:
    os.kill(os.getpid(), signal.SIGKILL)
    return HttpResponse()


urlpatterns = [
    path("slow", slow),
    path("stream", stream),
    path("endless", endless),
    path("eat", eat),
    path("kill", kill),
]
