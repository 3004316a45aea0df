"""The request path: views of both kinds by the project's own handler, and what it relies on.

Some of that is not documented by Django or asgiref: a test here fails when a new version changes it.
Then `PlainHandler` serves in the meantime; README.md says how.
"""

import asyncio
import subprocess
import sys
import threading
from functools import wraps
from io import BytesIO
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
from asgiref.local import Local
from asgiref.sync import SyncToAsync, async_to_sync, markcoroutinefunction, sync_to_async
from django.conf.urls.i18n import i18n_patterns
from django.contrib import messages
from django.contrib.messages.storage.cookie import CookieStorage
from django.contrib.sessions.backends.signed_cookies import SessionStore as SignedCookies
from django.contrib.sessions.middleware import SessionMiddleware
from django.core.exceptions import ImproperlyConfigured
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.exception import convert_exception_to_response
from django.core.signals import request_finished, request_started
from django.http import HttpRequest, HttpResponse
from django.middleware.security import SecurityMiddleware
from django.test import override_settings
from django.urls import include, path, re_path
from django.utils.module_loading import import_string
from django.views.decorators.csrf import csrf_exempt
from serving.http.async_routes import leads_to_async_view
from serving.http.handler import DjangoHandler, path_info
from serving.http.inline_middleware import DOES_IO, closes_nothing, computes, inline, only_tidies
from serving.http.request import Request
from serving.http.thread_pool import pool
from serving.http.threads import Call, asgiref_is_patched, one_thread

from tests.serving.client import ASGIClient


def sync_view(request: HttpRequest, number: int = 0) -> HttpResponse:
    return HttpResponse(f"{threading.current_thread().name} {request.body.decode()}")


async def async_view(request: HttpRequest, number: int = 0) -> HttpResponse:
    if "save" in request.GET:
        request.session["tea"] = "oolong"
    if "say" in request.GET:
        messages.info(request, "tea")
    if "show" in request.GET:
        list(messages.get_messages(request))
    return HttpResponse(f"{threading.current_thread().name} {request.body.decode()}")


urlpatterns = [
    path("sync/", csrf_exempt(sync_view)),
    path("guarded/", async_view),
    path("below/", include([path("<int:number>/async/", csrf_exempt(async_view))])),
]


def ask(handler: Any, address: str) -> bytes:
    """Posts b"tea" to an address; gives the body of the answer."""
    answer = asyncio.run(ASGIClient(handler).ask(address, "POST", b"tea"))
    assert answer.status == 200, answer.sent
    return answer.body


@pytest.mark.django_db(transaction=True)
def test_a_sync_view_runs_in_a_thread_and_an_async_one_on_the_loop() -> None:
    with override_settings(ROOT_URLCONF=__name__, ALLOWED_HOSTS=["testserver"]):
        handler = DjangoHandler()
        assert ask(handler, "/sync/") == b"serving tea"
        assert ask(handler, "/below/1/async/") == b"MainThread tea"
    pool.close()


def test_the_handler_serves_a_project_without_our_apps_and_layers() -> None:
    program = [sys.executable, "-m", "tests.sites.handler_alone"]
    done = subprocess.run(program, capture_output=True, text=True, check=False)
    assert done.stdout.splitlines() == ["serving", "MainThread <State: empty> order-7"]
    assert (done.stderr, done.returncode) == ("", 0)


def test_no_constructor_and_no_import_changes_the_process() -> None:
    bound, size = vars(pool)["_bound"], pool.busy + pool.idle
    with override_settings(SERVING_THREADS=2, ROOT_URLCONF=__name__):
        DjangoHandler()
    assert (vars(pool)["_bound"], pool.busy + pool.idle) == (bound, size)


def test_a_wrong_number_of_threads_ends_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "_bound", None)
    with (
        override_settings(SERVING_THREADS=0),
        pytest.raises(ImproperlyConfigured, match="SERVING_THREADS"),
    ):
        DjangoHandler()


def test_the_urlconf_is_imported_before_a_request_waits_for_it() -> None:
    sys.modules.pop("tests.sites.handler_other", None)
    with override_settings(ROOT_URLCONF="tests.sites.handler_other"):
        DjangoHandler()
    assert "tests.sites.handler_other" in sys.modules


@pytest.mark.parametrize(
    ("prefix", "whole", "wanted"),
    [
        ("", "/tea/", "/tea/"),
        ("/app", "/app/tea/", "/tea/"),
        ("/app/", "/app/tea/", "/tea/"),
        ("/app", "/app", ""),
        ("/app", "/apple/", "/apple/"),
        ("/app", "/tea/app/", "/tea/app/"),
    ],
)
def test_the_path_is_that_below_the_prefix(prefix: str, whole: str, wanted: str) -> None:
    assert path_info({"path": whole, "root_path": prefix}) == wanted


def test_async_views_are_known_by_their_path() -> None:
    with override_settings(ROOT_URLCONF=__name__):
        assert leads_to_async_view("/below/12/async/")
        assert not leads_to_async_view("/below/twelve/async/")
        assert not leads_to_async_view("/sync/")
        assert not leads_to_async_view("/nowhere/")


@pytest.mark.parametrize(
    ("patterns", "found", "others"),
    [
        ([path("tea/", sync_view)], "", "/tea/ /"),
        ([path("", async_view)], "/", "/tea/"),
        ([re_path(r"^(?P<number>\d+)/(?P<leaf>\w+)/$", async_view),
          re_path(r"^tea/(?P<number>\d+)/$", async_view)], "/7/tea/ /tea/7/", "/tea/"),
        ([re_path("^", include([re_path("^tea/$", async_view)])), path("cup/", async_view)],
         "/tea/ /cup/", "/^tea/ /pot/"),
        # Right in Django, which tries each by itself; not all of them in one expression.
        ([re_path(r"(?i)tea/$", async_view), path("cup/", async_view)], "/cup/", "/tea/"),
        (i18n_patterns(path("tea/", async_view)), "/en/tea/ /pt-br/tea/", "/tea/ /fr/tea/ /en/"),
        (i18n_patterns(path("tea/", async_view), prefix_default_language=False),
         "/tea/ /pt-br/tea/", "/fr/tea/ /pt-br/"),
    ],
)  # fmt: skip
def test_async_views_are_known_in_every_kind_of_urlconf(
    patterns: Any, found: str, others: str
) -> None:
    languages = [("en", "English"), ("pt-br", "Portuguese")]
    with override_settings(ROOT_URLCONF=tuple(patterns), LANGUAGES=languages):
        assert all(map(leads_to_async_view, found.split()))
        assert not any(map(leads_to_async_view, others.split()))


def test_a_urlconf_that_is_broken_is_left_to_the_request() -> None:
    with override_settings(ROOT_URLCONF="tests.nowhere"):
        assert not leads_to_async_view("/tea/")


def test_djangos_own_middleware_computes_on_the_loop() -> None:
    made: list[str] = []

    class Handler(DjangoHandler):
        def adapt_method_mode(self, is_async: bool, method: Any, *args: Any, **kwargs: Any) -> Any:
            if is_async and inline(method):
                wrapped = getattr(method, "__wrapped__", None)
                made.append(type(wrapped).__name__ if wrapped else method.__name__)
            return super().adapt_method_mode(is_async, method, *args, **kwargs)

    with override_settings(MIDDLEWARE=list(DOES_IO)):
        Handler()

    classes = [name.rpartition(".")[2] for name in DOES_IO]
    assert sorted(made) == sorted([*classes, "process_view"])


class SessionStore(SignedCookies):
    """A session that is loaded when it is made, over a network say."""

    made_in: ClassVar[list[str]] = []

    def __init__(self, session_key: str | None = None) -> None:
        self.made_in.append(threading.current_thread().name)
        super().__init__(session_key)


class MessageStorage(CookieStorage):
    made_in: ClassVar[list[str]] = []

    def __init__(self, request: HttpRequest) -> None:
        self.made_in.append(threading.current_thread().name)
        super().__init__(request)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("setting", "store", "middleware"),
    [
        ("SESSION_ENGINE", SessionStore, "django.contrib.sessions.middleware.SessionMiddleware"),
        ("MESSAGE_STORAGE", MessageStorage, "django.contrib.messages.middleware.MessageMiddleware"),
    ],
)
def test_a_store_that_is_not_djangos_may_wait_for_something_and_is_kept_off_the_loop(
    setting: str, store: Any, middleware: str
) -> None:
    store.made_in.clear()
    value = __name__ if store is SessionStore else f"{__name__}.{store.__name__}"
    changed = {setting: value, "MIDDLEWARE": [middleware]}
    with override_settings(ROOT_URLCONF=__name__, ALLOWED_HOSTS=["testserver"], **changed):
        assert ask(DjangoHandler(), "/below/12/async/") == b"MainThread tea"
    assert store.made_in == ["serving"]


@pytest.mark.parametrize(
    ("changed", "name"),
    [
        ({"CSRF_USE_SESSIONS": True}, "django.middleware.csrf.CsrfViewMiddleware"),
        ({"SESSION_ENGINE": "shop.sessions"}, "django.contrib.sessions.middleware.SessionMiddleware"),
        ({"MESSAGE_STORAGE": "shop.Messages"}, "django.contrib.messages.middleware.MessageMiddleware"),
    ],
)  # fmt: skip
def test_middleware_computes_unless_its_store_may_do_more(
    changed: dict[str, Any], name: str
) -> None:
    async def get_response(request: HttpRequest) -> HttpResponse:
        return HttpResponse()

    made = object.__new__(import_string(name))
    assert computes(made)
    with override_settings(**changed):
        assert not computes(made)
        assert computes(SecurityMiddleware(get_response))


def test_a_class_that_is_not_exactly_djangos_does_not_compute() -> None:
    async def get_response(request: HttpRequest) -> HttpResponse:
        return HttpResponse()

    class Own(SecurityMiddleware): ...

    posing = type(SecurityMiddleware.__name__, (SecurityMiddleware,), {})
    posing.__module__ = SecurityMiddleware.__module__
    assert not computes(Own(get_response))
    assert not computes(posing(get_response))
    assert not computes(get_response)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("query", "every", "thread"),
    [("", False, "MainThread"), ("?save", False, "serving"), ("", True, "serving")],
)
def test_a_session_is_saved_in_a_thread(
    monkeypatch: pytest.MonkeyPatch, query: str, every: bool, thread: str
) -> None:
    seen: list[str] = []
    process_response = SessionMiddleware.process_response

    def watched(self: Any, request: Any, response: Any) -> Any:
        seen.append(threading.current_thread().name)
        return process_response(self, request, response)

    monkeypatch.setattr(SessionMiddleware, "process_response", watched)
    monkeypatch.setattr("serving.http.inline_middleware.as_written", lambda *_: True)
    middleware = ["django.contrib.sessions.middleware.SessionMiddleware"]
    with override_settings(
        ROOT_URLCONF=__name__,
        ALLOWED_HOSTS=["testserver"],
        MIDDLEWARE=middleware,
        SESSION_SAVE_EVERY_REQUEST=every,
    ):
        assert ask(DjangoHandler(), f"/below/12/async/{query}") == b"MainThread tea"
    assert seen == [thread]


CSRF = "django.middleware.csrf.CsrfViewMiddleware"
MESSAGES = "django.contrib.messages.middleware.MessageMiddleware"


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("middleware", "hook", "method", "address", "thread"),
    [
        (MESSAGES, "process_response", "POST", "/below/1/async/", "MainThread"),
        (MESSAGES, "process_response", "POST", "/below/1/async/?say", "serving"),
        (MESSAGES, "process_response", "POST", "/below/1/async/?show", "serving"),
        (CSRF, "process_view", "GET", "/guarded/", "MainThread"),
        (CSRF, "process_view", "POST", "/below/1/async/", "MainThread"),
        (CSRF, "process_view", "POST", "/guarded/", "serving"),
    ],
)
def test_what_may_take_a_while_runs_in_a_thread(
    monkeypatch: pytest.MonkeyPatch, middleware: str, hook: str, method: str, address: str,
    thread: str,
) -> None:  # fmt: skip
    seen: list[str] = []
    kind = import_string(middleware)
    real = getattr(kind, hook)

    def watched(*args: Any) -> Any:
        seen.append(threading.current_thread().name)
        return real(*args)

    monkeypatch.setattr(kind, hook, watched)
    monkeypatch.setattr("serving.http.inline_middleware.as_written", lambda *_: True)
    with override_settings(
        ROOT_URLCONF=__name__,
        ALLOWED_HOSTS=["testserver"],
        MIDDLEWARE=[middleware],
        MESSAGE_STORAGE="django.contrib.messages.storage.cookie.CookieStorage",
    ):
        asyncio.run(ASGIClient(DjangoHandler()).ask(address, method, b"tea"))
    assert seen == [thread]


def test_middleware_in_the_wrapper_of_a_library_is_found() -> None:
    """Sentry's has it as an attribute."""

    async def get_response(request: HttpRequest) -> HttpResponse:
        return HttpResponse()

    class Wrapper:
        def __init__(self, inner: Any) -> None:
            self.inner = inner
            markcoroutinefunction(self)

        async def __call__(self, request: HttpRequest) -> HttpResponse:
            return HttpResponse("wrapper")

    made = SecurityMiddleware(get_response)
    method = convert_exception_to_response(Wrapper(made))
    assert inline(method) is method
    assert "__acall__" in vars(made), "it computes on the loop"
    assert inline(convert_exception_to_response(Wrapper(get_response))) is None
    assert inline(made.process_request) is None


def wrapped(function: Any, seen: list[str]) -> Any:
    """A function as a tracer leaves it."""

    @wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        seen.append(function.__name__)
        return function(*args, **kwargs)

    return wrapper


def test_middleware_that_a_library_has_patched_runs_as_django_has_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def get_response(request: HttpRequest) -> HttpResponse:
        return HttpResponse()

    made = SecurityMiddleware(get_response)
    assert computes(made)
    for hook in ("process_request", "__acall__"):
        with monkeypatch.context() as patch:
            patch.setattr(SecurityMiddleware, hook, wrapped(getattr(SecurityMiddleware, hook), []))
            assert not computes(made)


@pytest.mark.django_db(transaction=True)
def test_libraries_find_what_they_patch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Error trackers and tracers wrap Django's handler for all of its subclasses; some wrap asgiref."""
    seen: list[str] = []
    for name in ("__call__", "get_response", "create_request"):
        monkeypatch.setattr(ASGIHandler, name, wrapped(getattr(ASGIHandler, name), seen))
    with override_settings(ROOT_URLCONF=__name__, ALLOWED_HOSTS=["testserver"]):
        handler = DjangoHandler()
        assert ask(handler, "/sync/") == b"serving tea"
        assert seen == ["__call__", "create_request", "get_response"]

        assert not asgiref_is_patched()
        monkeypatch.setattr(
            SyncToAsync, "thread_handler", wrapped(SyncToAsync.thread_handler, seen)
        )
        assert asgiref_is_patched()
        assert ask(handler, "/sync/") == b"serving tea"
        assert "thread_handler" in seen
    pool.close()


def test_only_djangos_own_receivers_are_taken_for_tidying(monkeypatch: pytest.MonkeyPatch) -> None:
    assert only_tidies(request_started, DjangoHandler)
    assert only_tidies(request_finished, DjangoHandler)

    def mine(**_: object) -> None: ...

    request_finished.connect(mine)
    assert not only_tidies(request_finished, DjangoHandler)
    request_finished.disconnect(mine)
    assert only_tidies(request_finished, DjangoHandler)

    ask = request_finished._live_receivers  # type: ignore[attr-defined]

    def ask_while_one_more_listens(sender: object) -> Any:
        answer = ask(sender)
        request_finished.connect(mine)
        return answer

    monkeypatch.setattr(request_finished, "_live_receivers", ask_while_one_more_listens)
    only_tidies(request_finished, DjangoHandler)
    monkeypatch.undo()
    assert not only_tidies(request_finished, DjangoHandler), "it came from another thread"
    request_finished.disconnect(mine)

    request_finished.connect(mine, sender=HttpResponse)
    assert only_tidies(request_finished, DjangoHandler), "it is another's"
    assert not only_tidies(request_finished, HttpResponse)
    request_finished.disconnect(mine, sender=HttpResponse)

    response = HttpResponse()
    assert closes_nothing(response)
    response._resource_closers.append(print)  # type: ignore[attr-defined]
    assert not closes_nothing(response)


def test_a_body_on_disk_and_the_files_of_a_form_are_closed_in_a_thread() -> None:
    class Own(HttpResponse):
        def close(self) -> None: ...

    def answer(*, on_disk: bool = False, files: bool = False) -> HttpResponse:
        body: Any = BytesIO()
        scope = {"type": "http", "method": "POST", "path": "/", "headers": []}
        request: Any = Request(scope, SimpleNamespace(on_disk=True) if on_disk else body)
        assert not files or request.FILES == {}
        response: Any = HttpResponse()
        response._resource_closers.append(request.close)
        return response

    assert closes_nothing(answer())
    assert not closes_nothing(answer(on_disk=True))
    assert not closes_nothing(answer(files=True))
    assert not closes_nothing(Own())


def test_asgiref_finds_the_event_loop_from_a_thread_of_the_pool() -> None:
    local = Local()

    async def main() -> None:
        loop = asyncio.get_running_loop()
        local.leaf = "green"
        seen: dict[str, Any] = {}

        async def inner() -> asyncio.AbstractEventLoop:
            seen["task"] = asyncio.current_task()
            seen["tasks"] = list(call._tasks)
            return asyncio.get_running_loop()

        def function(call: Call) -> None:
            seen["leaf"] = local.leaf
            local.leaf = "black"
            call.deliver(async_to_sync(inner)())

        call = Call(function)
        pool.submit(call.run)
        assert await call.result() is loop
        assert seen["tasks"] == [seen["task"]]  # so `abort` can cancel it
        assert seen["leaf"] == "green"
        assert local.leaf == "black"
        await call.ended()

    asyncio.run(main())
    pool.close()


def test_a_task_that_outlives_its_request_still_gets_a_thread() -> None:
    async def later() -> str:
        await over.wait()
        return await sync_to_async(lambda: threading.current_thread().name)()

    over = asyncio.Event()

    async def main() -> None:
        async with one_thread():
            task = asyncio.create_task(later())
            await sync_to_async(list)()
        over.set()
        assert await task == "serving"

    asyncio.run(main())
    pool.close()
