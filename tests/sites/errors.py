"""A page for each error that has one, from sync views and from async ones."""

from django.core.exceptions import BadRequest, PermissionDenied
from django.db import OperationalError
from django.http import HttpRequest, HttpResponse
from django.middleware.csrf import get_token
from django.urls import path

ERRORS = {"400": BadRequest("no"), "403": PermissionDenied("no"), "500": OperationalError("gone")}


def fails(request: HttpRequest, status: str) -> HttpResponse:
    raise ERRORS[status]


async def fails_async(request: HttpRequest, status: str) -> HttpResponse:
    raise ERRORS[status]


def form(request: HttpRequest) -> HttpResponse:
    """A form that was opened before the token changed."""
    get_token(request)
    return HttpResponse(
        '<!doctype html><html lang="en"><title>A form</title><link rel="icon" href="/static/icon.svg">'
        '<form method="post"><input type="hidden" name="csrfmiddlewaretoken" value="old">'
        "<button>Send</button></form></html>"
    )


urlpatterns = [
    path("fails/<status>/", fails),
    path("fails-async/<status>/", fails_async),
    path("form/", form),
]
