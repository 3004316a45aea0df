"""A view that says one thing at every level, as Django and as an app."""

import logging

from django.http import HttpResponse
from django.urls import path
from serving.http.request import Request


def talk(request: Request[object]) -> HttpResponse:
    for name in ("django.request", "home"):
        for level in (10, 20, 30, 40, 50):
            logging.getLogger(name).log(level, "said at %s", level)
    return HttpResponse(dir(request.state))


urlpatterns = [
    path("talk", talk),
]
