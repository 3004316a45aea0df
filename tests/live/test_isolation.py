"""Requests do not see each other: what one leaves behind on its thread, its task or its connection."""

from itertools import product
from pathlib import Path

import httpx
import pytest

from tests.conftest import Serve
from tests.support.server import PATIENCE

VIEWS = """
import asyncio
import contextvars

from asgiref.local import Local
from asgiref.sync import SyncToAsync, async_to_sync, sync_to_async
from django.http import JsonResponse, StreamingHttpResponse
from django.urls import get_script_prefix, get_urlconf, path, set_script_prefix, set_urlconf
from django.utils import timezone, translation

from home import views

variable = contextvars.ContextVar("variable", default="unset")
local, critical = Local(), Local(thread_critical=True)

def look():
    return {
        "variable": variable.get(),
        "local": getattr(local, "leaf", "unset"),
        "language": translation.get_language(),
        "zone": timezone.get_current_timezone_name(),
        "prefix": get_script_prefix(),
        "urlconf": get_urlconf(),
        "tasks": len(getattr(SyncToAsync.threadlocal, "task_context", None) or ()),
    }

def leave():
    variable.set("left")
    local.leaf = "left"
    translation.activate("de")
    timezone.activate("Asia/Tokyo")
    set_script_prefix("/left/")
    set_urlconf("home.urls")

async def aside():
    before = look()
    leave()
    return before

def looks(request):
    return JsonResponse({"here": look(), "there": async_to_sync(aside)()})

async def alooks(request):
    return JsonResponse({"here": look(), "there": await sync_to_async(look)()})

def leaves(request):
    leave()
    async_to_sync(aside)()
    return JsonResponse(look())

async def aleaves(request):
    await sync_to_async(leave)()
    leave()
    return JsonResponse(look())

def parts():
    leave()
    yield b"left"

async def aparts():
    leave()
    await sync_to_async(leave)()
    yield b"left"

def stream(request):
    return StreamingHttpResponse(parts())

async def astream(request):
    return StreamingHttpResponse(aparts())

def stream_of_async(request):
    return StreamingHttpResponse(aparts())

async def astream_of_sync(request):
    return StreamingHttpResponse(parts())

def fails(request):
    leave()
    raise ValueError("left")

async def afails(request):
    leave()
    await sync_to_async(leave)()
    raise ValueError("left")

app_name = "home"
urlpatterns = [path("", views.index), path("uptime/", views.uptime, name="uptime")]
urlpatterns += [path(f"{view.__name__}/", view) for view in (
    looks, alooks, leaves, aleaves, stream, astream, stream_of_async, astream_of_sync, fails, afails,
)]
"""

LEAVES = ("leaves", "stream", "fails", "aleaves", "astream", "stream_of_async", "astream_of_sync", "afails")  # fmt: skip


@pytest.mark.parametrize("loop", ["uvloop", "asyncio", "rloop"])
def test_nothing_is_left_for_the_next_request(project: Path, serve: Serve, loop: str) -> None:
    (project / "home" / "urls.py").write_text(VIEWS)
    # One thread and one connection, so that every request follows the one before on both.
    server = serve(project, SERVING_THREADS="1", GRANIAN_LOOP=loop).ready()
    with httpx.Client(base_url=server.address, timeout=PATIENCE) as client:

        def seen(view: str) -> str:
            answer = client.get(f"/{view}/")
            assert answer.status_code == 200
            return answer.text

        fresh = {view: seen(view) for view in ("looks", "alooks")}
        assert "left" not in "".join(fresh.values())
        for leaves, looks in product(LEAVES, fresh):
            client.get(f"/{leaves}/")
            assert seen(looks) == fresh[looks], f"{looks} after {leaves}"
    assert server.stop() == 0
