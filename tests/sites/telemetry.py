"""Views of every kind, for tests/live/test_telemetry.py: `?n=` is a request's number."""

import asyncio
import logging
import os
import random
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractContextManager
from importlib.util import find_spec
from typing import Any

from asgiref.sync import sync_to_async
from django.contrib.auth import get_user_model
from django.core.cache import cache
from django.db import connection
from django.http import HttpRequest, HttpResponse, JsonResponse, StreamingHttpResponse
from django.tasks import task
from django.urls import path

# What an app calls to say more than the handler does.
if find_spec("telemetry.sentry"):
    import sentry_sdk

    def mark(number: str) -> None:
        sentry_sdk.set_tag("n", number)
        sentry_sdk.set_user({"id": number})

    def span(name: str) -> AbstractContextManager[Any]:
        return sentry_sdk.start_span(name=name, op="work")

else:
    from opentelemetry import trace

    def mark(number: str) -> None:
        trace.get_current_span().set_attributes({"n": number, "enduser.id": number})

    def span(name: str) -> AbstractContextManager[Any]:
        return trace.get_tracer("shop").start_as_current_span(name)


def moment() -> float:
    """Long enough for requests to overlap, and on both sides of WATCH_AFTER."""
    return random.uniform(0, 0.04)  # noqa: S311


def own(request: HttpRequest) -> str:
    number = request.GET["n"]
    mark(number)
    logging.getLogger("home").info("asked for %s", number)
    return number


def ask(number: str) -> None:
    """The database and the cache."""
    with span(f"work {number}"):
        get_user_model().objects.filter(username=f"ada {number}").exists()
        cache.get(f"basket-of-{number}")
        time.sleep(moment())


async def aask(number: str) -> None:
    with span(f"work {number}"):
        await get_user_model().objects.filter(username=f"ada {number}").aexists()
        await cache.aget(f"basket-of-{number}")
        await asyncio.sleep(moment())


def plain(request: HttpRequest, kind: str) -> HttpResponse:
    number = own(request)
    ask(number)
    return HttpResponse(number)


async def aplain(request: HttpRequest, kind: str) -> HttpResponse:
    number = own(request)
    await aask(number)
    return HttpResponse(number)


def boom(request: HttpRequest) -> HttpResponse:
    number, password = own(request), "-".join(("a", "password", "in", "a", "variable"))
    ask(number)
    raise ValueError(f"boom {number} at {os.environ['PAYMENT_TOKEN']}, {len(password)}")


async def aboom(request: HttpRequest) -> HttpResponse:
    number, password = own(request), "-".join(("a", "password", "in", "a", "variable"))
    await aask(number)
    raise ValueError(f"boom {number} at {os.environ['PAYMENT_TOKEN']}, {len(password)}")


def parts(request: HttpRequest, number: str) -> Iterator[bytes]:
    for _ in range(3):
        ask(number)
        yield b"x"
    if "breaks" in request.GET:
        raise ValueError(f"stream {number}")


async def aparts(request: HttpRequest, number: str) -> AsyncIterator[bytes]:
    for _ in range(3):
        await aask(number)
        yield b"x"
    if "breaks" in request.GET:
        raise ValueError(f"stream {number}")


def stream(request: HttpRequest) -> StreamingHttpResponse:
    return StreamingHttpResponse(parts(request, own(request)))


async def astream(request: HttpRequest) -> StreamingHttpResponse:
    return StreamingHttpResponse(aparts(request, own(request)))


def stream_of_async(request: HttpRequest) -> StreamingHttpResponse:
    return StreamingHttpResponse(aparts(request, own(request)))


async def astream_of_sync(request: HttpRequest) -> StreamingHttpResponse:
    return StreamingHttpResponse(parts(request, own(request)))


async def endless(request: HttpRequest) -> StreamingHttpResponse:
    async def more() -> AsyncIterator[bytes]:
        while True:
            yield b"x" * 1000
            await asyncio.sleep(0.02)

    own(request)
    return StreamingHttpResponse(more())


@task
def bill(number: str) -> None:
    ask(number)
    if number.endswith("0"):
        raise ValueError(f"task {number}")


def enqueues(request: HttpRequest) -> HttpResponse:
    bill.enqueue(own(request))
    return HttpResponse()


async def aenqueues(request: HttpRequest) -> HttpResponse:
    await sync_to_async(own)(request)
    await bill.aenqueue(request.GET["n"])
    return HttpResponse()


def literal(request: HttpRequest) -> HttpResponse:
    """SQL as an app should not write it."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT 'a-text-in-a-statement'")
    return HttpResponse(own(request))


def worker(request: HttpRequest) -> JsonResponse:
    return JsonResponse({"pid": os.getpid(), "n": own(request)})


urlpatterns: list[Any] = [
    path("plain/<str:kind>/", plain),
    path("aplain/<str:kind>/", aplain),
    *(
        path(f"{view.__name__}/", view)
        for view in (
            boom,
            aboom,
            stream,
            astream,
            stream_of_async,
            astream_of_sync,
            endless,
            enqueues,
            aenqueues,
            literal,
            worker,
        )
    ),
]
