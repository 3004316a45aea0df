"""Takes uploads and keeps them, as a view of an owner does; says under which name, and what there is."""

from django.core.files.storage import default_storage
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import path
from django.views.decorators.csrf import csrf_exempt


@csrf_exempt
def keep(request: HttpRequest) -> HttpResponse:
    ((_, (file,)),) = request.FILES.lists()
    name = default_storage.save(f"pictures/{file.name}", file)
    return JsonResponse({"name": name, "url": default_storage.url(name)})


@csrf_exempt
async def akeep(request: HttpRequest) -> HttpResponse:
    return keep(request)


@csrf_exempt
def remove(request: HttpRequest, name: str) -> HttpResponse:
    default_storage.delete(name)
    return HttpResponse()


def fields(request: HttpRequest) -> HttpResponse:
    return HttpResponse(len(request.POST))


@csrf_exempt
async def afields(request: HttpRequest) -> HttpResponse:
    return fields(request)


urlpatterns = [
    path("keep/", keep),
    path("akeep/", akeep),
    path("remove/<path:name>", remove),
    path("fields/", csrf_exempt(fields)),
    path("checked/", fields),  # by the middleware, which reads the form before the view
    path("afields/", afields),
]
