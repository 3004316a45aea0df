"""The lifespan protocol, spoken to the project's own ASGI application."""

import asyncio
from typing import Any

import pytest

from config.asgi import application
from serving.lifespan import Resources
from serving.state import ORIGIN, State


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
    assert State(state).started_at


def test_the_state_names_what_there_is_and_cannot_be_changed() -> None:
    with Resources() as resources:
        with pytest.raises(AttributeError, match=r"no 'client'.*there are: started_at"):
            resources.state.client  # noqa: B018
        with pytest.raises(AttributeError, match="cannot be set"):
            resources.state.started_at = None


def test_an_empty_state_says_why() -> None:
    with pytest.raises(AttributeError, match="this server ran no lifespan"):
        State({}).client  # noqa: B018
    assert not hasattr(State({ORIGIN: Resources()}), "client")
