"""A project without any app, served by the handler alone: prints what it answers; run as a program."""

import asyncio
import threading
from typing import Any

import django
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.urls import path


def sync_view(request: HttpRequest) -> HttpResponse:
    return HttpResponse(threading.current_thread().name)


async def async_view(request: Any) -> HttpResponse:
    return HttpResponse(f"{threading.current_thread().name} {request.state} {request.request_id}")


urlpatterns = [path("sync/", sync_view), path("async/", async_view)]


async def ask(application: Any, address: str) -> bytes:
    sent: list[Any] = []

    async def receive() -> Any:
        await asyncio.Event().wait()

    async def send(message: Any) -> None:
        sent.append(message)

    headers = [(b"host", b"localhost"), (b"x-request-id", b"order-7")]
    scope = {"type": "http", "http_version": "1.1", "method": "GET", "path": address}
    await application(scope | {"headers": headers, "query_string": b""}, receive, send)
    return b"".join(message.get("body", b"") for message in sent)


async def main() -> None:
    settings.configure(ROOT_URLCONF=__name__, ALLOWED_HOSTS=["*"])
    django.setup()
    before = threading.active_count()
    from serving.http.handler import DjangoHandler

    application = DjangoHandler()
    assert threading.active_count() == before, "a handler starts no thread before it needs one"
    print((await ask(application, "/sync/")).decode())
    print((await ask(application, "/async/")).decode())


if __name__ == "__main__":
    asyncio.run(main())
