"""Views that make every kind of noise."""

import asyncio
import logging
import os
import threading
import time
import warnings
from collections.abc import AsyncIterator, Iterator
from typing import Any, Never

from asgiref.sync import sync_to_async
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, JsonResponse, StreamingHttpResponse
from django.urls import path
from django.views.decorators.csrf import csrf_exempt
from serving.http.request import Request

VOICES = [
    "home",
    "accounts.orders",
    "django",
    "django.request",
    "serving.probes",
    "asyncio",
    "urllib3",
]


def talk(request: HttpRequest) -> HttpResponse:
    for voice in VOICES:
        logging.getLogger(voice).warning("%s says %s", voice, request.GET["word"])
    warnings.warn(f"py.warnings says {request.GET['word']}", stacklevel=1)
    return HttpResponse()


def identity(request: Request[Any]) -> HttpResponse:
    logging.getLogger("home").info("in a sync view")
    return JsonResponse({"id": request.request_id})


def say(where: str) -> None:
    logging.getLogger("home").info("%s", where)


async def identity_async(request: Request[Any]) -> HttpResponse:
    logging.getLogger("home").info("in an async view")
    await sync_to_async(say)("in sync_to_async")
    await asyncio.to_thread(say, "in to_thread")
    await asyncio.create_task(sync_to_async(say)("in a task"))
    await asyncio.get_running_loop().run_in_executor(None, say, "in run_in_executor")
    return JsonResponse({"id": request.request_id})


def echo(request: HttpRequest) -> HttpResponse:
    logging.getLogger("home").info("agent %s", request.headers["User-Agent"])
    logging.getLogger("home").info(f"word {request.GET['word']}")
    return HttpResponse()


@csrf_exempt
def fail(request: HttpRequest) -> HttpResponse:
    password = request.POST.get("password")  # noqa: F841 (a debug page would show them)
    card = request.headers.get("Authorization")  # noqa: F841
    raise RuntimeError(
        f"cannot reach {os.environ['DATABASE_URL']} with {os.environ['STRIPE_API_KEY']}"
    )


def deny(request: HttpRequest) -> HttpResponse:
    raise PermissionDenied


def extra(request: HttpRequest) -> HttpResponse:
    logging.getLogger("home").info("paid", extra={"order": 7, "card_token": "planted-extra-token"})
    # As httpx does at level debug, of what an upstream server answered.
    logging.getLogger("httpcore.http11").debug("headers [(b'Set-Cookie', b'planted-upstream')]")
    return HttpResponse()


async def slow(request: HttpRequest) -> HttpResponse:
    time.sleep(0.3)  # noqa: ASYNC251 (blocks the loop, as a careless view does)
    return HttpResponse()


async def forget(request: HttpRequest) -> HttpResponse:
    async def fail_alone() -> Never:
        raise ValueError("nobody looks")

    asyncio.create_task(fail_alone())  # noqa: RUF006
    asyncio.get_running_loop().create_future().set_exception(ValueError("nor here"))
    await asyncio.sleep(0.01)
    return HttpResponse()


def spawn(request: HttpRequest) -> HttpResponse:
    def fail_apart() -> Never:
        raise RuntimeError(f"cannot reach {os.environ['DATABASE_URL']}")

    thread = threading.Thread(target=fail_apart, name="apart")
    thread.start()
    thread.join()
    return HttpResponse()


class Careless:
    def __del__(self) -> None:
        raise RuntimeError(f"cannot reach {os.environ['DATABASE_URL']}")


def drop(request: HttpRequest) -> HttpResponse:
    Careless()
    return HttpResponse()


def divide(request: HttpRequest) -> HttpResponse:
    handler: Any = logging.getLogger().handlers[0]
    held = len(handler.held)
    child = os.fork()
    if not child:
        logging.getLogger("home").info("in a fork")
        logging.shutdown()
        os._exit(0)
    os.waitpid(child, 0)
    return JsonResponse({"held": held})


def break_off(request: HttpRequest) -> StreamingHttpResponse:
    def parts() -> Iterator[bytes]:
        yield b"one"
        raise RuntimeError(f"cannot reach {os.environ['DATABASE_URL']}\nat all")

    return StreamingHttpResponse(parts())


async def break_off_async(request: HttpRequest) -> StreamingHttpResponse:
    async def parts() -> AsyncIterator[bytes]:
        yield b"one"
        raise RuntimeError(f"cannot reach {os.environ['DATABASE_URL']}\nat all")

    return StreamingHttpResponse(parts())


urlpatterns = [
    path(f"{view.__name__}/", view)
    for view in (
        talk,
        identity,
        identity_async,
        echo,
        fail,
        deny,
        extra,
        slow,
        forget,
        spawn,
        drop,
        divide,
        break_off,
        break_off_async,
    )
]
