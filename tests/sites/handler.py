"""A site that uses what a handler owns, for tests/serving/http/test_handler.py: views, middleware, addresses."""

import asyncio
import contextvars
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from tempfile import TemporaryFile
from typing import Any, cast

from accounts.models import User
from asgiref.sync import async_to_sync, sync_to_async
from django.contrib import messages
from django.contrib.auth import authenticate, login, logout
from django.core.exceptions import PermissionDenied
from django.db import connection
from django.http import (
    FileResponse,
    Http404,
    HttpRequest,
    HttpResponse,
    HttpResponseBase,
    JsonResponse,
    StreamingHttpResponse,
)
from django.template import engines
from django.template.response import TemplateResponse
from django.urls import include, path
from django.utils import timezone, translation
from django.views import View
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import condition

TEMPLATE = engines["django"].from_string("{{ name }} {% if perms.x %}x{% endif %}")
outside = contextvars.ContextVar("outside", default="unset")
inside = contextvars.ContextVar("inside", default="unset")
MAIN: dict[str, asyncio.AbstractEventLoop] = {}


def hello(request: HttpRequest, name: str = "world") -> HttpResponse:
    return HttpResponse(f"hello {name}")


async def ahello(request: HttpRequest, name: str = "world") -> HttpResponse:
    return HttpResponse(f"hello {name}")


class Page(View):
    def get(self, request: HttpRequest) -> HttpResponse:
        return HttpResponse("get", headers={"X-Class": "sync"})

    def post(self, request: HttpRequest) -> JsonResponse:
        return JsonResponse({**request.POST.dict(), "method": request.method})


class APage(View):
    async def get(self, request: HttpRequest) -> HttpResponse:
        return HttpResponse("get", headers={"X-Class": "async"})

    async def post(self, request: HttpRequest) -> JsonResponse:
        return JsonResponse({**request.POST.dict(), "method": request.method})


def template(request: HttpRequest) -> TemplateResponse:
    return TemplateResponse(request, TEMPLATE, {"name": "<tea>"})


async def atemplate(request: HttpRequest) -> TemplateResponse:
    return TemplateResponse(request, TEMPLATE, {"name": "<tea>"})


def fails_to_render(request: HttpRequest) -> TemplateResponse:
    return TemplateResponse(request, "no/such.html")


def echo(request: HttpRequest) -> JsonResponse:
    return JsonResponse(
        {
            "method": request.method,
            "path": request.get_full_path(),
            "body": len(request.body),
            "headers": sorted(request.headers.items()),
        }
    )


async def aecho(request: HttpRequest) -> JsonResponse:
    return echo(request)


@csrf_exempt
def upload(request: HttpRequest) -> JsonResponse:
    files = {
        name: [file.name, file.size, type(file).__name__] for name, (file,) in request.FILES.lists()
    }
    return JsonResponse({"post": request.POST.dict(), "files": files})


@csrf_exempt
async def aupload(request: HttpRequest) -> JsonResponse:
    return upload(request)


@csrf_exempt
def lines(request: HttpRequest) -> JsonResponse:
    """Reads the body as the stream that it is."""
    return JsonResponse({"lines": [len(line) for line in request]})


def parts() -> Iterator[str]:
    yield from ("one ", "", "two ", "three")


async def aparts() -> AsyncIterator[str]:
    for part in ("one ", "two ", "three"):
        await asyncio.sleep(0)
        yield part


def stream(request: HttpRequest) -> StreamingHttpResponse:
    return StreamingHttpResponse(parts())


async def astream(request: HttpRequest) -> StreamingHttpResponse:
    return StreamingHttpResponse(aparts())


def stream_of_async(request: HttpRequest) -> StreamingHttpResponse:
    return StreamingHttpResponse(aparts())


async def astream_of_sync(request: HttpRequest) -> StreamingHttpResponse:
    return StreamingHttpResponse(parts())


def file(request: HttpRequest) -> FileResponse:
    opened = TemporaryFile()  # noqa: SIM115
    opened.write(b"0123456789" * 20_000)
    opened.seek(0)
    return FileResponse(opened, as_attachment=True, filename="tea.txt")


@condition(etag_func=lambda request: '"tea"')
def conditional(request: HttpRequest) -> HttpResponse:
    return HttpResponse("fresh")


def boom(request: HttpRequest) -> HttpResponse:
    raise ValueError("no tea")


async def aboom(request: HttpRequest) -> HttpResponse:
    raise ValueError("no tea")


def denied(request: HttpRequest) -> HttpResponse:
    raise PermissionDenied


async def amissing(request: HttpRequest) -> HttpResponse:
    raise Http404("no such tea")


def nothing(request: HttpRequest) -> None:
    return None


async def anothing(request: HttpRequest) -> None:
    return None


def counts(request: HttpRequest) -> HttpResponse:
    request.session["count"] = request.session.get("count", 0) + 1
    return HttpResponse(str(request.session["count"]))


async def acounts(request: HttpRequest) -> HttpResponse:
    count = await request.session.aget("count", 0) + 1
    await request.session.aset("count", count)
    return HttpResponse(str(count))


def reads_session(request: HttpRequest) -> HttpResponse:
    return HttpResponse(str(request.session.get("count", 0)))


async def areads_session(request: HttpRequest) -> HttpResponse:
    return HttpResponse(str(await request.session.aget("count", 0)))


def flushes_session(request: HttpRequest) -> HttpResponse:
    request.session.flush()
    return HttpResponse("flushed")


async def aflushes_session(request: HttpRequest) -> HttpResponse:
    await request.session.aflush()
    return HttpResponse("flushed")


def says(request: HttpRequest) -> HttpResponse:
    messages.info(request, "tea is ready")
    return HttpResponse("said")


async def asays(request: HttpRequest) -> HttpResponse:
    messages.info(request, "tea is ready")
    return HttpResponse("said")


def shows(request: HttpRequest) -> HttpResponse:
    return HttpResponse(",".join(str(message) for message in messages.get_messages(request)))


def signs_in(request: HttpRequest) -> HttpResponse:
    user = authenticate(request, username="ada", password="open sesame")
    assert user is not None
    login(request, user)
    return HttpResponse(request.user.get_username())


def signs_out(request: HttpRequest) -> HttpResponse:
    logout(request)
    return HttpResponse(str(request.user))


def who(request: HttpRequest) -> HttpResponse:
    return HttpResponse(str(request.user))


async def awho(request: HttpRequest) -> HttpResponse:
    return HttpResponse(str(await request.auser()))


def rows(request: HttpRequest) -> HttpResponse:
    return HttpResponse(str(User.objects.count()))


async def arows(request: HttpRequest) -> HttpResponse:
    return HttpResponse(str(await User.objects.acount()))


def creates_and_fails(request: HttpRequest) -> HttpResponse:
    User.objects.create_user("half")
    raise ValueError("half-way")


def in_a_transaction(request: HttpRequest) -> HttpResponse:
    return HttpResponse(str(connection.in_atomic_block))


async def ain_a_transaction(request: HttpRequest) -> HttpResponse:
    return HttpResponse("never, with ATOMIC_REQUESTS")


def speaks(request: HttpRequest) -> HttpResponse:
    """Activates a language and a time zone, and leaves them so."""
    before = f"{translation.get_language()} {timezone.get_current_timezone_name()}"
    translation.activate("de")
    timezone.activate("Europe/Berlin")
    return HttpResponse(before)


async def aspeaks(request: HttpRequest) -> HttpResponse:
    return speaks(request)


def variables(request: HttpRequest) -> HttpResponse:
    inside.set("from the view")
    return HttpResponse(outside.get())


async def avariables(request: HttpRequest) -> HttpResponse:
    return variables(request)


def reaches_the_loop(request: HttpRequest) -> HttpResponse:
    async def which() -> bool:
        return asyncio.get_running_loop() is MAIN["loop"]

    return HttpResponse(str(async_to_sync(which)()))


async def one_thread(request: HttpRequest) -> HttpResponse:
    first = await sync_to_async(threading.get_ident)()
    second = await sync_to_async(threading.get_ident)()
    return HttpResponse(str(first == second != threading.get_ident()))


def where(request: HttpRequest) -> HttpResponse:
    match = request.resolver_match
    assert match
    return HttpResponse(match.view_name or match.route)


# Middleware, of every make


def function(get_response: Callable[..., Any]) -> Callable[..., Any]:
    def middleware(request: HttpRequest) -> HttpResponseBase:
        response: HttpResponseBase = get_response(request)
        response["X-Function"] = str(request.method)
        return response

    return middleware


def async_function(get_response: Callable[..., Any]) -> Callable[..., Any]:
    async def middleware(request: HttpRequest) -> HttpResponseBase:
        response: HttpResponseBase = await get_response(request)
        response["X-Async-Function"] = str(request.method)
        return response

    return middleware


async_function.sync_capable = False  # type: ignore[attr-defined]
async_function.async_capable = True  # type: ignore[attr-defined]


class Sync:
    def __init__(self, get_response: Callable[..., Any]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        response: HttpResponseBase = self.get_response(request)
        response["X-Sync"] = str(User.objects.count())  # as only a thread may
        return response

    def process_view(
        self, request: HttpRequest, view: object, args: object, kwargs: object
    ) -> None:
        request.seen = getattr(view, "__name__", "?")  # type: ignore[attr-defined]

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        if "middleware, help" in request.GET:
            return HttpResponse(f"helped with {error}", status=418)
        return None

    def process_template_response(self, request: HttpRequest, response: Any) -> Any:
        response.context_data["name"] += "!"
        return response


class Breaks(Sync):
    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if "before" in request.GET:
            raise ValueError("before the view")
        response: HttpResponseBase = self.get_response(request)
        if "after" in request.GET:
            raise ValueError("after the view")
        return response


class OtherUrls(Sync):
    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if "other" in request.GET:
            request.urlconf = "tests.sites.handler_other"
        response: HttpResponseBase = self.get_response(request)
        return response


urlpatterns = [
    path("hello/", hello, name="hello"),
    path("ahello/", ahello, name="ahello"),
    path("hello/<slug:name>/", hello),
    path("ahello/<slug:name>/", ahello),
    path("page/", Page.as_view()),
    path("apage/", APage.as_view()),
    *(path(f"{view.__name__}/", cast(Any, view)) for view in (
        template, atemplate, fails_to_render, echo, aecho, upload, aupload, lines, stream, astream,
        stream_of_async, astream_of_sync, file, conditional, boom, aboom, denied, amissing, nothing,
        anothing, counts, acounts, reads_session, areads_session, flushes_session, aflushes_session,
        says, asays, shows, signs_in, signs_out, who, awho, rows, arows, creates_and_fails,
        in_a_transaction, ain_a_transaction, speaks, aspeaks, variables, avariables, reaches_the_loop,
        one_thread, where,
    )),
    path("", include("config.urls")),
]  # fmt: skip
