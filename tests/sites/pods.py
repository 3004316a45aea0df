"""What a pod is asked for: an answer at once, with or without a body, and one that takes its time."""

import time

from django.http import HttpRequest, HttpResponse
from django.urls import path
from django.views.decorators.csrf import csrf_exempt


@csrf_exempt
def echo(request: HttpRequest) -> HttpResponse:
    return HttpResponse(request.body)


def wait(request: HttpRequest) -> HttpResponse:
    time.sleep(0.3)
    return HttpResponse("done")


urlpatterns = [
    path("echo", echo),
    path("wait", wait),
]
