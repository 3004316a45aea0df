"""A view that answers once the file `hangs` is gone, which it makes."""

import time
from pathlib import Path

from django.http import HttpRequest, HttpResponse
from django.urls import path


def hang(request: HttpRequest) -> HttpResponse:
    hangs = Path("hangs")
    hangs.touch()
    while hangs.exists():
        time.sleep(0.01)
    return HttpResponse("at last")


urlpatterns = [path("hang", hang)]
