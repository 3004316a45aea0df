"""Says what Django knows of a request."""

from django.http import HttpRequest, JsonResponse
from django.urls import path, reverse
from django.views.decorators.csrf import ensure_csrf_cookie


@ensure_csrf_cookie
def seen(request: HttpRequest) -> JsonResponse:
    request.session["tea"] = "green"
    return JsonResponse(
        {
            "secure": request.is_secure(),
            "client": request.META["REMOTE_ADDR"],
            "path": request.path,
            "url": request.build_absolute_uri(),
            "link": reverse("home:seen"),
        }
    )


async def async_seen(request: HttpRequest) -> JsonResponse:
    return JsonResponse(
        {"client": request.META["REMOTE_ADDR"], "url": request.build_absolute_uri()}
    )


urlpatterns = [
    path("seen/", seen, name="seen"),
    path("async-seen/", async_seen),
]
