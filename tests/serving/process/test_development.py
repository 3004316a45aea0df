"""What a developer's server has beside the server: the error in the browser, and a terminal for debuggers."""

import asyncio
import os
import pty
import subprocess
import sys
import termios
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from serving.process import development
from serving.process.development import (
    StartError,
    is_developers,
    open_terminal,
    restore_terminal,
)


@pytest.mark.parametrize("flags", [{"reload": True}, {"reload": False}, {}])
def test_a_server_that_starts_anew_after_an_edit_is_a_developers(
    monkeypatch: pytest.MonkeyPatch, flags: dict[str, bool]
) -> None:
    monkeypatch.setattr(development, "granian_flags", lambda: flags)
    assert is_developers() is flags.get("reload", False)


def talk(app: Any, kind: str) -> list[Any]:
    """What an application sends, and `None` wherever it receives something."""
    said: list[Any] = []

    async def receive() -> dict[str, str]:
        said.append(None)
        return {}

    async def send(message: Any) -> None:
        said.append(message)

    asyncio.run(app({"type": kind}, receive, send))
    return said


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (ValueError, "ValueError: no tea \\udce9"),
        (ImproperlyConfigured, "no tea \\udce9"),
        (SystemExit, "no tea \\udce9"),
    ],
)
def test_every_request_is_answered_with_the_error(kind: type[BaseException], text: str) -> None:
    try:
        raise kind("no tea \udce9")  # of a path that is no UTF-8, say
    except BaseException as error:
        app = StartError(error)
    for _ in range(2):
        start, end = talk(app, "http")
        assert start == {
            "type": "http.response.start",
            "status": 500,
            "headers": [
                (b"content-type", b"text/plain; charset=utf-8"),
                (b"cache-control", b"no-store"),
                (b"x-content-type-options", b"nosniff"),
            ],
        }
        assert end.keys() == {"type", "body"}
        assert end["type"] == "http.response.body"
        first, empty, traceback, where, *_, last = end["body"].decode().splitlines()
        assert first == f"Django does not start: {text}"
        assert (empty, traceback) == ("", "Traceback (most recent call last):")
        assert where.startswith(f'  File "{__file__}", line ')
        assert last.endswith(f"{kind.__name__}: no tea \\udce9")


def test_the_server_starts_with_the_error_and_stops() -> None:
    started, stopped = {"type": "lifespan.startup.complete"}, {"type": "lifespan.shutdown.complete"}
    assert talk(StartError(ValueError()), "lifespan") == [None, started, None, stopped]
    assert talk(StartError(ValueError()), "websocket") == []


@pytest.fixture
def terminal() -> Iterator[tuple[int, int]]:
    """The ends of a terminal: what a person types at, and what a program has."""
    ends = pty.openpty()
    yield ends
    for end in ends:
        os.close(end)


def test_a_worker_gets_its_terminal_back_as_it_was_before_a_debugger(
    terminal: tuple[int, int],
) -> None:
    person, program = terminal
    sane = termios.tcgetattr(program)
    sane[1] |= termios.ONOCR  # one that is none of ours
    termios.tcsetattr(program, termios.TCSANOW, sane)
    left = termios.tcgetattr(program)
    left[0] &= ~termios.ICRNL
    left[1] &= ~(termios.OPOST | termios.ONLCR)
    left[3] &= ~(termios.ECHO | termios.ICANON | termios.IEXTEN | termios.ISIG)
    assert left[0] != sane[0]
    assert left[1] != sane[1]
    assert left[3] != sane[3]
    termios.tcsetattr(program, termios.TCSANOW, left)
    os.write(person, b"tea\n")
    done = subprocess.run(
        [sys.executable, "-m", "tests.sites.programs.open_a_terminal", str(program)],
        stdin=subprocess.DEVNULL,
        pass_fds=[program],
        capture_output=True,
        text=True,
        start_new_session=True,
        timeout=50,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "tea\n", "")
    assert termios.tcgetattr(program) == sane


@pytest.mark.parametrize("chosen", [None, "ipdb.set_trace"])
def test_without_a_terminal_a_breakpoint_is_refused_unless_its_debugger_needs_none(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, chosen: str | None
) -> None:
    monkeypatch.setattr(development, "TERMINAL", str(tmp_path / "nosuch"))
    monkeypatch.setattr(sys, "breakpointhook", before := object())
    monkeypatch.delenv("PYTHONBREAKPOINT", raising=False)
    if chosen:
        monkeypatch.setenv("PYTHONBREAKPOINT", chosen)
    stdin = sys.stdin
    open_terminal()
    assert sys.stdin is stdin
    if chosen:
        assert sys.breakpointhook is before
    else:
        with pytest.raises(RuntimeError, match="this server has no terminal to type in"):
            breakpoint(header="tea")


@pytest.mark.parametrize("group", [os.tcgetpgrp, lambda terminal: os.getpgrp()])
def test_a_terminal_that_is_gone_by_now_is_no_error(
    monkeypatch: pytest.MonkeyPatch, group: Any
) -> None:
    monkeypatch.setattr(development, "TERMINAL", os.devnull)  # which no call takes for a terminal
    monkeypatch.setattr(os, "tcgetpgrp", group)
    restore_terminal()
