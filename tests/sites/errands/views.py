"""Pages that enqueue a task by its name, with the arguments of the query."""

from django.db import transaction
from django.http import HttpRequest, HttpResponse
from errands import tasks


def enqueue(request: HttpRequest, name: str) -> HttpResponse:
    result = getattr(tasks, name).enqueue(**request.GET.dict())
    return HttpResponse(result.id)


async def enqueue_async(request: HttpRequest, name: str) -> HttpResponse:
    result = await getattr(tasks, name).aenqueue(**request.GET.dict())
    return HttpResponse(result.id)


def roll_back(request: HttpRequest, name: str) -> HttpResponse:
    with transaction.atomic():
        getattr(tasks, name).enqueue(**request.GET.dict())
        transaction.set_rollback(True)
    return HttpResponse("nothing")
