"""What ends a process that its lifespans would keep from ending: timers that the tests let fire."""

import logging
import os
import threading
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from serving.lifespan.watchdogs import end_without_threads, ended_if_blocked


class Timer:
    """In the place of threading's."""

    made: list["Timer"] = []  # noqa: RUF012

    def __init__(self, seconds: float, function: Callable[[], None]) -> None:
        self.seconds, self.function = seconds, function
        self.daemon = self.started = self.cancelled = False
        self.made.append(self)

    def start(self) -> None:
        assert self.daemon, "or it would keep the process alive itself"
        self.started = True

    def cancel(self) -> None:
        self.cancelled = True


@pytest.fixture(autouse=True)
def happened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was done to end the process."""
    done: list[str] = []
    Timer.made.clear()
    monkeypatch.setattr(threading, "Timer", Timer)
    monkeypatch.setattr(logging, "shutdown", lambda: done.append("log is written"))
    monkeypatch.setattr(os, "_exit", lambda status: done.append(f"exits {status}"))
    return done


HOUSE: Any = SimpleNamespace(at_work="teahouse")


@pytest.mark.parametrize(("seconds", "limit"), [(3.0, 3.5), (-2.0, 0.5)])
def test_a_lifespan_that_blocks_is_shown_where_it_stands(
    happened: list[str], caplog: pytest.LogCaptureFixture, seconds: float, limit: float
) -> None:
    with ended_if_blocked(HOUSE, seconds):
        (timer,) = Timer.made
        assert (timer.seconds, timer.started, timer.cancelled) == (limit, True, False)
        asked = threading.Thread(target=timer.function)
        asked.start()
        asked.join()
    assert timer.cancelled
    assert happened == ["log is written", "exits 1"]
    (record,) = caplog.records
    assert record.levelno == logging.CRITICAL
    said = record.getMessage()
    assert said.startswith("teahouse: blocks the event loop, or ignores its cancellation")
    assert "in test_a_lifespan_that_blocks" in said, "the stack of the thread that blocks"


def test_the_timer_is_stopped_if_the_lifespan_fails() -> None:
    with pytest.raises(KeyError), ended_if_blocked(HOUSE, 1):
        raise KeyError
    assert Timer.made[0].cancelled


@pytest.fixture
def a_thread() -> Iterator[Callable[[bool], threading.Thread]]:
    """Starts a thread that hangs until the test is over."""
    over = threading.Event()
    threads: list[threading.Thread] = []

    def start(daemon: bool) -> threading.Thread:
        thread = threading.Thread(target=over.wait, args=(50,), name="hangs", daemon=daemon)
        threads.append(thread)
        thread.start()
        return thread

    yield start
    over.set()
    for thread in threads:
        thread.join()


@pytest.mark.parametrize("daemon", [False, True])
def test_threads_that_hang_are_named_and_left(
    happened: list[str],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    a_thread: Callable[[bool], threading.Thread],
    daemon: bool,
) -> None:
    hung = a_thread(daemon)
    monkeypatch.setattr(threading, "enumerate", lambda: [threading.main_thread(), hung])
    end_without_threads(["teahouse", "shop"])
    (timer,) = Timer.made
    assert (timer.seconds, timer.started) == (1.0, True)
    assert happened == [], "they get a second"
    timer.function()
    assert happened == ([] if daemon else ["log is written", "exits 1"])
    said = "teahouse, shop: hung, and threads still run: hangs; the process ends anyway"
    assert caplog.messages == ([] if daemon else [said])
