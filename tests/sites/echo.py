"""Says where a request came from, as Django sees it, and takes a POST."""

from django.http import HttpRequest, JsonResponse
from django.urls import path
from django.views.decorators.csrf import csrf_exempt


@csrf_exempt
def echo(request: HttpRequest) -> JsonResponse:
    return JsonResponse(
        {
            "secure": request.is_secure(),
            "client": request.META["REMOTE_ADDR"],
            "body": request.body.decode(),
            "version": 1,
        }
    )


urlpatterns = [
    path("echo", echo),
]
