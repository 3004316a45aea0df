"""pytest fixtures for what the apps' lifespans open: a `pytest_plugins` line loads them."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.http import HttpRequest, HttpResponseBase
from django.test import AsyncClient, Client
from django.test.client import AsyncClientHandler, ClientHandler

from serving.lifespan import Resources
from serving.request_id import identify
from serving.state import State


@pytest.fixture
def resources() -> Iterator[Resources]:
    """What the apps' lifespans opened, for the length of a test.

    `resources.state` has it as attributes; `resources.run(coroutine)` runs on its event loop.
    """
    with Resources() as opened:
        yield opened


@pytest.fixture
def state(resources: Resources) -> Any:
    """What views see as `request.state`."""
    return resources.state


@pytest.fixture
def client(state: State) -> Client:
    """Django's test client, whose requests carry the state and an id."""
    made = Client()
    made.handler = StateHandler(state, made.handler.enforce_csrf_checks)
    return made


@pytest.fixture
def async_client(state: State) -> AsyncClient:
    """Django's asynchronous test client, whose requests carry the state."""
    made = AsyncClient()
    made.handler = AsyncStateHandler(state, made.handler.enforce_csrf_checks)
    return made


class StateHandler(ClientHandler):
    """Gives a request its state; the test client makes requests of its own class."""

    def __init__(self, state: State, enforce_csrf_checks: bool) -> None:
        super().__init__(enforce_csrf_checks)
        self.state = state

    def get_response(self, request: HttpRequest) -> HttpResponseBase:
        request.state = self.state  # type: ignore[attr-defined]
        request.id = identify([])  # type: ignore[attr-defined]
        return super().get_response(request)


class AsyncStateHandler(AsyncClientHandler):
    """The same for the asynchronous client."""

    def __init__(self, state: State, enforce_csrf_checks: bool) -> None:
        super().__init__(enforce_csrf_checks)
        self.state = state

    async def get_response_async(self, request: HttpRequest) -> HttpResponseBase:
        request.state = self.state  # type: ignore[attr-defined]
        request.id = identify([])  # type: ignore[attr-defined]
        return await super().get_response_async(request)
