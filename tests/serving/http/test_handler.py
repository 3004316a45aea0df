"""Our handler and Django's own, side by side: the same requests, and everything that can be seen of them."""

import asyncio
import logging
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pytest
from accounts.models import User
from django.core import signals
from django.core.management import call_command
from django.db import connections
from django.test import override_settings
from serving.http.handler import DjangoHandler, PlainHandler
from serving.http.thread_pool import pool

from tests.serving.client import Exchange, Message, body_messages
from tests.sites import handler as site

pytestmark = [
    pytest.mark.django_db(transaction=True),
    # Django's handler lets connections go unclosed with their threads, and warns of sync streams.
    pytest.mark.filterwarnings("ignore"),
]

BASE = [
    "django.middleware.security.SecurityMiddleware",
    "django.middleware.csp.ContentSecurityPolicyMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
OTHERS = {
    "function": ["tests.sites.handler.function"],
    "async function": ["tests.sites.handler.async_function"],
    "class": ["tests.sites.handler.Sync"],
    "mixed": ["tests.sites.handler.function", "tests.sites.handler.async_function", "tests.sites.handler.Sync"],
    "locale": ["django.middleware.locale.LocaleMiddleware", "django.middleware.gzip.GZipMiddleware",
               "django.middleware.http.ConditionalGetMiddleware"],
}  # fmt: skip


@dataclass
class Request:
    """A request, and what its client does."""

    path: str
    method: str = "GET"
    body: list[bytes] = field(default_factory=lambda: [b""])
    headers: dict[str, str] = field(default_factory=dict)
    leaves_while_reading: bool = False


@dataclass
class Seen:
    """All that can be seen of an answer."""

    status: int | None = None
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: bytes = b""
    ended: bool = False
    raised: str | None = None
    signals: list[tuple[str, object, str | None]] = field(default_factory=list)
    logged: list[tuple[str, str, str]] = field(default_factory=list)


def post(path: str, body: bytes = b"", **headers: str) -> Request:
    return Request(
        path, "POST", [body], {name.replace("_", "-"): value for name, value in headers.items()}
    )


FORM = "application/x-www-form-urlencoded"
BOUNDARY = "multipart/form-data; boundary=tea"


def form_with_file(size: int) -> bytes:
    return (
        b'--tea\r\nContent-Disposition: form-data; name="leaf"\r\n\r\ngreen\r\n'
        b'--tea\r\nContent-Disposition: form-data; name="photo"; filename="tea.jpg"\r\n'
        b"Content-Type: image/jpeg\r\n\r\n" + b"x" * size + b"\r\n--tea--\r\n"
    )


class Client:
    """Asks a handler, and keeps cookies as a browser does."""

    def __init__(self, handler: Any) -> None:
        self.handler = handler
        self.cookies: dict[str, str] = {}

    async def ask(self, request: Request) -> Seen:
        seen = Seen()
        messages: list[Message] = body_messages(*request.body)
        if request.leaves_while_reading:
            messages = [*messages[:-1], {"type": "http.disconnect"}]
        headers = dict(request.headers)
        if self.cookies:
            headers["cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        if token := headers.pop("with-token", None):
            headers["x-csrftoken"] = (
                self.cookies.get("csrftoken", "") if token == "right" else token
            )
        exchange = Exchange(request.path, request.method, headers=headers, messages=messages)
        with watching(seen):
            try:
                await exchange.run(self.handler)
            except BaseException as error:
                seen.raised = repr(error)
        seen.status, seen.headers, seen.ended = exchange.status, exchange.headers, exchange.ended
        for name, value in seen.headers:
            if name.lower() == "set-cookie":
                cookie, _, rest = value.partition("; ")
                key, _, content = cookie.partition("=")
                if "Max-Age=0" in rest:
                    self.cookies.pop(key, None)
                else:
                    self.cookies[key] = content
        whole = exchange.body
        seen.body = tidy_body(whole)
        seen.headers = [
            (name, tidy(name, value))
            for name, value in seen.headers
            if not (name == "Content-Length" and seen.body != whole)
        ]
        return seen


class watching:
    """Notes the signals and the log records while its body runs."""

    def __init__(self, seen: Seen) -> None:
        self.seen = seen
        self.receivers = {
            name: partial(self.note, name)
            for name in ("request_started", "got_request_exception", "request_finished")
        }
        self.handler = logging.Handler()
        self.handler.emit = lambda record: seen.logged.append(  # type: ignore[method-assign]
            (record.name, record.levelname, record.getMessage())
        )

    def note(self, name: str, *, sender: object, **given: Any) -> None:
        is_handler = isinstance(sender, type) and issubclass(sender, PlainHandler)
        path = given["scope"]["path"] if "scope" in given else None
        self.seen.signals.append((name, PlainHandler if is_handler else sender, path))

    def __enter__(self) -> None:
        for name, receiver in self.receivers.items():
            getattr(signals, name).connect(receiver, weak=False)
        logging.getLogger("django").addHandler(self.handler)

    def __exit__(self, *_: object) -> None:
        for name, receiver in self.receivers.items():
            getattr(signals, name).disconnect(receiver)
        logging.getLogger("django").removeHandler(self.handler)


def tidy(name: str, value: str) -> str:
    """A header less what is random or tells the time."""
    match name.lower():
        case "set-cookie":
            value = re.sub(r"^(sessionid|csrftoken|messages)=[^;]+", r"\1=...", value)
            return re.sub(r"expires=[^;]+", "expires=...", value)
        case "expires" | "last-modified":
            return "..."
        case "content-security-policy":
            return re.sub(r"'nonce-[^']+'", "'nonce'", value)
    return value


def tidy_body(body: bytes) -> bytes:
    """A body less what is random: tokens, addresses of objects, times, figures of the server."""
    body = re.sub(rb"(data-fact=\"\w+\">)[^<]*", rb"\1", body)
    body = re.sub(rb"(csrfmiddlewaretoken\" value|nonce)=\"[\w-]+", rb"\1", body)
    if (
        b"<title>" in body and b"Traceback" in body
    ):  # a debug page: its heading says what it is about
        return b"".join(re.findall(rb"<title>.*?</title>|<h1>.*?</h1>", body, re.DOTALL))
    return body


def play(make: Callable[[], Any], requests: list[Request]) -> list[Seen]:
    """What is seen of some requests, one after the other, in a database of their own."""
    call_command("flush", verbosity=0, interactive=False)
    User.objects.create_superuser("ada", "ada@example.com", "open sesame")
    connections.close_all()

    async def main() -> list[Seen]:
        site.MAIN["loop"] = asyncio.get_running_loop()
        client = Client(make())
        return [await client.ask(request) for request in requests]

    try:
        return asyncio.run(main())
    finally:
        pool.close()
        connections.close_all()


SCENARIOS: dict[str, list[Request]] = {
    "views": [Request(path) for path in (
        "/hello/", "/ahello/", "/hello/tea/", "/ahello/tea/", "/page/", "/apage/", "/template/", "/atemplate/",
        "/hello", "/ahello", "/hello//", "/nowhere/", "/echo/?a=1&b=%C3%A9", "/aecho/?a=1", "/",
    )],
    "methods": [Request(path, method) for method in ("HEAD", "OPTIONS", "DELETE", "TRACE", "BREW")
                for path in ("/page/", "/apage/", "/hello/", "/ahello/")],
    "streams": [Request(path) for path in ("/stream/", "/astream/", "/stream_of_async/", "/astream_of_sync/", "/file/")],
    "conditions": [
        Request("/conditional/"), Request("/conditional/", headers={"if-none-match": '"tea"'}),
        Request("/conditional/", headers={"if-match": '"coffee"'}),
        Request("/file/", headers={"range": "bytes=0-9"}),
    ],
    "failures": [Request(path) for path in (
        "/boom/", "/aboom/", "/denied/", "/amissing/", "/nothing/", "/anothing/", "/fails_to_render/",
    )],
    "bad requests": [
        Request("/hello/", headers={"host": "elsewhere.example"}), Request("/ahello/", headers={"host": "elsewhere.example"}),
        Request("/hello/?x=\udcff".encode("utf-8", "surrogatepass").decode("latin1")),
        Request("/ahello/", headers={"host": "a b"}),
    ],
    "sessions": [Request(path) for path in (
        "/reads_session/", "/counts/", "/counts/", "/areads_session/", "/acounts/", "/reads_session/",
        "/flushes_session/", "/acounts/", "/aflushes_session/", "/hello/",
    )],
    "messages": [Request(path) for path in ("/says/", "/asays/", "/shows/", "/shows/", "/asays/", "/ahello/", "/shows/")],
    "users": [Request(path) for path in (
        "/who/", "/awho/", "/signs_in/", "/who/", "/awho/", "/admin/", "/admin/accounts/user/", "/signs_out/", "/awho/",
        "/admin/",
    )],
    "csrf": [
        post("/page/", b"a=1", content_type=FORM), post("/apage/", b"a=1", content_type=FORM),
        Request("/admin/login/"),  # it sets the cookie
        post("/page/", b"a=1", content_type=FORM, with_token="right"),
        post("/apage/", b"a=1", content_type=FORM, with_token="right"),
        post("/apage/", b"a=1", content_type=FORM, with_token="wrong"),
        post("/apage/", form_with_file(100), content_type=BOUNDARY, with_token="right"),
        post("/page/", b"a=1", content_type=FORM, with_token="right", origin="https://evil.example"),
        post("/apage/", b"a=1", content_type=FORM, with_token="right", origin="https://evil.example"),
    ],
    "uploads": [
        post(path, form_with_file(size), content_type=BOUNDARY)
        for path in ("/upload/", "/aupload/") for size in (0, 1_000, 3_000_000)
    ],
    "bodies in parts": [
        Request("/lines/", "POST", [b"one\ntw", b"o\n", b"three"]),
        Request("/lines/", "POST", [b"x" * 1_000_000 + b"\n"] * 4),
    ],
    # What is too much is told with its bound, and not as Django does: tests/live/test_uploads.py.
    "broken": [post("/upload/", b"--tea\r\nbroken", content_type=BOUNDARY)],
    "database": [Request(path) for path in ("/rows/", "/arows/", "/creates_and_fails/", "/rows/")],
    "languages": [Request(path) for path in ("/speaks/", "/speaks/", "/aspeaks/", "/aspeaks/", "/speaks/")],
    "threads": [Request(path) for path in ("/reaches_the_loop/", "/one_thread/")],
}  # fmt: skip


@pytest.fixture(autouse=True)
def a_site() -> Iterator[None]:
    # The CSP nonce and the key of a session differ each time, and so does what is made of them.
    with override_settings(
        ROOT_URLCONF="tests.sites.handler",
        MIDDLEWARE=BASE,
        ALLOWED_HOSTS=["testserver"],
        DATA_UPLOAD_MAX_MEMORY_SIZE=2_500_000,
    ):
        yield


def same(requests: list[Request]) -> list[Seen]:
    django, ours = play(PlainHandler, requests), play(DjangoHandler, requests)
    for request, theirs, mine in zip(requests, django, ours, strict=True):
        assert mine == theirs, request
    return ours


@pytest.mark.parametrize("debug", [False, True], ids=["", "debug"])
@pytest.mark.parametrize("name", SCENARIOS)
def test_it_is_as_with_djangos_handler(name: str, debug: bool) -> None:
    with override_settings(DEBUG=debug):
        same(SCENARIOS[name])


@pytest.mark.parametrize("scenario", ["views", "streams", "failures", "sessions", "csrf"])
@pytest.mark.parametrize("name", OTHERS)
def test_it_is_with_other_middleware(name: str, scenario: str) -> None:
    with override_settings(MIDDLEWARE=[*BASE, *OTHERS[name]]):
        same(SCENARIOS[scenario])
    with override_settings(MIDDLEWARE=[*OTHERS[name], *BASE]):
        same(SCENARIOS[scenario])


@pytest.mark.parametrize("view", ["hello", "ahello", "boom", "aboom", "template", "atemplate"])
def test_it_is_when_middleware_fails_or_helps(view: str) -> None:
    with override_settings(MIDDLEWARE=[*BASE, "tests.sites.handler.Breaks"]):
        same([Request(f"/{view}/{query}") for query in ("?before", "?after", "?middleware, help")])


def test_it_is_when_middleware_turns_to_other_addresses() -> None:
    with override_settings(MIDDLEWARE=[*BASE, "tests.sites.handler.OtherUrls"]):
        seen = same(
            [Request(f"/{path}/?other") for path in ("hello", "ahello", "where", "template")]
        )
    assert [answer.status for answer in seen] == [200, 200, 200, 404]


@pytest.mark.parametrize(
    "changed",
    [
        {"SESSION_SAVE_EVERY_REQUEST": True},
        {"CSRF_USE_SESSIONS": True},
        {"SESSION_ENGINE": "django.contrib.sessions.backends.signed_cookies"},
        {"SESSION_ENGINE": "django.contrib.sessions.backends.cached_db"},
        {"MESSAGE_STORAGE": "django.contrib.messages.storage.session.SessionStorage"},
        {"SECURE_SSL_REDIRECT": True},
        {"PREPEND_WWW": True, "ALLOWED_HOSTS": ["testserver", "www.testserver"]},
        {"FORCE_SCRIPT_NAME": "/below"},
    ],
    ids=str,
)
def test_it_is_with_other_settings(changed: dict[str, Any]) -> None:
    with override_settings(**changed):
        for name in ("views", "sessions", "messages", "csrf"):
            same(SCENARIOS[name])


def test_a_body_that_breaks_off_is_answered_where_django_says_nothing() -> None:
    """A server would say 500 to a client that is still there, and has sent a broken chunk."""
    requests = [
        Request(path, "POST", [b"a", b"b"], leaves_while_reading=True)
        for path in ("/echo/", "/aecho/", "/nowhere/")
    ]
    for theirs, ours in zip(
        play(PlainHandler, requests), play(DjangoHandler, requests), strict=True
    ):
        assert (theirs.status, ours.status) == (None, 400)
        assert ours.ended
        assert (ours.signals, ours.logged, ours.raised) == (
            theirs.signals,
            theirs.logged,
            theirs.raised,
        )


def test_atomic_requests_are_djangos_own(settings: Any) -> None:
    connections.settings["default"]["ATOMIC_REQUESTS"] = True
    try:
        seen = same([Request(f"/{path}/") for path in (
            "in_a_transaction", "ain_a_transaction", "creates_and_fails", "rows",
        )])  # fmt: skip
    finally:
        connections.settings["default"]["ATOMIC_REQUESTS"] = False
    assert seen[0].body == b"True"
    assert seen[3].body == b"1"
