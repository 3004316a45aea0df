"""Views that read one row."""

from django.contrib.auth.models import Group
from django.http import HttpRequest, HttpResponse
from django.urls import path


def sync_row(request: HttpRequest) -> HttpResponse:
    return HttpResponse(Group.objects.get(pk=1).name)


async def async_row(request: HttpRequest) -> HttpResponse:
    return HttpResponse((await Group.objects.aget(pk=1)).name)


urlpatterns = [path("sync", sync_row), path("async", async_row)]
