"""The first page, from a sync view, and the worker's uptime, from an async one."""

import os
from datetime import UTC, datetime

from django.conf import settings
from django.http import HttpResponse, JsonResponse
from django.shortcuts import render
from serving.http.request import Request

from home.lifespan import HomeState


def index(request: Request[HomeState]) -> HttpResponse:
    """A page that shows the running server."""
    return render(
        request,
        "home/index.html",
        {
            "project_name": settings.PROJECT_NAME,
            "lifespan": settings.LIFESPAN,
            "started_at": started_at(request),
            "worker": os.getpid(),
        },
    )


async def uptime(request: Request[HomeState]) -> JsonResponse:
    """Seconds since the worker that answers has started; null where no lifespan ran."""
    started = started_at(request)
    seconds = (datetime.now(UTC) - started).total_seconds() if started else None
    return JsonResponse({"worker": os.getpid(), "uptime_seconds": seconds})


def started_at(request: Request[HomeState]) -> datetime | None:
    """Where LIFESPAN is not "required", the state may be empty: so read it with a default."""
    return getattr(request.state, "started_at", None)
