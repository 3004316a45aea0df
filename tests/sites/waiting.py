"""Views that wait, all of them, until one is asked to let them go."""

import multiprocessing
import threading

from django.http import HttpRequest, HttpResponse
from django.urls import path

opened = threading.Event()


def wait(request: HttpRequest) -> HttpResponse:
    opened.wait(30)
    return HttpResponse()


def method(request: HttpRequest) -> HttpResponse:
    return HttpResponse(multiprocessing.get_start_method())


async def open_all(request: HttpRequest) -> HttpResponse:
    opened.set()
    return HttpResponse()


urlpatterns = [
    path("wait/", wait),
    path("open/", open_all),
    path("method/", method),
]
