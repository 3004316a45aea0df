"""Views to be measured."""

import asyncio
import time

from django.contrib.auth.models import Group
from django.db.backends.signals import connection_created
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import path

opened = 0


def count(**_: object) -> None:
    global opened
    opened += 1


connection_created.connect(count)


def sync(request: HttpRequest) -> HttpResponse:
    return HttpResponse("Hello, world!")


async def asynchronous(request: HttpRequest) -> HttpResponse:
    return HttpResponse("Hello, world!")


def one(request: HttpRequest) -> HttpResponse:
    return HttpResponse(Group.objects.get(name="group 7").name)


def rows(request: HttpRequest) -> HttpResponse:
    return HttpResponse(repr(list(Group.objects.order_by("pk").values_list("pk", "name")[:10])))


def page(request: HttpRequest) -> HttpResponse:
    rows = [{"id": number, "name": f"row {number}"} for number in range(50)]
    return render(request, "bench/rows.html", {"rows": rows})


def wait(request: HttpRequest) -> HttpResponse:
    time.sleep(0.01)
    return HttpResponse("waited")


def sleep(request: HttpRequest) -> HttpResponse:
    time.sleep(1)
    return HttpResponse("slept")


async def asleep(request: HttpRequest) -> HttpResponse:
    await asyncio.sleep(1)
    return HttpResponse("slept")


def connections(request: HttpRequest) -> HttpResponse:
    return HttpResponse(str(opened))


urlpatterns = [
    path("sync/", sync),
    path("async/", asynchronous),
    path("one/", one),
    path("rows/", rows),
    path("page/", page),
    path("wait/", wait),
    path("sleep/", sleep),
    path("asleep/", asleep),
    path("opened/", connections),
]
