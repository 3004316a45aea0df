"""Reads and writes one value of the cache."""

from django.core.cache import cache
from django.http import HttpRequest, HttpResponse
from django.urls import path


def get(request: HttpRequest) -> HttpResponse:
    return HttpResponse(cache.get("tea", "none"))


async def get_async(request: HttpRequest) -> HttpResponse:
    return HttpResponse(await cache.aget("tea", "none"))


def put(request: HttpRequest) -> HttpResponse:
    cache.set("tea", request.GET["tea"])
    return HttpResponse()


urlpatterns = [
    path("get", get),
    path("get-async", get_async),
    path("put", put),
]
