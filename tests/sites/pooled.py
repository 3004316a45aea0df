"""Queries that a pooler may break: server-side cursors, transactions, parameters."""

from django.contrib.auth.models import Group
from django.db import connection, transaction
from django.http import HttpRequest, HttpResponse
from django.urls import path


def iterate(request: HttpRequest) -> HttpResponse:
    names = [group.name for group in Group.objects.order_by("id").iterator(chunk_size=2)]
    return HttpResponse(len(names))


async def iterate_async(request: HttpRequest) -> HttpResponse:
    names = [group.name async for group in Group.objects.order_by("id").aiterator(chunk_size=2)]
    return HttpResponse(len(names))


def add(request: HttpRequest) -> HttpResponse:
    with transaction.atomic():
        counter = Group.objects.select_for_update().get(name__startswith="count")
        counter.name = f"count{int(counter.name[5:]) + 1:06}"
        counter.save()
    return HttpResponse(counter.name)


def slow(request: HttpRequest) -> HttpResponse:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_sleep(0.1), %s::text", ["tea"])
    return HttpResponse()


urlpatterns = [
    path("iterate", iterate),
    path("iterate-async", iterate_async),
    path("add", add),
    path("slow", slow),
]
