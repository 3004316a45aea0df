"""Views that leave everything behind that a thread, a task or a context can hold, and views that look."""

import contextvars
from collections.abc import AsyncIterator, Iterator
from typing import Any, Never

from asgiref.local import Local
from asgiref.sync import SyncToAsync, async_to_sync, sync_to_async
from django.http import HttpRequest, JsonResponse, StreamingHttpResponse
from django.urls import get_script_prefix, get_urlconf, path, set_script_prefix, set_urlconf
from django.utils import timezone, translation

variable = contextvars.ContextVar("variable", default="unset")
local = Local()


def look() -> dict[str, Any]:
    return {
        "variable": variable.get(),
        "local": getattr(local, "leaf", "unset"),
        "language": translation.get_language(),
        "zone": timezone.get_current_timezone_name(),
        "prefix": get_script_prefix(),
        "urlconf": get_urlconf(),
        "tasks": len(getattr(SyncToAsync.threadlocal, "task_context", None) or ()),
    }


def leave() -> None:
    variable.set("left")
    local.leaf = "left"
    translation.activate("de")
    timezone.activate("Asia/Tokyo")
    set_script_prefix("/left/")
    set_urlconf("home.urls")


async def aside() -> dict[str, Any]:
    before = look()
    leave()
    return before


def looks(request: HttpRequest) -> JsonResponse:
    return JsonResponse({"here": look(), "there": async_to_sync(aside)()})


async def alooks(request: HttpRequest) -> JsonResponse:
    return JsonResponse({"here": look(), "there": await sync_to_async(look)()})


def leaves(request: HttpRequest) -> JsonResponse:
    leave()
    async_to_sync(aside)()
    return JsonResponse(look())


async def aleaves(request: HttpRequest) -> JsonResponse:
    await sync_to_async(leave)()
    leave()
    return JsonResponse(look())


def parts() -> Iterator[bytes]:
    leave()
    yield b"left"


async def aparts() -> AsyncIterator[bytes]:
    leave()
    await sync_to_async(leave)()
    yield b"left"


def stream(request: HttpRequest) -> StreamingHttpResponse:
    return StreamingHttpResponse(parts())


async def astream(request: HttpRequest) -> StreamingHttpResponse:
    return StreamingHttpResponse(aparts())


def stream_of_async(request: HttpRequest) -> StreamingHttpResponse:
    return StreamingHttpResponse(aparts())


async def astream_of_sync(request: HttpRequest) -> StreamingHttpResponse:
    return StreamingHttpResponse(parts())


def fails(request: HttpRequest) -> Never:
    leave()
    raise ValueError("left")


async def afails(request: HttpRequest) -> Never:
    leave()
    await sync_to_async(leave)()
    raise ValueError("left")


urlpatterns = [
    path(f"{view.__name__}/", view)
    for view in (
        looks,
        alooks,
        leaves,
        aleaves,
        stream,
        astream,
        stream_of_async,
        astream_of_sync,
        fails,
        afails,
    )
]
