"""Asks for people, and runs a query that takes long."""

from accounts.models import User
from django.db import connection
from django.http import HttpRequest, HttpResponse
from django.urls import path


def people(request: HttpRequest) -> HttpResponse:
    return HttpResponse(User.objects.count())


async def people_async(request: HttpRequest) -> HttpResponse:
    return HttpResponse(await User.objects.acount())


def slow(request: HttpRequest) -> HttpResponse:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_sleep(30)")
    return HttpResponse()


urlpatterns = [
    path("people", people),
    path("people-async", people_async),
    path("slow", slow),
]
