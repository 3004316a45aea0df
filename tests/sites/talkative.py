"""A view that says one thing at every level, as Django and as an app."""

import logging

from django.http import HttpRequest, HttpResponse
from django.urls import path


def talk(request: HttpRequest) -> HttpResponse:
    for name in ("django.request", "home"):
        for level in (10, 20, 30, 40, 50):
            logging.getLogger(name).log(level, "said at %s", level)
    return HttpResponse(dir(request.state))


urlpatterns = [
    path("talk", talk),
]
