"""Views to be measured."""

import asyncio
import time
from collections.abc import AsyncIterator

from bench.models import Note, Row
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import render
from django.urls import path
from django.views.decorators.csrf import csrf_exempt


def sync(request: HttpRequest) -> HttpResponse:
    return HttpResponse("Hello, world!")


async def asynchronous(request: HttpRequest) -> HttpResponse:
    return HttpResponse("Hello, world!")


def template(request: HttpRequest) -> HttpResponse:
    rows = [{"id": number, "name": f"row {number}"} for number in range(50)]
    return render(request, "bench/rows.html", {"rows": rows})


def row(request: HttpRequest) -> HttpResponse:
    return HttpResponse(Row.objects.get(pk=7).name)


def rows(request: HttpRequest) -> HttpResponse:
    return HttpResponse(repr(list(Row.objects.order_by("pk").values_list("pk", "name")[:10])))


@csrf_exempt
def write(request: HttpRequest) -> HttpResponse:
    return HttpResponse(f"note {Note.objects.create(text='written').pk}")


@login_required
def account(request: HttpRequest) -> HttpResponse:
    return render(request, "bench/account.html")


@csrf_exempt
def upload(request: HttpRequest) -> HttpResponse:
    return HttpResponse(f"{request.FILES['file'].size} bytes")


def wait(request: HttpRequest) -> HttpResponse:
    time.sleep(0.01)
    return HttpResponse("waited")


def sleep(request: HttpRequest) -> HttpResponse:
    time.sleep(1)
    return HttpResponse("slept")


async def asleep(request: HttpRequest) -> HttpResponse:
    await asyncio.sleep(1)
    return HttpResponse("slept")


async def events(request: HttpRequest) -> StreamingHttpResponse:
    """Twenty events, one each 50 ms: a second in all."""

    async def tell() -> AsyncIterator[str]:
        for number in range(20):
            await asyncio.sleep(0.05)
            yield f"data: {number}\n\n"

    return StreamingHttpResponse(tell(), content_type="text/event-stream")


urlpatterns = [
    path("sync/", sync),
    path("async/", asynchronous),
    path("template/", template),
    path("row/", row),
    path("rows/", rows),
    path("write/", write),
    path("account/", account),
    path("upload/", upload),
    path("wait/", wait),
    path("sleep/", sleep),
    path("asleep/", asleep),
    path("events/", events),
]
