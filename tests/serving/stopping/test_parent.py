"""A worker whose main process is gone, at a clock that the tests turn."""

import logging
import os
import signal
from types import SimpleNamespace
from typing import Any

import pytest
from serving.stopping import parent
from serving.stopping.parent import watch


class Ended(BaseException):
    """In the place of the process's end."""


class World:
    """The process's parents, one a look; what it does to itself."""

    def __init__(self, parents: list[int]) -> None:
        self.parents = iter(parents)
        self.happened: list[Any] = []

    def getppid(self) -> int:
        return next(self.parents)

    def sleep(self, seconds: float) -> None:
        self.happened.append(f"sleeps {seconds:g}")

    def kill(self, process: int, number: int) -> None:
        assert process == os.getpid()
        self.happened.append(signal.Signals(number).name)

    def exit(self, status: int) -> None:
        self.happened.append(f"exits {status}")
        raise Ended


@pytest.fixture(params=[{}, {"workers_kill_timeout": 7}, {"workers_kill_timeout": None}])
def flags(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    given: dict[str, Any] = request.param
    monkeypatch.setattr(parent, "granian_flags", lambda: given)
    return given


@pytest.mark.parametrize("told", [False, True])
@pytest.mark.parametrize(
    ("parents", "alive", "looks"),
    [
        ([7, 7, 7, 1], [], 2),  # it becomes an orphan
        ([8], [True, True, True, False], 3),  # a fork server is in between
        ([1], [False], 0),  # it is one from the start
    ],
)
def test_it_is_told_to_stop_and_killed_if_it_does_not(
    flags: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    parents: list[int],
    alive: list[bool],
    looks: int,
    told: bool,
) -> None:
    world = World(parents)
    answers = iter(alive)
    monkeypatch.setattr(parent.time, "sleep", world.sleep)
    monkeypatch.setattr(parent.logging, "shutdown", lambda: world.happened.append("log is written"))
    monkeypatch.setattr(parent.stopping, "_told", told)
    for name in ("getppid", "kill"):
        monkeypatch.setattr(os, name, getattr(world, name))
    monkeypatch.setattr(os, "_exit", world.exit)

    with pytest.raises(Ended):
        watch(SimpleNamespace(pid=7, is_alive=lambda: next(answers)))  # type: ignore[arg-type]

    assert world.happened == [
        *["sleeps 1"] * looks,
        *([] if told else ["SIGTERM"]),
        f"sleeps {flags.get('workers_kill_timeout') or 25}",
        "log is written",
        "exits 1",
    ]
    assert [record.levelno for record in caplog.records] == [logging.ERROR, logging.CRITICAL]


@pytest.mark.parametrize("found", [None, SimpleNamespace(pid=7)])
def test_only_what_multiprocessing_has_started_is_watched(
    monkeypatch: pytest.MonkeyPatch, found: Any
) -> None:
    started: list[Any] = []

    class Thread:
        def __init__(self, **options: Any) -> None:
            assert options["daemon"] is True, "it must not keep the process alive"
            self.options = options

        def start(self) -> None:
            started.append((self.options["target"], self.options["args"]))

    monkeypatch.setattr(parent, "Thread", Thread)
    monkeypatch.setattr(parent.multiprocessing, "parent_process", lambda: found)
    parent.stop_without_parent()
    assert started == ([(watch, (found,))] if found else [])
