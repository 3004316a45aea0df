"""Takes bodies, also while the disk is full, and says how much of each it has got."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import path
from django.views.decorators.csrf import csrf_exempt


def answer(request: HttpRequest) -> HttpResponse:
    sizes = [file.size for _, files in request.FILES.lists() for file in files]
    return JsonResponse({"post": len(request.POST), "sizes": sizes})


@csrf_exempt
def upload(request: HttpRequest) -> HttpResponse:
    return answer(request)


@csrf_exempt
async def aupload(request: HttpRequest) -> HttpResponse:
    return answer(request)


@csrf_exempt
def echo(request: HttpRequest) -> HttpResponse:
    return HttpResponse(sum(len(part) for part in iter(lambda: request.read(65536), b"")))


@contextmanager
def full_disk() -> Iterator[None]:
    with tempfile.TemporaryFile(buffering=0) as filler:
        with suppress(OSError):
            while True:
                filler.write(bytes(65536))
        yield


@csrf_exempt
def full(request: HttpRequest) -> HttpResponse:
    with full_disk():
        return answer(request)


@csrf_exempt
async def afull(request: HttpRequest) -> HttpResponse:
    with full_disk():
        return answer(request)


urlpatterns = [
    path("upload/", upload),
    path("aupload/", aupload),
    path("echo/", echo),
    path("full/", full),
    path("afull/", afull),
]
