"""The handler of every log record, and what it writes to."""

import asyncio
import json
import logging
import os
import select
import socket
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from io import StringIO
from pathlib import Path
from types import SimpleNamespace
from typing import BinaryIO

import pytest
from serving.log import output
from serving.log.formats import EcsFormatter
from serving.log.output import HELD, HELD_SECONDS, LogHandler, log_stream

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
    (long,) = [piece for piece in pieces if len(piece.encode()) > select.PIPE_BUF]
    assert long.count("\n") == 1
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


def test_as_many_as_may_be_held_are_written_at_once_and_one_alone_soon(stdout: LogHandler) -> None:
    async def main() -> None:
        for number in range(HELD - 1):
            stdout.hold(record(str(number)))
        assert written(stdout) == []
        stdout.hold(record("last"))
        assert len(written(stdout)) == HELD
        await asyncio.sleep(2 * HELD_SECONDS)  # the loop keeps the order of what is due
        stdout.hold(record("alone"))
        await asyncio.sleep(2 * HELD_SECONDS)
        assert written(stdout)[HELD]["message"] == "alone"

    asyncio.run(main())


def sockets() -> tuple[int, int]:
    """Two ends of a socket; something can be read from the second, too."""
    reader, writer = socket.socketpair()
    reader.send(b"typed")
    return reader.detach(), writer.detach()


class Outlet:
    """A handler whose stdout is a pipe or a socket, and what comes out at the other end."""

    def __init__(self, read: BinaryIO, handler: LogHandler) -> None:
        self.read = read
        self.handler = handler
        self.tries = 0  # to write into a pipe

    def fill(self) -> None:
        """Logs 1000 lines, which are more than the other end keeps for a reader."""
        for number in range(1000):
            self.handler.handle(record(f"{number} {'x' * 200}"))

    def message(self) -> str:
        """The next; waits for it."""
        return str(json.loads(self.read.readline())["message"])

    def numbers(self, count: int) -> list[int]:
        """Those of the next lines."""
        return [int(self.message().split()[0]) for _ in range(count)]


def writers() -> list[threading.Thread]:
    """The threads that wait to write a log."""
    return [thread for thread in threading.enumerate() if thread.name == "log"]


@pytest.fixture(params=[os.pipe, sockets])
def outlet(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Outlet]:
    reader, writer = request.param()
    write = os.write

    def counted(file: int, data: bytes) -> int:
        made.tries += 1
        return write(file, data)

    monkeypatch.setattr(os, "write", counted)
    with open(writer, "w") as stream, open(reader, "rb") as read:
        monkeypatch.setattr(sys, "stdout", stream)
        made = Outlet(read, LogHandler())
        made.handler.setFormatter(EcsFormatter())
        yield made
        read.close()
        for thread in writers():
            thread.join()


only_a_pipe = pytest.mark.parametrize("outlet", [os.pipe], indirect=True)


def test_whoever_does_not_read_is_not_waited_for(outlet: Outlet) -> None:
    outlet.fill()
    (thread,) = writers()
    assert thread.daemon, "it keeps no process alive"
    print("printed", file=outlet.handler.stream)
    outlet.handler.handle(record("1000 is the last"))
    assert outlet.numbers(1001) == list(range(1001))
    thread.join()
    assert outlet.tries < 500, "it waits, and does not try again and again"
    outlet.handler.stream.flush()
    assert outlet.read.readline() == b"printed\n"


def test_what_is_too_much_is_dropped_and_counted(
    outlet: Outlet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(output, "KEPT", 1000)
    for _ in range(2):
        outlet.fill()
        shown = [outlet.message()]
        while "dropped" not in shown[-1]:
            shown.append(outlet.message())
        *shown, gap = shown
        assert [int(line.split()[0]) for line in shown] == list(range(len(shown)))
        assert gap == f"{1000 - len(shown)} lines were dropped here: nobody read the log"
        outlet.handler.handle(record("afterwards"))
        assert outlet.message() == "afterwards"


def no_more_threads(patch: pytest.MonkeyPatch) -> None:
    """As it is in a process that ends."""

    def refuse(**_: object) -> None:
        raise RuntimeError("can't start new thread")

    patch.setattr(output, "threading", SimpleNamespace(Thread=refuse))


def test_a_process_that_ends_writes_what_it_keeps(
    outlet: Outlet, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    no_more_threads(monkeypatch)
    monkeypatch.setattr(output, "AT_END", 50.0)
    outlet.fill()
    with ThreadPoolExecutor() as pool:
        numbers = pool.submit(outlet.numbers, 1000)
        outlet.handler.flush()
        assert numbers.result() == list(range(1000))
    assert capsys.readouterr().err == ""


@only_a_pipe
def test_a_process_that_ends_does_not_wait_long_for_a_reader(
    outlet: Outlet, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    no_more_threads(monkeypatch)
    monkeypatch.setattr(output, "AT_END", 0.1)
    monkeypatch.setattr(output, "KEPT", 1000)
    outlet.fill()
    tries = outlet.tries
    outlet.handler.flush()
    assert 2 <= outlet.tries - tries < 20
    outlet.read.close()
    outlet.handler.flush()
    assert capsys.readouterr().err == ""
    outlet.handler.handle(record("one more"))
    assert capsys.readouterr().err.startswith("what teahouse logged was lost: BrokenPipeError: ")


def test_a_reader_that_leaves_ends_the_thread_that_waits_for_it(
    outlet: Outlet, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed: list[object] = []
    monkeypatch.setattr(threading, "excepthook", failed.append)
    outlet.fill()
    outlet.read.close()
    for thread in writers():
        thread.join()
    assert failed == []


def test_a_file_that_has_the_number_of_another_gets_its_own_lines(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for message in ("first", "second"):
        reader, writer = os.pipe()
        os.set_blocking(reader, False)
        with open(reader, "rb", buffering=0) as read, open(writer, "w") as stream:
            monkeypatch.setattr(sys, "stdout", stream)
            LogHandler().handle(record(message))
            assert read.read(100) == f"{message}\n".encode()


class Plain:
    """What some programs put in the place of stdout: it has no file."""

    def __init__(self) -> None:
        self.text = ""

    def write(self, text: str) -> None:
        self.text += text

    def flush(self) -> None:
        """Does nothing."""


def test_a_stream_needs_no_file(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = Plain()
    monkeypatch.setattr(sys, "stdout", plain)
    LogHandler().handle(record("tea, and \udc80"))
    assert plain.text == "tea, and \\udc80\n"


@pytest.mark.parametrize("closed", [True, False], ids=["closed", "without its file"])
def test_a_stream_that_is_closed_is_no_error_before_something_is_logged(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], closed: bool
) -> None:
    file, other = os.pipe()
    os.close(other)
    with open(file, closefd=False) as stream:
        os.close(file)
        monkeypatch.setattr(sys, "stdout", stream)
        if closed:
            stream.close()
        handler = LogHandler()
        assert capsys.readouterr().err == ""
        handler.handle(record("tea"))
    assert capsys.readouterr().err.startswith("what teahouse logged was lost: ")


def test_a_command_waits_for_whoever_reads_its_log(monkeypatch: pytest.MonkeyPatch) -> None:
    reader, writer = os.pipe()
    terminal = StringIO()
    monkeypatch.setattr(terminal, "fileno", lambda: writer)
    monkeypatch.setattr(sys, "argv", ["manage.py"])
    monkeypatch.setattr(sys, "stderr", terminal)
    LogHandler().handle(record("tea"))
    assert terminal.getvalue() == "tea\n"
    os.close(reader)
    os.close(writer)


def test_a_command_loses_nothing_where_its_stderr_does_not_block(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    with open(writer, "w") as stream, open(reader, "rb") as read:
        monkeypatch.setattr(sys, "argv", ["manage.py"])
        monkeypatch.setattr(sys, "stderr", stream)
        outlet = Outlet(read, LogHandler())
        outlet.handler.setFormatter(EcsFormatter())
        outlet.fill()
        assert outlet.numbers(1000) == list(range(1000))


def test_a_command_ends_though_its_terminal_takes_nothing(
    stdout: LogHandler, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(text: str) -> None:
        raise BlockingIOError

    no_more_threads(monkeypatch)
    monkeypatch.setattr(stdout.stream, "write", refuse)
    stdout.handle(record("tea"))
    stdout.flush()


def test_a_file_gets_utf_8_whatever_the_locale_and_stays_as_it_was(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(output, "threading", None)  # it needs none
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
    assert capsys.readouterr().err == ""


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
    stdout: LogHandler, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    stdout.stream.close()
    hold(stdout, record("x"))
    stdout.write_held()
    stdout.handle(record("y"))
    first, second = capsys.readouterr().err.splitlines()
    assert first == (
        "what granian.access logged was lost: ValueError: I/O operation on closed file"
    )
    assert second == "what teahouse logged was lost: ValueError: I/O operation on closed file"
    monkeypatch.setattr(sys, "stderr", stdout.stream)
    stdout.handle(record("z"))


def test_a_stream_that_breaks_for_a_while_loses_nothing_else(
    stdout: LogHandler, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(text: str) -> None:
        raise OSError("disk full")

    with monkeypatch.context() as broken:
        broken.setattr(stdout.stream, "write", refuse)
        stdout.handle(record("lost"))
    assert capsys.readouterr().err == "what teahouse logged was lost: OSError: disk full\n"
    stdout.handle(record("afterwards"))
    assert [line["message"] for line in written(stdout)] == ["afterwards"]


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
