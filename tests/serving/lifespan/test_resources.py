"""The lifespan protocol, spoken to the project's own ASGI application."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import pytest
from config.asgi import application
from django.http import HttpRequest, HttpResponse
from django.test import Client, RequestFactory
from django.urls import path
from serving.lifespan import resources as lifespan_resources
from serving.lifespan.resources import Resources
from serving.lifespan.state import State


def lifespan_conversation(app: Any) -> tuple[list[str], dict[str, Any]]:
    """Starts and stops an application as a server does: the types it sent, the state it left."""
    sent: list[str] = []
    state: dict[str, Any] = {}
    seen: dict[str, Any] = {}

    async def talk() -> None:
        events = iter(["lifespan.startup", "lifespan.shutdown"])

        async def receive() -> dict[str, str]:
            seen.update(state)
            return {"type": next(events)}

        async def send(message: dict[str, str]) -> None:
            sent.append(message["type"])

        await app({"type": "lifespan", "asgi": {}, "state": state}, receive, send)

    asyncio.run(talk())
    return sent, seen


def test_the_server_is_told_of_startup_and_shutdown() -> None:
    sent, state = lifespan_conversation(application)

    assert sent == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
    with Resources() as resources:
        assert dir(State(state)) == dir(resources.state)


@pytest.fixture
def made_up(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """An app of this test's own has a lifespan; what happened to it."""
    happened: list[str] = []

    @asynccontextmanager
    async def opened() -> AsyncIterator[dict[str, object]]:
        happened.append("entered")
        yield {"teapot": "full", "cups": 2}
        happened.append("left")

    monkeypatch.setattr(lifespan_resources, "apps_with_lifespan", lambda: ["teahouse"])
    monkeypatch.setitem(sys.modules, "teahouse.lifespan", SimpleNamespace(lifespan=opened))
    return happened


def test_the_state_names_what_there_is_and_cannot_be_changed(made_up: list[str]) -> None:
    with Resources() as resources:
        assert made_up == ["entered"]
        assert (resources.state.teapot, resources.state.cups) == ("full", 2)
        with pytest.raises(AttributeError, match=r"no 'kettle'.*there are: cups, teapot"):
            resources.state.kettle  # noqa: B018
        with pytest.raises(AttributeError, match="cannot be set"):
            resources.state.teapot = None
    assert made_up == ["entered", "left"]


def test_a_command_has_the_time_that_the_settings_give(settings: Any) -> None:
    settings.LIFESPAN_STARTUP_TIMEOUT, settings.LIFESPAN_SHUTDOWN_TIMEOUT = 3.0, 2.0
    resources = Resources()
    assert (resources.startup_timeout, resources.shutdown_timeout) == (3.0, 2.0)
    assert Resources(startup_timeout=1.0).startup_timeout == 1.0


def pour(request: Any) -> HttpResponse:
    return HttpResponse(f"{request.state.teapot} {len(request.request_id)}")


urlpatterns = [path("pour/", pour)]


@pytest.mark.urls(__name__)
def test_a_view_gets_it_by_any_client_or_factory(
    made_up: list[str], client: Client, rf: RequestFactory
) -> None:
    assert client.get("/pour/").content == b"full 32"
    assert pour(rf.get("/")).content == b"full 32"


def test_an_empty_state_says_why() -> None:
    with pytest.raises(AttributeError, match="this server ran no lifespan"):
        State({}).client  # noqa: B018
    assert not hasattr(Resources().state, "client")
    with pytest.raises(
        AttributeError, match=r"no lifespan ran in this process\. `python -m serving`"
    ):
        HttpRequest().state.client  # type: ignore[attr-defined]  # noqa: B018
