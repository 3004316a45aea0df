"""Which of Django's middleware can run on the event loop, since all it does there is to compute.

The classes below are known to do no I/O, or only in a case that can be told beforehand; then, and for
every class that is not exactly one of these, the work goes to a thread as Django has it.
"""

import sys
from collections.abc import Awaitable, Callable
from functools import wraps
from inspect import iscoroutinefunction, unwrap
from typing import Any

from asgiref.sync import sync_to_async
from django.conf import settings
from django.core.cache import close_caches
from django.core.handlers.asgi import ASGIRequest
from django.core.handlers.base import reset_urlconf
from django.db import close_old_connections, reset_queries
from django.dispatch import Signal
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.middleware.csrf import CsrfViewMiddleware

from serving.http.originals import as_written

# Django sends both halves of every middleware through a thread, which makes a small async view five times
# as slow; open in 6.1.3: https://code.djangoproject.com/ticket/37177

SAFE_METHODS = ("GET", "HEAD", "OPTIONS", "TRACE")  # RFC 9110, section 9.2.1, as Django has it


def saves_session(request: HttpRequest) -> bool:
    """Whether the session goes to its store."""
    session = getattr(request, "session", None)
    return session is not None and (session.modified or settings.SESSION_SAVE_EVERY_REQUEST)


def stores_messages(request: HttpRequest) -> bool:
    """Whether messages were added or shown, and so are written to a cookie or the session."""
    storage = getattr(request, "_messages", None)
    return storage is not None and (storage.used or storage.added_new)


# The first half of each computes; this says whether the second does I/O, where it ever does. By name, since
# to import the class of an app that is not installed is an error.
DOES_IO: dict[str, Callable[[HttpRequest], bool] | None] = {
    "django.middleware.security.SecurityMiddleware": None,
    "django.middleware.csp.ContentSecurityPolicyMiddleware": None,
    "django.middleware.common.CommonMiddleware": None,
    "django.middleware.csrf.CsrfViewMiddleware": None,
    "django.middleware.clickjacking.XFrameOptionsMiddleware": None,
    "django.contrib.auth.middleware.AuthenticationMiddleware": None,
    "django.contrib.sessions.middleware.SessionMiddleware": saves_session,
    "django.contrib.messages.middleware.MessageMiddleware": stores_messages,
}

HOOKS = ("__call__", "__acall__", "process_request", "process_response")


def name_of(middleware: object) -> str:
    """The dotted name of an object's class."""
    return f"{type(middleware).__module__}.{type(middleware).__qualname__}"


def computes(middleware: object) -> bool:
    """Whether a middleware is listed in DOES_IO, as Django wrote it, and its store is Django's own.

    A library's wrapper may bear the class's name, or have changed its methods.
    """
    name, kind = name_of(middleware), type(middleware)
    return (
        name in DOES_IO
        and getattr(sys.modules[kind.__module__], kind.__qualname__, None) is kind
        and all(as_written(getattr(kind, hook), "django") for hook in HOOKS if hasattr(kind, hook))
        and has_djangos_store(kind.__qualname__)
    )


def has_djangos_store(name: str) -> bool:
    """Whether the first half of a middleware does no I/O with the settings that it reads."""
    if name == "CsrfViewMiddleware":
        return not settings.CSRF_USE_SESSIONS
    if name == "SessionMiddleware":
        return bool(settings.SESSION_ENGINE.startswith("django.contrib."))
    if name == "MessageMiddleware":
        return bool(settings.MESSAGE_STORAGE.startswith("django.contrib."))
    return True


def inline(method: Any) -> Any:
    """What to run on the event loop in a middleware's place, or None.

    `method`: a middleware as Django wraps it, or a middleware's `process_view`, bound to it.
    """
    # Around one that is sync, Django runs all of them sync, in one thread.
    if iscoroutinefunction(method):
        outer = unwrap(method)
        # Sentry's wrapper has the middleware as an attribute.
        for middleware in filter(computes, (outer, *getattr(outer, "__dict__", {}).values())):
            # In the object itself, so that whatever a library has put around it stays.
            middleware.__acall__ = halves(middleware)
            return method
    middleware = getattr(method, "__self__", None)
    if type(middleware) is CsrfViewMiddleware and method == middleware.process_view:
        return csrf_view(middleware) if as_written(method.__func__, "django") else None
    return None


def halves(middleware: Any) -> Callable[[HttpRequest], Awaitable[HttpResponseBase]]:
    """The middleware as Django's `MiddlewareMixin.__acall__` runs it, less the changes of thread."""
    before = getattr(middleware, "process_request", lambda request: None)
    after = getattr(middleware, "process_response", lambda request, response: response)
    does_io = DOES_IO[name_of(middleware)]
    threaded = sync_to_async(after, thread_sensitive=True)

    @wraps(middleware.__acall__)
    async def call(request: HttpRequest) -> Any:
        response = before(request) or await middleware.get_response(request)
        if does_io and does_io(request):
            return await threaded(request, response)
        return after(request, response)

    return call


def csrf_view(middleware: CsrfViewMiddleware) -> Callable[..., Awaitable[Any]]:
    """`process_view`, in a thread only where it checks a token, which may mean to parse a body."""
    threaded = sync_to_async(middleware.process_view, thread_sensitive=True)

    @wraps(middleware.process_view)
    async def process_view(request: HttpRequest, view: Any, args: Any, kwargs: Any) -> Any:
        if request.method in SAFE_METHODS or getattr(view, "csrf_exempt", False):
            return middleware.process_view(request, view, args, kwargs)
        return await threaded(request, view, args, kwargs)

    return process_view


# What follows relies on attributes that Django does not document: tests/serving/http/test_request_path.py
# fails if they change.

TIDYING = frozenset({reset_queries, close_old_connections, close_caches, reset_urlconf})


def only_tidies(signal: Signal, sender: object) -> bool:
    """Whether nobody listens to a signal but Django, to tidy up the connections of a thread."""
    receivers, async_receivers = signal._live_receivers(sender)
    return not async_receivers and TIDYING.issuperset(receivers)


def closes_nothing(response: Any) -> bool:
    """Whether closing a response closes no more than its request's body, held in memory."""
    if type(response).close is not HttpResponseBase.close:
        return False
    for closer in response._resource_closers:
        if getattr(closer, "__func__", None) is not ASGIRequest.close:
            return False
        request = closer.__self__
        if hasattr(request, "_files") or getattr(request._stream, "on_disk", False):
            return False
    return True
