"""What a server and the lifespan protocol say to each other, and what happens to the apps meanwhile."""

import asyncio
import logging
import signal
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from typing import Any

import pytest
from serving.lifespan import protocol, resources
from serving.lifespan.protocol import Lifespan
from serving.lifespan.state import ORIGIN, State

type App = Callable[[], AbstractAsyncContextManager[Mapping[str, object]]]


class Server:
    """The server's side: what it was sent, and the state that its requests get."""

    def __init__(self, **options: Any) -> None:
        self.app = Lifespan(self.answer, **options)
        self.sent: list[str] = []
        self.asked: list[Any] = []
        self.state: dict[str, Any] = {}
        self.told: asyncio.Queue[str] = asyncio.Queue()

    async def answer(self, *asked: Any) -> None:
        self.asked.append(asked)

    async def receive(self) -> dict[str, str]:
        return {"type": await self.told.get()}

    async def send(self, message: dict[str, str]) -> None:
        assert message.get("message", "") == "", "it is in the log"
        self.sent.append(message["type"].removeprefix("lifespan."))

    def start(self) -> asyncio.Task[None]:
        """Tells it to start."""

        async def run() -> None:
            await self.app({"type": "lifespan", "state": self.state}, self.receive, self.send)

        self.told.put_nowait("lifespan.startup")
        return asyncio.create_task(run())

    def stop(self) -> None:
        """Tells it to shut down."""
        self.told.put_nowait("lifespan.shutdown")

    async def until(self, sent: str) -> None:
        await until(lambda: sent in self.sent)


async def until(condition: Callable[[], bool]) -> None:
    while not condition():
        await asyncio.sleep(0.001)


def run(main: Callable[[], Any]) -> None:
    async def limited() -> None:
        async with asyncio.timeout(50):
            await main()

    asyncio.run(limited())


class House:
    """An app, "teahouse": what happened to it."""

    def __init__(self) -> None:
        self.happened: list[str] = []
        self.opens = asyncio.Event()
        self.opens.set()

    @asynccontextmanager
    async def lifespan(self) -> AsyncIterator[Mapping[str, object]]:
        self.happened.append("comes")
        await self.opens.wait()
        self.happened.append("entered")
        yield {"tea": "oolong"}
        self.happened.append("left")


@pytest.fixture
def enter(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[App], None]]:
    """Makes an app's lifespan the only one."""

    def only(lifespan: App) -> None:
        monkeypatch.setattr(resources, "apps_with_lifespan", lambda: ["teahouse"])
        monkeypatch.setattr(resources, "open_context", lambda app: lifespan())

    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    signal.signal(signal.SIGTERM, lambda number, frame: None)  # the server's own
    yield only
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def house(enter: Callable[[App], None]) -> House:
    made = House()
    enter(made.lifespan)
    return made


def test_the_order_to_stop_leaves_the_apps_to_the_requests_in_flight(house: House) -> None:
    """They are left once the server says that it has answered all of them."""

    async def main() -> None:
        server = Server(mode="required", drain_timeout=40.0)
        task = server.start()
        await server.until("startup.complete")
        signal.raise_signal(signal.SIGTERM)
        assert await protocol.stopping.wait(30)
        for _ in range(20):
            await asyncio.sleep(0)
            assert State(server.state).tea == "oolong"
        assert house.happened == ["comes", "entered"]
        server.stop()
        await task
        assert house.happened == ["comes", "entered", "left"]
        assert server.sent == ["startup.complete", "shutdown.complete"]

    run(main)


def test_a_server_that_does_not_shut_down_has_its_apps_left_anyway(
    house: House, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    slept: list[float] = []
    sleep = asyncio.sleep

    async def short(seconds: float, *more: Any) -> None:
        if seconds > 1:
            slept.append(seconds)
        await sleep(min(seconds, 0.001), *more)

    monkeypatch.setattr(asyncio, "sleep", short)

    async def main() -> None:
        server = Server(mode="required", drain_timeout=40.0)
        task = server.start()
        await server.until("startup.complete")
        assert slept == [], "nothing is overdue before the order"
        signal.raise_signal(signal.SIGTERM)
        await until(lambda: "left" in house.happened)
        assert slept == [41.0]
        assert "shutdown.complete" not in server.sent, "it was not asked yet"
        server.stop()
        await task
        assert server.sent == ["startup.complete", "shutdown.complete"]

    run(main)
    assert "leaving the lifespans: the server does not stop by itself" in caplog.messages


def test_a_startup_is_given_up_once_the_order_comes(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    house.opens.clear()

    async def main() -> None:
        server = Server(mode="required")
        task = server.start()
        await until(lambda: house.happened == ["comes"])
        signal.raise_signal(signal.SIGTERM)
        await task
        assert not task.cancelling()
        assert server.sent == ["startup.failed"]
        assert ORIGIN not in server.state

    run(main)
    assert house.happened == ["comes"]
    assert "startup given up: the server was told to stop" in caplog.messages
    assert not [record for record in caplog.records if record.levelno > logging.WARNING]


def test_an_app_that_started_in_spite_of_the_order_is_left(enter: Callable[[App], None]) -> None:
    happened: list[str] = []

    @asynccontextmanager
    async def stubborn() -> AsyncIterator[Mapping[str, object]]:
        signal.raise_signal(signal.SIGTERM)  # and nothing is awaited, so nothing can be cancelled
        happened.append("entered")
        yield {}
        happened.append("left")

    enter(stubborn)

    async def main() -> None:
        server = Server(mode="optional")
        await server.start()
        assert server.sent == ["startup.failed"]

    run(main)
    assert happened == ["entered", "left"]


@pytest.mark.parametrize("mode", ["required", "optional"])
def test_apps_that_end_while_serving_leave_no_state(
    enter: Callable[[App], None], mode: str, caplog: pytest.LogCaptureFixture
) -> None:
    """What they yielded is closed by now: a view is told so, and does not use it."""
    dies = asyncio.Event()

    async def work() -> None:
        await dies.wait()
        raise ConnectionError("hunter2")

    @asynccontextmanager
    async def lifespan() -> AsyncIterator[Mapping[str, object]]:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(work())
            yield {"tea": "oolong"}

    enter(lifespan)

    async def main() -> None:
        server = Server(mode=mode)
        task = server.start()
        await server.until("startup.complete")
        dies.set()
        await until(lambda: "tea" not in server.state)
        with pytest.raises(AttributeError, match="ended while serving: teahouse: "):
            State(server.state).tea  # noqa: B018
        public = server.state[ORIGIN].public_problem
        assert public.startswith("ended while serving: teahouse: ")
        assert public.endswith("; the log says more")
        assert "hunter2" not in public
        assert not task.done(), "the server is not told before it asks"
        server.stop()
        await task
        assert server.sent == ["startup.complete", "shutdown.failed"]

    run(main)
    (record,) = [record for record in caplog.records if record.levelno == logging.CRITICAL]
    assert record.getMessage().startswith("ended while serving: teahouse: ")


def test_a_server_that_cancels_has_its_apps_left_and_the_cancellation_goes_on(house: House) -> None:
    async def main() -> None:
        server = Server(mode="required")
        task = server.start()
        await server.until("startup.complete")
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert server.sent == ["startup.complete"]

    run(main)
    assert house.happened == ["comes", "entered", "left"]


def test_a_server_that_cancels_the_startup_is_told_that_it_failed(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    house.opens.clear()

    async def main() -> None:
        server = Server(mode="required")
        task = server.start()
        await until(lambda: house.happened == ["comes"])
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert server.sent == ["startup.failed"]

    run(main)
    assert "startup failed: teahouse: its task was cancelled" in caplog.messages


@asynccontextmanager
async def breaks() -> AsyncIterator[Mapping[str, object]]:
    raise ConnectionError("hunter2")
    yield {}


@pytest.mark.parametrize("level", [logging.DEBUG, logging.INFO])
def test_an_optional_lifespan_that_fails_leaves_a_server_without(
    enter: Callable[[App], None], caplog: pytest.LogCaptureFixture, level: int
) -> None:
    enter(breaks)

    async def main() -> None:
        server = Server(mode="optional")
        task = server.start()
        await server.until("startup.complete")
        with pytest.raises(AttributeError, match="startup failed: teahouse: ConnectionError: hun"):
            State(server.state).tea  # noqa: B018
        public = "startup failed: teahouse: ConnectionError; the log says more"
        assert server.state[ORIGIN].public_problem == public
        assert server.state[ORIGIN].mode == "LIFESPAN=optional"
        server.stop()
        await task
        assert server.sent == ["startup.complete", "shutdown.complete"]

    with caplog.at_level(level, "serving"):
        run(main)
    (record,) = [record for record in caplog.records if record.levelno == logging.WARNING]
    said = record.getMessage()
    assert said.startswith("startup failed: teahouse: ConnectionError: hunter2; serving without")
    assert ("GRANIAN_LOG_LEVEL=debug" in said) == (level == logging.INFO)
    assert bool(record.exc_info and record.exc_info[1]) == (level == logging.DEBUG)


def test_a_required_lifespan_that_fails_ends_the_start_and_shows_why(
    enter: Callable[[App], None], caplog: pytest.LogCaptureFixture
) -> None:
    enter(breaks)

    async def main() -> None:
        server = Server(mode="required")
        await server.start()
        assert (server.sent, server.state) == (["startup.failed"], {})

    run(main)
    (record,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert record.getMessage() == "startup failed: teahouse: ConnectionError: hunter2"
    assert record.exc_info
    assert isinstance(record.exc_info[1], ConnectionError)


def test_disabled_enters_nothing_and_says_so(house: House) -> None:
    async def main() -> None:
        server = Server(mode="disabled")
        task = server.start()
        await server.until("startup.complete")
        with pytest.raises(AttributeError, match="no lifespan runs, since LIFESPAN=disabled"):
            State(server.state).tea  # noqa: B018
        server.stop()
        await task
        assert server.sent == ["startup.complete", "shutdown.complete"]

    run(main)
    assert house.happened == []


def test_apps_that_block_the_loop_are_watched(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    watched: list[str] = []

    @contextmanager
    def guard(opened: Any, seconds: float) -> Iterator[None]:
        watched.append(opened.at_work)
        yield

    monkeypatch.setattr(protocol, "ended_if_blocked", guard)

    async def main() -> None:
        server = Server(mode="required")
        task = server.start()
        server.stop()
        await task

    run(main)
    assert watched == ["teahouse", "teahouse"]


@pytest.mark.parametrize("when", ["enter", "leave"])
def test_apps_that_hung_are_named_to_what_ends_the_process(
    enter: Callable[[App], None], monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    hung: list[list[str]] = []
    monkeypatch.setattr(protocol, "end_without_threads", hung.append)

    @asynccontextmanager
    async def hangs() -> AsyncIterator[Mapping[str, object]]:
        if when == "enter":
            await asyncio.Event().wait()
        yield {}
        if when == "leave":
            await asyncio.Event().wait()

    enter(hangs)

    async def main() -> None:
        startup = 0.01 if when == "enter" else 40.0
        server = Server(mode="required", startup_timeout=startup, shutdown_timeout=0.01)
        task = server.start()
        server.stop()
        await task
        assert server.sent[-1] == ("startup.failed" if when == "enter" else "shutdown.failed")

    run(main)
    assert hung == [["teahouse"]]


def test_requests_go_to_the_application_as_they_are() -> None:
    async def main() -> None:
        server = Server(mode="required")
        for kind in ("http", "websocket"):
            scope, receive, send = {"type": kind}, object(), object()
            await server.app(scope, receive, send)  # type: ignore[arg-type]
            assert server.asked.pop() == (scope, receive, send)
        with pytest.raises(TypeError, match="ASGI application"):
            server.app({"type": "http"}, server.receive)

    run(main)
