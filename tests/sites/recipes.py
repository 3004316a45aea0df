"""Shows what the lifespans of docs/lifespan-recipes.md have opened."""

from typing import Any

from django.http import JsonResponse
from django.urls import path
from serving.http.request import Request


async def weather(request: Request[Any]) -> JsonResponse:
    answer = await request.state.weather.get("/today")
    return JsonResponse(answer.json())


async def ranking(request: Request[Any]) -> JsonResponse:
    return JsonResponse({"seen": await request.state.ranking.incr("oolong")})


def labels(request: Request[Any]) -> JsonResponse:
    return JsonResponse(request.state.model)


def rates(request: Request[Any]) -> JsonResponse:
    return JsonResponse(request.state.rates)


urlpatterns = [
    path("weather/", weather),
    path("ranking/", ranking),
    path("labels/", labels),
    path("rates/", rates),
]
