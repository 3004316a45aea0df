"""Runs pytest again and again, each time in a fork of a process that has imported what is slow to import.

Reads a line of JSON for each run: pytest's arguments, the seconds it may take, and the folder of whose
modules the lines that run are wanted, if they are. Answers with the status, None after a timeout, the
seconds, and the lines. What a run has started is killed at its end.
"""

import importlib
import json
import os
import signal
import sys
import time
from contextlib import suppress
from types import CodeType
from typing import NoReturn

sys.path[0] = os.getcwd()
for name in sys.argv[1:]:
    with suppress(ImportError):
        importlib.import_module(name)

import pytest  # noqa: E402  # from the project's own folder


def record(folder: str) -> set[tuple[str, int]]:
    """Notes which lines run, until the process ends."""
    seen: set[tuple[str, int]] = set()

    def note(code: CodeType, line: int) -> object:
        if code.co_filename.startswith(folder):
            seen.add((code.co_filename, line))
        return sys.monitoring.DISABLE

    sys.monitoring.use_tool_id(5, "mutants")
    sys.monitoring.register_callback(5, sys.monitoring.events.LINE, note)
    sys.monitoring.set_events(5, sys.monitoring.events.LINE)
    return seen


def run(arguments: list[str], folder: str | None, answer: int) -> NoReturn:
    os.setsid()
    with open(os.devnull, "r+b") as nowhere:
        for number in range(3):
            os.dup2(nowhere.fileno(), number)
    seen = record(folder) if folder else set()
    status = pytest.main(arguments)
    with os.fdopen(answer, "w") as file:
        json.dump(sorted(seen), file)
    os._exit(status)


def ended(child: int, seconds: float) -> int | None:
    """The status of a child, or None if it is not over in time."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        number, status = os.waitpid(child, os.WNOHANG)
        if number:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.01)
    return None


for line in sys.stdin:
    arguments, seconds, folder = json.loads(line)
    began = time.monotonic()
    lines = os.memfd_create("lines")
    child = os.fork()
    if not child:
        run(arguments, folder, lines)
    status = ended(child, seconds)
    with suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)
    if status is None:
        with suppress(ChildProcessError):
            os.waitpid(child, 0)
    with os.fdopen(lines) as file:
        file.seek(0)
        text = file.read()
    print(json.dumps([status, time.monotonic() - began, json.loads(text or "[]")]), flush=True)
