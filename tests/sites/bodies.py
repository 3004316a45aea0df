"""Takes bodies, by sync and async views, and says what has arrived."""

import hashlib

from django.http import HttpRequest, JsonResponse
from django.urls import path
from django.views.decorators.csrf import csrf_exempt


@csrf_exempt
def echo(request: HttpRequest) -> JsonResponse:
    read = hashlib.sha256()
    while part := request.read(65536):
        read.update(part)
    return JsonResponse(
        {"sha256": read.hexdigest(), "length": request.headers.get("Content-Length")}
    )


@csrf_exempt
async def aecho(request: HttpRequest) -> JsonResponse:
    return echo(request)


@csrf_exempt
def upload(request: HttpRequest) -> JsonResponse:
    files = {name: [file.size, type(file).__name__] for name, (file,) in request.FILES.lists()}
    return JsonResponse({"post": request.POST.dict(), "files": files})


@csrf_exempt
async def aupload(request: HttpRequest) -> JsonResponse:
    return upload(request)


urlpatterns = [
    path("echo/", echo),
    path("aecho/", aecho),
    path("upload/", upload),
    path("aupload/", aupload),
]
