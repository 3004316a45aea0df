"""A counter that is read, and written a moment later: an update is lost where two do so at once."""

import threading
import time

from asgiref.sync import sync_to_async
from django.contrib.auth.models import Group
from django.db import connection, transaction
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import path

places: set[int] = set()


def add() -> None:
    with transaction.atomic():
        counter = Group.objects.select_for_update().get(pk=1)
        time.sleep(0.005)
        counter.name = str(int(counter.name) + 1)
        counter.save()


def count(request: HttpRequest) -> HttpResponse:
    add()
    places.add(threading.get_ident())
    return HttpResponse()


async def count_async(request: HttpRequest) -> HttpResponse:
    await sync_to_async(add)()
    return HttpResponse()


def place() -> tuple[int, int]:
    connection.ensure_connection()
    places.add(threading.get_ident())
    return threading.get_ident(), id(connection.connection)


async def own_place(request: HttpRequest) -> HttpResponse:
    found = {await sync_to_async(place)()}
    async for _ in Group.objects.all():
        found.add(await sync_to_async(place)())
    await Group.objects.aget(pk=1)
    found.add(await sync_to_async(place)())
    return HttpResponse(len(found))


async def make(request: HttpRequest) -> HttpResponse:
    await Group.objects.acreate(name=request.GET["name"])
    return HttpResponse(await Group.objects.filter(name=request.GET["name"]).acount())


async def fail(request: HttpRequest) -> HttpResponse:
    return HttpResponse(await Group.objects.aget(pk=-1))


async def total(request: HttpRequest) -> HttpResponse:
    counter = await Group.objects.aget(pk=1)
    return JsonResponse({"counter": int(counter.name), "threads": len(places)})


urlpatterns = [
    path("count", count),
    path("count-async", count_async),
    path("own-place", own_place),
    path("make", make),
    path("fail", fail),
    path("total", total),
]
