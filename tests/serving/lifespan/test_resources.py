"""The lifespan protocol, spoken to the project's own ASGI application."""

import asyncio
import copy
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from types import SimpleNamespace
from typing import Any

import pytest
from config.asgi import application
from django.http import HttpRequest, HttpResponse
from django.test import Client, RequestFactory
from django.urls import path
from serving.lifespan import resources as lifespan_resources
from serving.lifespan.resources import LifespanError, Resources
from serving.lifespan.state import UNSERVED, State, origin_of, state_of


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
        with pytest.raises(AttributeError, match="cannot be deleted"):
            del resources.state.teapot
        assert repr(resources.state) == "<State: cups, teapot>"
        assert copy.deepcopy(resources.state).teapot == "full"
    assert made_up == ["entered", "left"]


def test_it_tells_which_app_opened_what_and_in_how_long(made_up: list[str]) -> None:
    with Resources() as resources:
        (started,) = origin_of(resources.state).started
        assert (started.app, started.names) == ("teahouse", ("teapot", "cups"))
        assert started.seconds >= 0
    assert origin_of(resources.state).started == [], "it was left"
    assert origin_of(State({})).public_problem == "this server ran no lifespan"


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
    assert repr(State({})) == "<State: empty>"
    with pytest.raises(AttributeError, match=r"there are: none \(outside a server\)"):
        Resources().state.client  # noqa: B018
    with pytest.raises(
        AttributeError, match=r"no lifespan ran in this process\. `python -m serving`"
    ):
        HttpRequest().state.client  # type: ignore[attr-defined]  # noqa: B018


async def a_coroutine() -> None: ...


def lifespan_of(*yielded: object) -> Any:
    @asynccontextmanager
    async def lifespan() -> AsyncIterator[Any]:
        for each in yielded:
            yield each

    return lifespan


@pytest.mark.parametrize(
    ("lifespan", "says"),
    [
        (None, "lifespan.py defines no function `lifespan`"),
        ("tea", "lifespan.py defines no function `lifespan`"),
        (a_coroutine, "lifespan() returns a coroutine, not an async context manager"),
        (lambda: None, "lifespan() returns a NoneType, not an async context manager"),
        (lifespan_of(), "lifespan() never yields; it must yield once, a mapping"),
        (lifespan_of(None), "lifespan() yields NoneType, not a mapping"),
        (lifespan_of({1: 2}), "lifespan() yields the name 1, which can't be an attribute"),
        (lifespan_of({"a b": 2}), "lifespan() yields the name 'a b', which can't be an attribute"),
        (lifespan_of({"class": 2}), "lifespan() yields the name 'class', which can't be an attri"),
        (lifespan_of({"_own": 2}), "lifespan() yields the name '_own', which can't be an attribute"),
        (lifespan_of({"cups": 2}), "lifespan() yields 'cups', as shop does; rename one"),
    ],
)  # fmt: skip
def test_a_mistake_in_a_lifespan_is_named_with_its_app(
    monkeypatch: pytest.MonkeyPatch, lifespan: Any, says: str
) -> None:
    left: list[str] = []

    @asynccontextmanager
    async def shop() -> AsyncIterator[dict[str, object]]:
        yield {"cups": 1}
        left.append("shop")

    monkeypatch.setattr(lifespan_resources, "apps_with_lifespan", lambda: ["shop", "teahouse"])
    monkeypatch.setitem(sys.modules, "shop.lifespan", SimpleNamespace(lifespan=shop))
    monkeypatch.setitem(sys.modules, "teahouse.lifespan", SimpleNamespace(lifespan=lifespan))
    with pytest.raises(LifespanError) as wrong, Resources():
        raise AssertionError("not entered")
    assert str(wrong.value).startswith(f"teahouse: {says}")
    kind = "RuntimeError" if "never" in says else "LifespanError"  # contextlib's own
    assert wrong.value.public == f"teahouse: {kind}"
    assert left == ["shop"]


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (RuntimeError("no tea"), "RuntimeError: no tea"),
        (ValueError(" no tea\nat all"), "ValueError: no tea"),
        (ValueError(), "ValueError"),
        (ValueError("generator didn't yield"), "ValueError: generator didn't yield"),
    ],
)
def test_an_error_is_told_by_its_first_line(
    monkeypatch: pytest.MonkeyPatch, error: Exception, says: str
) -> None:
    @asynccontextmanager
    async def lifespan() -> AsyncIterator[Any]:
        raise error
        yield {}

    monkeypatch.setattr(lifespan_resources, "apps_with_lifespan", lambda: ["teahouse"])
    monkeypatch.setitem(sys.modules, "teahouse.lifespan", SimpleNamespace(lifespan=lifespan))
    with pytest.raises(LifespanError) as wrong, Resources():
        raise AssertionError("not entered")
    assert str(wrong.value) == f"teahouse: {says}"
    assert wrong.value.public == f"teahouse: {type(error).__name__}"
    assert wrong.value.__cause__ is error


def wait_for_end(loop: asyncio.AbstractEventLoop) -> None:
    until = time.monotonic() + 30
    while not loop.is_closed():
        assert time.monotonic() < until
        time.sleep(0.001)


def test_a_lifespan_that_ends_by_itself_is_told_of_at_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def fail() -> None:
        raise ValueError("no tea")

    @asynccontextmanager
    async def lifespan() -> AsyncIterator[Any]:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(fail())
            yield {}

    monkeypatch.setattr(lifespan_resources, "apps_with_lifespan", lambda: ["teahouse"])
    monkeypatch.setitem(sys.modules, "teahouse.lifespan", SimpleNamespace(lifespan=lifespan))
    opened = Resources()
    with pytest.raises(RuntimeError, match="a lifespan ended by itself"), opened:
        wait_for_end(opened.loop)
    assert state_of(None, empty=UNSERVED) is UNSERVED


def test_a_lifespan_that_yields_twice_is_told_so_when_it_is_left(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(lifespan_resources, "apps_with_lifespan", lambda: ["teahouse"])
    lifespan = SimpleNamespace(lifespan=lifespan_of({}, {}))
    monkeypatch.setitem(sys.modules, "teahouse.lifespan", lifespan)

    async def main() -> list[str]:
        opened = Resources()
        await opened.enter()
        return [str(failure) for failure in await opened.leave()]

    assert asyncio.run(main()) == ["teahouse: lifespan() yields twice; it must yield once"]
    assert (
        "shutdown failed: teahouse: lifespan() yields twice; it must yield once" in caplog.messages
    )


def test_each_app_is_watched_for_as_long_as_it_may_take(monkeypatch: pytest.MonkeyPatch) -> None:
    watched: list[tuple[str, float]] = []

    @contextmanager
    def guard(opened: Resources, seconds: float) -> Iterator[None]:
        watched.append((opened.at_work, seconds))
        yield

    monkeypatch.setattr(lifespan_resources, "apps_with_lifespan", lambda: ["shop", "teahouse"])
    for app in ("shop", "teahouse"):
        lifespan = SimpleNamespace(lifespan=lifespan_of({}))
        monkeypatch.setitem(sys.modules, f"{app}.lifespan", lifespan)

    async def main() -> None:
        opened = Resources(startup_timeout=40.0, shutdown_timeout=20.0, guard=guard)
        await opened.enter()
        assert await opened.leave() == []

    asyncio.run(main())
    assert [app for app, _ in watched] == ["shop", "teahouse", "teahouse", "shop"]
    for (_, seconds), limit in zip(watched, (40, 40, 20, 20), strict=True):
        assert limit - 10 < seconds <= limit


def test_what_was_opened_last_is_what_a_request_gets(made_up: list[str]) -> None:
    with Resources() as first:
        assert state_of(None, empty=UNSERVED).teapot == "full"
        with Resources():
            pass
        assert state_of({"state": {}}, empty=UNSERVED).cups == 2
        assert state_of({"state": {"teapot": "its own"}}, empty=UNSERVED).teapot == "its own"
        assert first.state.teapot == "full"
    assert state_of(None, empty=UNSERVED) is UNSERVED
    assert first.items == {}
