"""Views that raise, with a text that no stranger may see."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Never

from django.core.exceptions import BadRequest, PermissionDenied, SuspiciousOperation
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import path
from serving.http.request import Request

WHY = "cannot reach amqp://shop:hunter2@10.9.8.7"

Views = tuple[
    Callable[[HttpRequest], HttpResponse],
    Callable[[HttpRequest], Coroutine[Any, Any, HttpResponse]],
]


def raising(error: type[Exception]) -> Views:
    def view(request: HttpRequest) -> Never:
        raise error(WHY)

    async def async_view(request: HttpRequest) -> Never:
        raise error(WHY)

    return view, async_view


def missing(request: Request[Any]) -> HttpResponse:
    return HttpResponse(request.state.hunter2)


async def slow(request: HttpRequest) -> HttpResponse:
    await asyncio.sleep(3600)
    return HttpResponse()


def named(request: HttpRequest) -> HttpResponse:
    return HttpResponse(headers={"Server": "ours", "X-Request-ID": "ours"})


KINDS = {
    "500": RuntimeError,
    "400": BadRequest,
    "400s": SuspiciousOperation,
    "403": PermissionDenied,
    "404": Http404,
}
urlpatterns = [
    path("missing", missing),
    path("slow", slow),
    path("named", named),
    *(path(f"sync/{name}", raising(kind)[0]) for name, kind in KINDS.items()),
    *(path(f"async/{name}", raising(kind)[1]) for name, kind in KINDS.items()),
]
