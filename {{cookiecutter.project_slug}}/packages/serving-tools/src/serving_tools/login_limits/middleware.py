"""Gives the answer to a refused login its status, 429, and `Retry-After` (RFC 6585, section 4).

A form shows the refusal on its own page, which it answers with 200; what catches no ValidationError gets a
line of text. It runs on the event loop, and of any other request it asks one key.
"""

from collections.abc import Awaitable, Callable
from http import HTTPStatus
from inspect import iscoroutinefunction, markcoroutinefunction
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase

from serving_tools.login_limits.backends import REFUSED
from serving_tools.login_limits.limits import LoginRefusedError


class LoginLimitMiddleware:
    """https://docs.djangoproject.com/en/6.1/topics/http/middleware/#asynchronous-support"""

    sync_capable = async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        self.get_response = get_response
        self.is_async = iscoroutinefunction(get_response)
        if self.is_async:
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        if self.is_async:
            return self._acall(request)
        return with_status(request, self.get_response(request))

    async def _acall(self, request: HttpRequest) -> HttpResponseBase:
        return with_status(request, await self.get_response(request))

    def process_exception(
        self, request: HttpRequest, exception: Exception
    ) -> HttpResponseBase | None:
        """The answer of a view that lets the refusal pass."""
        if isinstance(exception, LoginRefusedError):
            return HttpResponse(exception.messages[0], content_type="text/plain; charset=utf-8")
        return None


def with_status(request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
    """The response, which says so where it tells of a login that was refused."""
    refused = request.META.get(REFUSED)
    # One that leads elsewhere is of a view that let the client in by another way.
    if refused is not None and not 300 <= response.status_code < 400:
        response.status_code = HTTPStatus.TOO_MANY_REQUESTS
        response.headers["Retry-After"] = str(refused)
    return response
