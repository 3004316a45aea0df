"""Sessions that count, logging in and out."""

from django.contrib.auth import authenticate, login, logout
from django.http import HttpRequest, HttpResponse
from django.urls import path


def count(request: HttpRequest) -> HttpResponse:
    request.session["count"] = request.session.get("count", 0) + 1
    return HttpResponse(f"{request.session['count']} {request.META['SERVER_PORT']}")


async def count_async(request: HttpRequest) -> HttpResponse:
    number = await request.session.aget("count", 0) + 1
    await request.session.aset("count", number)
    return HttpResponse(f"{number}")


def log_in(request: HttpRequest) -> HttpResponse:
    user = authenticate(username="ada", password="open sesame")
    assert user
    login(request, user)
    return HttpResponse()


def log_out(request: HttpRequest) -> HttpResponse:
    logout(request)
    return HttpResponse()


def who(request: HttpRequest) -> HttpResponse:
    return HttpResponse(str(request.user))


urlpatterns = [
    path("count", count),
    path("count-async", count_async),
    path("in", log_in),
    path("out", log_out),
    path("who", who),
]
