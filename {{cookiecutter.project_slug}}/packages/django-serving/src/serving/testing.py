"""For tests: what the apps' lifespans open, for pytest's fixtures and for Django's own test classes.

A `pytest_plugins` line loads the fixtures. While the resources of a test are open, every request that is made
in this process has them as `request.state`, whatever makes it: a test client, a factory, a live server.
"""

import asyncio
import unittest
from collections.abc import Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from threading import Event
from typing import Any, Self

import pytest
from asgiref.sync import async_to_sync
from django.core.signals import request_started
from django.test import AsyncClient, AsyncRequestFactory, Client, RequestFactory
from django.test.client import AsyncClientHandler

from serving.http.threads import bind_to_loop
from serving.lifespan.resources import Resources


class LoopResources:
    """What the apps' lifespans open, on an event loop that runs in a thread of its own, as in a server.

    So a client or a pool is used on the loop that it was opened on: sync code that calls async code (a test
    client that asks for an async view, an `async def` of Django's TestCase) has that loop run it. The
    lifespans are entered and left in one task.
    """

    state: Any
    loop: asyncio.AbstractEventLoop

    def __enter__(self) -> Self:
        self._opened = Event()
        self._executor = ThreadPoolExecutor(1, "lifespan")
        self._served = self._executor.submit(asyncio.run, self._serve())
        self._served.add_done_callback(lambda _: self._opened.set())
        self._opened.wait()
        if self._served.done():
            self._executor.shutdown()
            self._served.result()  # raises what went wrong
        self._lend()
        request_started.connect(self._lend)
        return self

    def __exit__(self, *_: object) -> None:
        request_started.disconnect(self._lend)
        with suppress(RuntimeError):  # the loop has ended, if a lifespan has
            self.loop.call_soon_threadsafe(self._end.set)
        self._executor.shutdown()
        self._served.result()

    def run[T](self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Runs a coroutine on the event loop that the resources were opened on."""

        async def awaited() -> T:
            return await coroutine

        self._lend()
        return async_to_sync(awaited)()

    def _lend(self, **_: object) -> None:
        """Has `async_to_sync` of this thread run on the loop; a thread of a live server's, too."""
        bind_to_loop(self.loop, [])

    async def _serve(self) -> None:
        """Holds the resources open, in one task. Raises RuntimeError if a lifespan ends by itself."""
        async with Resources() as resources:
            self.state, self.loop = resources.state, asyncio.get_running_loop()
            self._end = asyncio.Event()
            self._opened.set()
            try:
                await self._end.wait()
            except asyncio.CancelledError:  # by a task group that an app holds open
                raise RuntimeError("a lifespan ended during the test; the log says why") from None


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


# pytest-django's own, with the resources open


@pytest.fixture
def client(resources: LoopResources, client: Client) -> Client:
    """Django's test client."""
    return client


@pytest.fixture
def admin_client(resources: LoopResources, admin_client: Client) -> Client:
    """Django's test client, logged in as an administrator."""
    return admin_client


@pytest.fixture
def async_client(resources: LoopResources, async_client: AsyncClient) -> AsyncClient:
    """Django's asynchronous test client; on any event loop, views run on that of the resources."""
    async_client.handler = LoopHandler(resources.loop, async_client.handler.enforce_csrf_checks)
    return async_client


@pytest.fixture
def rf(resources: LoopResources, rf: RequestFactory) -> RequestFactory:
    """Django's request factory."""
    return rf


@pytest.fixture
def async_rf(resources: LoopResources, async_rf: AsyncRequestFactory) -> AsyncRequestFactory:
    """Django's asynchronous request factory."""
    return async_rf


@pytest.fixture
def live_server(resources: LoopResources, live_server: Any) -> Any:
    """A server in a thread of this process, for a browser or a real client."""
    return live_server


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
