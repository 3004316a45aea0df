"""For tests: what the apps' lifespans open, for pytest and for Django's own test classes.

`pytest_plugins = ["serving.testing"]` loads the fixtures. While the resources of a test are open, every
request that is made in this process has them as `request.state`, whatever makes it: a test client, a
factory, a live server.
"""

import asyncio
import unittest
from collections.abc import Coroutine, Iterator
from typing import Any, Self

import pytest
from asgiref.sync import async_to_sync
from django.core.signals import request_started
from django.test import AsyncClient
from django.test.client import AsyncClientHandler

from serving.http.threads import bind_to_loop
from serving.lifespan.resources import Resources


class LoopResources(Resources):
    """`with Resources()` for tests: sync code that calls async code (a test client that asks for an async
    view, an `async def` of Django's TestCase) runs it on the loop that the resources were opened on.
    """

    def __enter__(self) -> Self:
        super().__enter__()
        self._lend()
        request_started.connect(self._lend)
        return self

    def __exit__(self, *_: object) -> None:
        request_started.disconnect(self._lend)
        super().__exit__()

    def run[T](self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Runs a coroutine on the event loop that the resources were opened on."""

        async def awaited() -> T:
            return await coroutine

        self._lend()
        return async_to_sync(awaited)()

    def _lend(self, **_: object) -> None:
        """Makes `async_to_sync` use the loop in this thread; in those of a live server too."""
        bind_to_loop(self.loop)


class LifespanMixin(unittest.TestCase):
    """Opens the resources for each test of a class of Django's: `class Shop(LifespanMixin, TestCase)`."""

    def setUp(self) -> None:
        self.resources = self.enterContext(LoopResources())
        super().setUp()


@pytest.fixture
def resources() -> Iterator[LoopResources]:
    """What the apps' lifespans opened, for the length of a test.

    `resources.state` has it as attributes; `resources.run(coroutine)` runs on its event loop.
    """
    with LoopResources() as opened:
        yield opened


@pytest.fixture
def state(resources: LoopResources) -> Any:
    """What views see as `request.state`."""
    return resources.state


def with_resources(name: str) -> Any:
    """The fixture of this name, as it is without this plugin, while the resources are open."""
    return pytest.fixture(lambda resources, request: request.getfixturevalue(name))


# pytest-django's own
client, admin_client = with_resources("client"), with_resources("admin_client")
rf, async_rf = with_resources("rf"), with_resources("async_rf")
live_server = with_resources("live_server")


@pytest.fixture
def async_client(resources: LoopResources, async_client: AsyncClient) -> AsyncClient:
    """Django's asynchronous test client; on any event loop, views run on that of the resources."""
    async_client.handler = LoopHandler(resources.loop, async_client.handler.enforce_csrf_checks)
    return async_client


class LoopHandler(AsyncClientHandler):
    """Answers the requests of an asynchronous test client on a loop, whichever the test runs on."""

    def __init__(self, loop: asyncio.AbstractEventLoop, enforce_csrf_checks: bool) -> None:
        super().__init__(enforce_csrf_checks)
        self._own = loop

    async def __call__(self, scope: dict[str, Any]) -> Any:
        answer = super().__call__(scope)
        if asyncio.get_running_loop() is self._own:
            return await answer
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(answer, self._own))
