"""What tests get of `serving.testing`: resources that are open, and views on the loop of theirs."""

import asyncio
import sys
import unittest
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.core.signals import request_started
from django.http import HttpResponse
from django.test import AsyncClient, Client, SimpleTestCase
from django.urls import path
from django.views.decorators.csrf import csrf_protect
from serving.lifespan import resources as lifespan_resources
from serving.testing import LifespanMixin, LoopHandler, LoopResources


async def tell_loop(request: Any) -> HttpResponse:
    """Whether it runs on the loop of the lifespans."""
    own = getattr(request.state, "loop", None)
    return HttpResponse(str(own is asyncio.get_running_loop()))


@csrf_protect
async def write(request: Any) -> HttpResponse:
    return HttpResponse("written")


urlpatterns = [path("loop/", tell_loop), path("write/", write)]
pytestmark = pytest.mark.urls(__name__)


@pytest.fixture(autouse=True)
def happened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """An app of this test's own has a lifespan; what happened to it."""
    done: list[str] = []

    @asynccontextmanager
    async def lifespan() -> AsyncIterator[dict[str, object]]:
        done.append("entered")
        yield {"loop": asyncio.get_running_loop()}
        done.append("left")

    monkeypatch.setattr(lifespan_resources, "apps_with_lifespan", lambda: ["teahouse"])
    monkeypatch.setitem(sys.modules, "teahouse.lifespan", SimpleNamespace(lifespan=lifespan))
    return done


def elsewhere[T](function: Callable[[], T]) -> T:
    """Calls a function in a thread that is new to the package."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(function).result()


def is_on_loop() -> bool:
    return Client().get("/loop/").content == b"True"


async def running() -> asyncio.AbstractEventLoop:
    return asyncio.get_running_loop()


def test_while_the_resources_are_open_every_thread_runs_async_views_on_their_loop(
    happened: list[str],
) -> None:
    with LoopResources() as resources:
        assert happened == ["entered"]
        assert async_to_sync(running)() is resources.loop
        assert is_on_loop()
        assert elsewhere(is_on_loop), "as in a live server"
        assert elsewhere(lambda: resources.run(running())) is resources.loop
    assert happened == ["entered", "left"]
    assert elsewhere(is_on_loop) is False


def test_nothing_stays_behind_while_somebody_keeps_the_resources() -> None:
    """As a case of unittest does, until the last one has run."""
    before = len(request_started.receivers)
    with LoopResources() as kept:
        assert len(request_started.receivers) > before
    assert kept.items == {}
    assert len(request_started.receivers) == before


def test_a_case_of_djangos_has_them_for_each_test(happened: list[str]) -> None:
    during: list[object] = []

    class Case(LifespanMixin, SimpleTestCase):
        def setUp(self) -> None:
            super().setUp()
            during.append(list(happened))

        def test(self) -> None:
            during.append(self.resources.state.loop is async_to_sync(running)())

    class Between(unittest.TestCase):
        def setUp(self) -> None:
            super().setUp()
            during.append("set up")

    class Both(LifespanMixin, Between):
        def test(self) -> None: ...

    outcome = unittest.TestResult()
    Case("test").run(outcome)
    Both("test").run(outcome)
    assert outcome.wasSuccessful(), outcome
    assert outcome.testsRun == 2
    assert during == [["entered"], True, "set up"]
    assert happened == ["entered", "left"] * 2


@pytest.mark.parametrize(
    "name", ["client", "rf", "async_rf", "async_client", "admin_client", "live_server"]
)
@pytest.mark.django_db(transaction=True)
def test_each_fixture_of_djangos_has_them_open(
    request: pytest.FixtureRequest, name: str, happened: list[str]
) -> None:
    assert request.getfixturevalue(name) is not None
    assert happened == ["entered"]


def test_a_fixture_tells_what_is_open(resources: LoopResources, state: Any) -> None:
    assert state.loop is resources.loop
    assert resources.run(running()) is resources.loop


def test_an_async_client_asks_on_the_loop_from_any_other(
    async_client: AsyncClient, resources: LoopResources
) -> None:
    async def ask() -> bytes:
        answer: Any = await async_client.get("/loop/")
        assert answer.status_code == 200
        content: bytes = answer.content
        return content

    assert asyncio.run(ask()) == b"True"
    assert resources.run(ask()) == b"True"


@pytest.mark.parametrize(("enforced", "status"), [(True, 403), (False, 200)])
def test_an_async_client_asks_for_tokens_if_it_is_to(
    resources: LoopResources, enforced: bool, status: int
) -> None:
    client = AsyncClient()
    client.handler = LoopHandler(resources.loop, enforced)
    answer: Any = asyncio.run(client.post("/write/"))
    assert answer.status_code == status
