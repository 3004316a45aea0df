"""The handler of every log record, and what it writes to."""

import asyncio
import json
import logging
import os
import select
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from serving.log.formats import EcsFormatter
from serving.log.output import LogHandler, log_stream

from tests.serving.log.records import access_record, record, written


def hold(handler: LogHandler, *records: logging.LogRecord) -> None:
    """Has the handler hold records, in an event loop that is over before they are due."""

    async def hold_all() -> None:
        for each in records:
            handler.hold(each)

    asyncio.run(hold_all())


def test_what_is_held_comes_before_the_next_record_and_a_bad_one_loses_no_others(
    stdout: LogHandler, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = record("", {"path": "/"}, name="granian.access")  # less than Granian gives
    hold(stdout, record("first"), bad, access_record(path="/livez"), record("last"))
    stdout.handle(record("afterwards"))

    assert [line["message"] for line in written(stdout)] == ["first", "last", "afterwards"]
    assert "what granian.access logged was lost: KeyError" in capsys.readouterr().err


def test_pieces_are_no_longer_than_a_pipe_takes_as_a_whole(
    stdout: LogHandler, monkeypatch: pytest.MonkeyPatch
) -> None:
    pieces: list[str] = []
    monkeypatch.setattr(stdout.stream, "write", pieces.append)
    longest = "茶" * select.PIPE_BUF
    hold(
        stdout, *[record("/茶" * 100) for _ in range(25)], record(longest), record("a"), record("b")
    )
    stdout.write_held()

    assert 3 < len(pieces) < 25
    assert [len(piece.encode()) > select.PIPE_BUF for piece in pieces].count(True) == 1
    assert all(piece.endswith("\n") for piece in pieces)
    assert sum(piece.count("\n") for piece in pieces) == 28


def test_a_process_that_is_forked_writes_nothing_of_its_parent(
    stdout: LogHandler, monkeypatch: pytest.MonkeyPatch
) -> None:
    hold(stdout, record("the parent's"))
    monkeypatch.setattr(os, "getpid", lambda: -1)
    stdout.write_held()
    assert written(stdout) == []

    hold(stdout, record("its own"))
    stdout.write_held()
    assert [line["message"] for line in written(stdout)] == ["its own"]


def test_a_pipe_that_nobody_reads_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    reader, writer = os.pipe()
    with open(reader, "rb") as read, open(writer, "w") as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        handler = LogHandler()
        handler.setFormatter(EcsFormatter())
        for number in range(1000):  # more than a pipe holds
            handler.handle(record(f"{number} {'x' * 200}"))

        lines = (json.loads(read.readline())["message"] for _ in range(1000))
        assert [int(line.split()[0]) for line in lines] == list(range(1000))


def test_a_file_gets_utf_8_whatever_the_locale_and_stays_as_it_was(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = tmp_path / "log"
    with open(path, "w", encoding="ascii") as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        handler = LogHandler()
        handler.setFormatter(EcsFormatter())
        print("printed before")
        handler.handle(record("Grüße"))
        assert (stream.encoding, stream.errors) == ("ascii", "strict")
        before, line = path.read_text("utf-8").splitlines()
    assert before == "printed before"
    assert json.loads(line)["message"] == "Grüße"


def test_other_threads_get_the_lock_back(stdout: LogHandler) -> None:
    # As logging.shutdown() does, and before Python 3.13 every record.
    stdout.acquire()
    stdout.release()

    def taken_and_given_back() -> bool:
        assert stdout.lock
        taken = stdout.lock.acquire(blocking=False)
        if taken:
            stdout.lock.release()
        return taken

    with ThreadPoolExecutor() as pool:
        assert pool.submit(taken_and_given_back).result()


def test_a_stream_that_breaks_breaks_no_request(
    stdout: LogHandler, capsys: pytest.CaptureFixture[str]
) -> None:
    stdout.stream.close()
    hold(stdout, record("x"))
    stdout.write_held()
    assert "I/O operation on closed file" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("program", "goes_to"),
    [
        ("/srv/app/manage.py", "stderr"),
        ("/srv/venv/bin/django-admin", "stderr"),
        ("/srv/venv/django/__main__.py", "stderr"),
        ("/srv/venv/bin/granian", "stdout"),
    ],
)
def test_the_log_goes_beside_what_a_command_prints(
    monkeypatch: pytest.MonkeyPatch, program: str, goes_to: str
) -> None:
    monkeypatch.setattr(sys, "argv", [program])
    assert log_stream() is getattr(sys, goes_to)
