"""Ways to log in that are no form: sync, async, and as an API of Django REST framework's does it."""

from asgiref.sync import sync_to_async
from django.contrib.auth import aauthenticate, authenticate, login
from django.db.transaction import get_connection, set_rollback
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import path
from django.views.decorators.csrf import csrf_exempt


def said(request: HttpRequest) -> dict[str, str]:
    """The name and the password that a request brings."""
    return {key: request.GET[key] for key in ("username", "password")}


@csrf_exempt
def enter(request: HttpRequest) -> HttpResponse:
    user = authenticate(request, **said(request))
    if user is None:
        return HttpResponse("no", status=401)
    login(request, user)
    return HttpResponse("yes")


@csrf_exempt
def enter_rolled_back(request: HttpRequest) -> HttpResponse:
    """As Django REST framework answers where ATOMIC_REQUESTS is set: a 401 rolls back."""
    answer = enter(request)
    if answer.status_code == 401 and get_connection().in_atomic_block:
        set_rollback(True)
    return answer


@csrf_exempt
async def enter_async(request: HttpRequest) -> HttpResponse:
    user = await aauthenticate(request, **said(request))
    return HttpResponse("no" if user is None else "yes", status=401 if user is None else 200)


@csrf_exempt
async def enter_elsewhere(request: HttpRequest) -> HttpResponse:
    """Its answer is JSON, whatever happens."""
    from serving_tools.login_limits.limits import LoginRefusedError

    try:
        user = await sync_to_async(authenticate)(request, **said(request))
    except LoginRefusedError as error:
        return JsonResponse({"error": error.messages[0]}, status=400)
    return JsonResponse({"user": user and user.get_username()})


urlpatterns = [
    path("enter/", enter),
    path("enter-async/", enter_async),
    path("enter-rolled-back/", enter_rolled_back),
    path("enter-elsewhere/", enter_elsewhere),
]
