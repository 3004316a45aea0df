"""Queries that take half a second, from a sync and an async view."""

from asgiref.sync import sync_to_async
from django.db import connection
from django.http import HttpRequest, HttpResponse
from django.urls import path


def wait() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_sleep(0.5)")


def slow(request: HttpRequest) -> HttpResponse:
    wait()
    return HttpResponse()


async def slow_async(request: HttpRequest) -> HttpResponse:
    await sync_to_async(wait)()
    return HttpResponse()


urlpatterns = [path("slow", slow), path("slow-async", slow_async)]
