"""Signals that a server's event loop loses, and those that come before there is one."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec, module_from_spec
from inspect import signature
from types import FrameType, SimpleNamespace
from typing import Any

import pytest
import rloop
import uvloop
from serving.stopping import signals
from serving.stopping.signals import SIGNALS, Stopping, set_loop_signals

LOOPS = [uvloop.new_event_loop, rloop.new_event_loop, asyncio.new_event_loop]


@pytest.fixture
def handlers() -> Iterator[None]:
    """Restores the signals' handlers."""
    before = {number: signal.getsignal(number) for number in SIGNALS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


class Worker:
    """What Granian does on an event loop; `heard` counts the calls of its handler."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.heard = 0
        self.stopping = Stopping()
        monkeypatch.setattr(signals, "stopping", self.stopping)
        told = SimpleNamespace(set=self.set)
        monkeypatch.setattr("granian._granian.WorkerSignal", lambda: told)

    def set(self) -> None:
        self.heard += 1

    def run(self, loop: Any, main: Any) -> None:
        failed: list[Any] = []
        with asyncio.Runner(loop_factory=loop) as runner:
            runner.get_loop().set_exception_handler(lambda loop, context: failed.append(context))
            set_loop_signals(runner.get_loop())
            runner.run(main())
        assert failed == []


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch, handlers: None) -> Worker:
    return Worker(monkeypatch)


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_between_startup_and_serving_reaches_the_server(
    worker: Worker, loop: Any, number: int
) -> None:
    """The loop stands still then, and some loops lose a signal."""
    stopping = worker.stopping
    with asyncio.Runner(loop_factory=loop) as runner:
        set_loop_signals(runner.get_loop())

        async def start() -> None:
            with stopping.startup():
                assert stopping.end_startup()

        async def serve() -> None:
            assert await stopping.wait(30)
            await asyncio.sleep(0)

        runner.run(start())
        os.kill(os.getpid(), number)
        assert stopping.is_set()
        assert worker.heard == 0, "it is told by the loop"
        runner.run(serve())
    assert worker.heard == 1


@pytest.mark.parametrize("loop", LOOPS)
def test_a_server_whose_startup_is_given_up_is_told_nothing(worker: Worker, loop: Any) -> None:
    """Granian's handler blocks when it is called twice before it serves."""

    async def main() -> None:
        with worker.stopping.startup():
            for number in (*SIGNALS, signal.SIGTERM):
                os.kill(os.getpid(), number)
            assert await worker.stopping.wait(30)
            assert not worker.stopping.end_startup()
            await asyncio.sleep(0.1)

    worker.run(loop, main)
    assert worker.heard == 0


@pytest.mark.parametrize("loop", LOOPS)
def test_a_server_that_serves_is_told_once(worker: Worker, loop: Any) -> None:
    """Granian's handler blocks when it is called again and again while responses are open."""
    called = []

    async def main() -> None:
        worker.stopping.add_callback(lambda: called.append("before"))
        for number in (*SIGNALS, *SIGNALS):
            os.kill(os.getpid(), number)
            await asyncio.sleep(0.05)
        assert await worker.stopping.wait(30)
        worker.stopping.add_callback(lambda: called.append("after"))

    worker.run(loop, main)
    assert worker.heard == 1
    assert called == ["before", "after"]


def test_nobody_closes_once_more_what_rloop_has_closed(worker: Worker) -> None:
    """By then the numbers may be another thread's: of its connection to the database, say."""
    pair: list[Any] = []

    async def main() -> None:
        loop: Any = asyncio.get_running_loop()
        pair.extend([loop._ssock_r, loop._ssock_w])

    worker.run(rloop.new_event_loop, main)
    assert [each.fileno() for each in pair] == [-1, -1]


@pytest.mark.parametrize("loop", LOOPS)
def test_an_idle_loop_learns_of_a_signal_from_another_process(worker: Worker, loop: Any) -> None:
    async def main() -> None:
        sender = f"import os, time; time.sleep(0.2); os.kill({os.getpid()}, {signal.SIGTERM:d})"
        await asyncio.create_subprocess_exec(sys.executable, "-c", sender)
        assert await worker.stopping.wait(30)

    worker.run(loop, main)
    assert worker.heard == 1


def test_granian_asks_for_its_signals_by_the_function_that_is_replaced(
    monkeypatch: pytest.MonkeyPatch, handlers: None
) -> None:
    """When Granian's own handler can be called twice, `set_loop_signals` can go."""
    spec = find_spec("granian._signals")
    assert spec
    assert spec.loader
    fresh: Any = module_from_spec(spec)
    spec.loader.exec_module(fresh)
    names = fresh.set_loop_signals.__code__.co_names
    assert {"WorkerSignal", "add_signal_handler", "_get_signals"} <= set(names)
    assert list(signature(fresh.set_loop_signals).parameters) == ["loop"]

    monkeypatch.setitem(sys.modules, "granian._signals", fresh)
    Stopping().install()
    assert fresh.set_loop_signals is set_loop_signals


def test_a_server_with_a_handler_of_its_own_is_told_each_time(handlers: None) -> None:
    heard = []

    async def main() -> None:
        stopping = Stopping()
        with stopping.startup():
            assert stopping.end_startup()
            called = asyncio.Event()
            stopping.add_callback(called.set)
            signal.raise_signal(signal.SIGTERM)
            await called.wait()

    def handle(number: int, frame: object) -> None:
        assert isinstance(frame, FrameType)
        heard.append(number)

    signal.signal(signal.SIGTERM, handle)
    asyncio.run(main())
    assert heard == [signal.SIGTERM]
    assert signal.getsignal(signal.SIGTERM) is handle


def test_a_wait_ends_after_its_time() -> None:
    async def main() -> None:
        stopping = Stopping()
        assert not stopping.is_set()
        async with asyncio.timeout(5):
            assert await stopping.wait(0.001) is False

    asyncio.run(main())


def test_a_server_that_loads_the_application_on_its_loop_is_heard_there(handlers: None) -> None:
    """As uvicorn does, which has handlers of its own by then."""
    heard: list[int] = []

    async def main() -> None:
        signal.signal(signal.SIGTERM, lambda number, frame: heard.append(number))
        stopping = Stopping()
        stopping.install()
        signal.raise_signal(signal.SIGTERM)
        assert await stopping.wait(5)

    asyncio.run(main())
    assert heard == [signal.SIGTERM]


@pytest.mark.parametrize("closed", [False, True])
def test_a_signal_while_the_loop_stands_still_is_the_servers_own_to_handle(
    handlers: None, closed: bool
) -> None:
    heard: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, frame: heard.append(number))
    stopping = Stopping()
    loop = asyncio.new_event_loop()
    try:
        stopping.listen(loop)
        if closed:
            loop.close()
        signal.raise_signal(signal.SIGTERM)
    finally:
        loop.close()
    assert stopping.is_set()
    assert heard == [signal.SIGTERM]


@pytest.mark.parametrize(
    ("handler", "status", "said"),
    [("inherited", 0, "inherited\n"), ("default", -signal.SIGTERM, "")],
)
def test_a_signal_before_there_is_a_loop_ends_the_process(
    handler: str, status: int, said: str
) -> None:
    """As in a worker that inherits the handler of another process, which would lose it."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.sites.programs.hear_early", handler],
        capture_output=True,
        text=True,
        env={**os.environ},
    )
    assert (done.returncode, done.stdout, done.stderr) == (status, said, "")
