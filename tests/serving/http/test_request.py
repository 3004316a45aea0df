"""What a view gets with a request, and where a form's files find no room."""

import asyncio
import errno
import os
from collections.abc import Callable, Iterator
from contextvars import copy_context
from typing import Any

import pytest
from django.core.files.uploadhandler import FileUploadHandler
from django.http import HttpRequest, HttpResponse
from django.test import override_settings
from django.urls import path
from serving.http.handler import DjangoHandler
from serving.http.request import Request
from serving.http.request_id import RequestId
from serving.http.thread_pool import pool
from serving.log.context import request_id

from tests.serving.client import ASGIClient, Exchange

pytestmark = pytest.mark.django_db(transaction=True)

FILE = (
    b'--tea\r\nContent-Disposition: form-data; name="photo"; filename="tea.jpg"\r\n'
    b"Content-Type: image/jpeg\r\n\r\ngreen\r\n--tea--\r\n"
)
FORM = {
    "content-type": "multipart/form-data; boundary=tea",
    "content-length": str(len(FILE)),
}


class Full(FileUploadHandler):
    """Has no room for a file, or another trouble with it."""

    number = errno.ENOSPC

    def receive_data_chunk(self, raw_data: bytes, start: int) -> bytes:
        raise OSError(self.number, os.strerror(self.number))

    def file_complete(self, file_size: int) -> None: ...


def shows(request: Any) -> HttpResponse:
    return HttpResponse(f"{getattr(request.state, 'leaf', 'none')} {request.request_id}")


def takes(request: HttpRequest) -> HttpResponse:
    return HttpResponse(str(len(request.FILES)))


async def atakes(request: HttpRequest) -> HttpResponse:
    return takes(request)


def goes_without(request: HttpRequest) -> HttpResponse:
    try:
        return takes(request)
    except Exception as error:
        return HttpResponse(type(error).__name__)


def finds_fault(request: HttpRequest) -> HttpResponse:
    return HttpResponse("no tea", status=400)


urlpatterns = [
    path(f"{view.__name__}/", view) for view in (shows, takes, atakes, goes_without, finds_fault)
]


@pytest.fixture(autouse=True)
def a_site() -> Iterator[None]:
    with override_settings(
        ROOT_URLCONF=__name__,
        ALLOWED_HOSTS=["testserver"],
        MIDDLEWARE=["django.middleware.gzip.GZipMiddleware"],
        FILE_UPLOAD_HANDLERS=[f"{__name__}.Full"],
    ):
        yield
    pool.close()


def post(view: str, **headers: str) -> Exchange:
    given = FORM | {name.replace("_", "-"): value for name, value in headers.items()}
    return asyncio.run(ASGIClient(DjangoHandler()).ask(f"/{view}/", "POST", FILE, headers=given))


@pytest.mark.parametrize("debug", [False, True])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
@pytest.mark.parametrize("view", ["takes", "atakes"])
def test_a_form_whose_files_have_no_room_is_told_so(
    view: str, number: int, debug: bool, monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    monkeypatch.setattr(Full, "number", number)
    with override_settings(DEBUG=debug):  # then Django answers with a page, long enough for gzip
        answer = post(view, accept_encoding="gzip")
    headers = {name.lower(): value for name, value in answer.headers}
    assert answer.status == 507
    assert answer.body == b"The server has no room for the body of the request.\n"
    assert headers["content-type"] == "text/plain; charset=utf-8"
    assert headers["content-length"] == str(len(answer.body))
    assert headers["cache-control"] == "no-store"
    assert "content-encoding" not in headers
    assert os.strerror(number) in caplog.text


def test_other_answers_stay_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    assert (post("goes_without").status, post("goes_without").body) == (200, b"Refused")
    assert (post("finds_fault").status, post("finds_fault").body) == (400, b"no tea")
    monkeypatch.setattr(Full, "number", errno.EIO)
    assert post("takes").status == 500
    assert post("goes_without").body == b"OSError"


def test_a_view_gets_the_state_of_the_server_and_the_id_of_the_request() -> None:
    app = RequestId(DjangoHandler())
    headers = {"x-request-id": "order-7"}
    state = {"leaf": "green"}
    answer = asyncio.run(ASGIClient(app).ask("/shows/", headers=headers, state=state))
    assert answer.body == b"green order-7"
    answer = asyncio.run(ASGIClient(app).ask("/shows/", headers=headers))
    assert answer.body == b"none order-7"


def test_a_request_of_a_server_without_a_lifespan_says_why_its_state_is_empty() -> None:
    request: Any = Request({"type": "http", "method": "GET", "path": "/", "headers": []}, None)
    with pytest.raises(AttributeError, match="this server ran no lifespan"):
        request.state.leaf  # noqa: B018


def in_a_request(own: str, function: Callable[[], str]) -> str:
    def call() -> str:
        request_id.set(own)
        return function()

    return copy_context().run(call)


def test_every_request_has_an_id() -> None:
    made: Any = HttpRequest()
    assert len(made.request_id) == 32
    assert made.request_id == made.request_id
    brought: Any = HttpRequest()
    brought.META["HTTP_X_REQUEST_ID"] = "order-7"
    assert brought.request_id == "order-7"
    wrong: Any = HttpRequest()
    wrong.META["HTTP_X_REQUEST_ID"] = "\udcff"
    assert len(wrong.request_id) == 32
    for_another: Any = HttpRequest()
    for_another.META["HTTP_X_REQUEST_ID"] = "order-8"
    assert in_a_request("order-7", lambda: for_another.request_id) == "order-7"
