"""A sync view that says what the lifespans opened."""

from django.http import HttpResponse
from django.urls import path
from serving.http.request import Request


def opened(request: Request[object]) -> HttpResponse:
    return HttpResponse(" ".join(dir(request.state)))


urlpatterns = [
    path("opened/", opened),
]
