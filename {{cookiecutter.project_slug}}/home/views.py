"""The first page, from a sync view; and from async ones, what keeps it up to date, and the worker's uptime."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

from asgiref.sync import sync_to_async
from django.conf import settings
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpResponse, JsonResponse, StreamingHttpResponse
from django.shortcuts import render
from serving.http.request import Request
from serving.http.threads import one_thread
from serving.stopping import stopping

from home import facts
from home.lifespan import HomeState


def index(request: Request[HomeState]) -> HttpResponse:
    """A page that shows the running server: to staff, and to everyone while DEBUG is on."""
    context: dict[str, Any] = {"title": settings.PROJECT_NAME}
    if settings.DEBUG or request.user.is_staff:
        context["is_live"] = is_live = hasattr(request, "scope")
        context["facts"] = facts.of_server(request) | ({} if is_live else facts.of_services())
    return render(request, "home/index.html", context)


async def live(request: Request[HomeState]) -> StreamingHttpResponse:
    """The page's facts, once a second, as server-sent events.

    https://developer.mozilla.org/en-US/docs/Web/API/Server-sent_events
    """
    if not (settings.DEBUG or (await request.auser()).is_staff):
        raise PermissionDenied
    if not hasattr(request, "scope"):
        raise Http404("WSGI, and so `manage.py runserver`, reads a stream to its end")
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}  # nginx would hold it back
    return StreamingHttpResponse(events(request), content_type="text/event-stream", headers=headers)


async def events(request: Request[HomeState]) -> AsyncIterator[str]:
    """Ends when the server is told to stop, and after a minute or two: to ask again takes the right to see it."""
    asked = asyncio.create_task(ask_services())
    for _ in range(60):
        await asyncio.wait({asked}, timeout=1.0)
        services = asked.result() if asked.done() else facts.NO_ANSWER
        yield f"retry: 300\ndata: {json.dumps(facts.of_server(request) | services)}\n\n"
        if await stopping.wait(1.0):
            return
        if asked.done():
            asked = asyncio.create_task(ask_services())


async def ask_services() -> dict[str, str]:
    """A thread, and its connection to the database, for no longer than it takes."""
    async with one_thread():
        return await sync_to_async(facts.of_services)()


async def uptime(request: Request[HomeState]) -> JsonResponse:
    """Seconds since the worker that answers has started; null where no lifespan ran."""
    started = facts.started_at(request)
    seconds = (datetime.now(UTC) - started).total_seconds() if started else None
    return JsonResponse({"uptime_seconds": seconds})
