"""Answers that Django never sees, with the headers that a page gets from Django's middleware.

Static files, probes and refusals are answered in front of Django. Those of Django's own classes that are in
MIDDLEWARE say which headers they get: HSTS over https alone, the content security policy, and so on.
"""

from collections.abc import Awaitable
from functools import cache
from io import BytesIO

from django.conf import settings
from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest, HttpResponse
from django.middleware.clickjacking import XFrameOptionsMiddleware
from django.middleware.csp import ContentSecurityPolicyMiddleware
from django.middleware.security import SecurityMiddleware
from django.utils.module_loading import import_string

from serving.types import Message, Scope, Send

type Headers = tuple[tuple[bytes, bytes], ...]
type Layer = SecurityMiddleware | ContentSecurityPolicyMiddleware | XFrameOptionsMiddleware


def security_headers(scope: Scope) -> Headers:
    """The headers for an answer to this request; names are in lower case."""
    return headers_of_pages(is_secure(scope))


async def answer(
    scope: Scope,
    send: Send,
    status: int,
    content: bytes,
    *more_headers: tuple[bytes, bytes],
    kind: bytes = b"text/plain; charset=utf-8",
) -> None:
    """Answers a request, one for HEAD without the content. `kind`: its type; names are in lower case."""
    headers = [
        (b"content-type", kind),
        (b"content-length", str(len(content)).encode()),
        (b"cache-control", b"no-store"),
        *more_headers,
        *security_headers(scope),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    body = b"" if scope["method"] == "HEAD" else content
    await send({"type": "http.response.body", "body": body, "more_body": False})


def with_security_headers(scope: Scope, send: Send) -> Send:
    """A `send` that adds those that a response does not have."""

    def send_secured(message: Message) -> Awaitable[None]:
        if message["type"] == "http.response.start":
            headers = list(message.get("headers", ()))
            given = {name.lower() for name, _ in headers}
            headers += [header for header in security_headers(scope) if header[0] not in given]
            message = {**message, "headers": headers}
        return send(message)

    return send_secured


def redirects_to_https(scope: Scope) -> bool:
    """Whether Django would redirect this request, as SECURE_SSL_REDIRECT has it."""
    path = scope["path"].lstrip("/")
    for layer in layers():
        if isinstance(layer, SecurityMiddleware) and layer.redirect:
            exempt = any(pattern.search(path) for pattern in layer.redirect_exempt)
            return not exempt and not is_secure(scope)
    return False


def is_secure(scope: Scope) -> bool:
    """Whether a request came over https, as Django sees it."""
    if settings.SECURE_PROXY_SSL_HEADER:
        return as_request(scope).is_secure()
    return bool(scope.get("scheme") == "https")


def as_request(scope: Scope) -> HttpRequest:
    """A request that knows its scheme. Without query and type, which a client can make unreadable."""
    headers = [item for item in scope["headers"] if item[0] != b"content-type"]
    plain = {"method": "GET", "path": "/", "headers": headers, "scheme": scope.get("scheme")}
    return ASGIRequest(plain, BytesIO())


@cache
def headers_of_pages(secure: bool) -> Headers:
    """The headers of a page over https, or over http."""
    request = as_request({"headers": [], "scheme": "https" if secure else "http"})
    response = HttpResponse()
    del response["Content-Type"]
    for layer in layers():
        layer.process_response(request, response)
    return tuple(
        (name.lower().encode("ascii"), value.encode("latin-1")) for name, value in response.items()
    )


@cache
def layers() -> list[Layer]:
    """Those of the three classes that are in MIDDLEWARE, by themselves or as a base of another."""
    used = [import_string(path) for path in settings.MIDDLEWARE]
    return [
        known(lambda request: HttpResponse())
        for known in (SecurityMiddleware, ContentSecurityPolicyMiddleware, XFrameOptionsMiddleware)
        if any(isinstance(one, type) and issubclass(one, known) for one in used)
    ]
