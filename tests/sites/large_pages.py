"""A page of 5 MB from a view that takes long."""

import time

from django.http import HttpRequest, HttpResponse
from django.urls import path


def big(request: HttpRequest) -> HttpResponse:
    time.sleep(0.05)
    return HttpResponse(b"x" * 5_000_000)


urlpatterns = [path("", big)]
