"""Signals that a server's event loop loses, and those that come before there is one."""

import asyncio
import os
import signal
import subprocess
import sys

import pytest
import rloop
import uvloop
from serving.stopping.signals import Stopping

# rloop leaves sockets of its own unclosed.
unclosed = pytest.mark.filterwarnings("ignore:.*socket.*:pytest.PytestUnraisableExceptionWarning")
LOOPS = [
    uvloop.new_event_loop,
    pytest.param(rloop.new_event_loop, marks=unclosed),
    asyncio.new_event_loop,
]


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_that_the_loop_loses_reaches_the_server(loop, number) -> None:
    """As one does that comes between startup and serving, while the loop stands still."""

    async def main() -> None:
        told = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(number, told.set)
        stopping = Stopping()
        stopping.listen(starting=True)
        assert stopping.serve()
        wakeup = signal.set_wakeup_fd(-1)
        signal.raise_signal(number)
        signal.set_wakeup_fd(wakeup)
        assert stopping.is_set()
        async with asyncio.timeout(30):
            await told.wait()
            await stopping.wait()
        stopping.stop_listening()
        # rloop can't remove a handler.
        asyncio.get_running_loop().add_signal_handler(number, lambda: None)

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(main())


@pytest.mark.parametrize("loop", LOOPS)
def test_a_server_that_hears_by_its_loop_is_told_when_it_serves_and_then_no_more(loop) -> None:
    """Granian's handler stands still when it is called too often, or twice before it serves."""
    heard = []

    async def main() -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, heard.append, number)

        starting = Stopping()
        starting.listen(starting=True)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGTERM):
            os.kill(os.getpid(), number)
        assert await starting.wait(30)
        await asyncio.sleep(0.1)
        assert not starting.serve()
        starting.stop_listening()
        assert heard == []

        serving = Stopping()
        serving.listen()
        os.kill(os.getpid(), signal.SIGTERM)
        assert await serving.wait(30)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGINT):
            await asyncio.sleep(0.1)
            os.kill(os.getpid(), number)
        await asyncio.sleep(0.1)
        serving.stop_listening()
        assert heard == [signal.SIGTERM]

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(main())


def test_a_server_with_a_handler_of_its_own_is_told_once() -> None:
    heard = []

    async def main() -> None:
        stopping = Stopping()
        stopping.listen()
        called = asyncio.Event()
        stopping.call(called.set)
        signal.raise_signal(signal.SIGTERM)
        await called.wait()
        stopping.stop_listening()

    before = signal.signal(signal.SIGTERM, lambda number, frame: heard.append(number))
    try:
        asyncio.run(main())
    finally:
        signal.signal(signal.SIGTERM, before)
    assert heard == [signal.SIGTERM]


def test_a_signal_before_there_is_a_loop_ends_the_process() -> None:
    """As in a worker that inherits the handler of another process, which would lose it."""
    code = """
import os, signal
from serving.stopping.signals import stopping
signal.signal(signal.SIGTERM, lambda number, frame: print("inherited", flush=True))
stopping.listen_early()
os.kill(os.getpid(), signal.SIGTERM)
print("goes on")
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env={**os.environ}
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "inherited\n", "")
