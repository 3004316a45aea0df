"""What waits for a process to accept it, when that is told to stop."""

import asyncio
import resource
import socket
import time
from collections.abc import Iterator

import pytest
from serving.stopping import listeners
from serving.stopping.listeners import empty_accept_queues


@pytest.fixture(params=["127.0.0.1", "::1"])
def listener(request: pytest.FixtureRequest) -> Iterator[socket.socket]:
    family = socket.AF_INET6 if ":" in request.param else socket.AF_INET
    with socket.socket(family) as made:
        made.bind((request.param, 0))
        made.listen(16)
        yield made


def connect(listener: socket.socket, timeout: float = 30) -> socket.socket:
    return socket.create_connection(listener.getsockname()[:2], timeout)


def stop(listener: socket.socket, accepts: bool = True) -> float:
    """Stops, and accepts half a LIMIT later who waits, if at all: after how many seconds it was over."""
    port = listener.getsockname()[1]
    accepted = []

    async def main() -> float:
        loop, over = asyncio.get_running_loop(), asyncio.Event()
        began = loop.time()
        if accepts:
            loop.call_later(
                listeners.LIMIT / 2,
                lambda: [
                    accepted.append(listener.accept()) for _ in range(listeners.waiting(listener))
                ],
            )
        empty_accept_queues(port, over.set)
        async with asyncio.timeout(30):
            await over.wait()
        assert listeners.waiting(listener) == 0 or not accepts
        return loop.time() - began

    took = asyncio.run(main())
    for connection, _ in accepted:
        connection.close()
    return took


def test_those_who_wait_are_accepted_first(listener: socket.socket) -> None:
    with connect(listener), connect(listener):
        assert listeners.waiting(listener) == 2
        assert stop(listener) >= listeners.LIMIT / 2


def test_nobody_else_is_let_in(listener: socket.socket) -> None:
    with connect(listener):  # one that was there before is served on
        accepted, _ = listener.accept()
        stop(listener)
        with pytest.raises(TimeoutError):
            connect(listener, timeout=0.2)
        accepted.sendall(b"served")
        accepted.close()
    assert listeners.waiting(listener) == 0


def test_it_waits_no_longer_than_it_may(
    listener: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listeners, "LIMIT", 0.2)
    with connect(listener):
        assert stop(listener, accepts=False) >= 0.2


def test_a_socket_at_another_port_and_its_copies_are_left_alone(listener: socket.socket) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        before = list(listeners.listeners(other.getsockname()[1]))
        stop(listener)
        with connect(other):
            assert listeners.waiting(other) == 1
        assert len(before) == 1, "of the sockets that are connections, and of files, none"
        before[0].close()


def test_without_a_port_or_a_filter_it_still_ends(
    listener: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    called = []

    async def main() -> None:
        empty_accept_queues(None, lambda: called.append("no port"))

    asyncio.run(main())
    assert called == ["no port"], "at once"

    def refuse(listener: socket.socket) -> None:
        raise PermissionError

    monkeypatch.setattr(listeners, "drop_syn", refuse)
    began = time.monotonic()
    stop(listener)
    assert time.monotonic() - began >= listeners.QUIET


def test_a_process_that_may_open_no_more_files_still_ends(listener: socket.socket) -> None:
    """Busy, it may have as many connections as it may have files."""
    called = []
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)

    async def main() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
        try:
            empty_accept_queues(listener.getsockname()[1], lambda: called.append("told"))
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

    asyncio.run(main())
    assert called == ["told"]


def test_a_system_that_says_nothing_of_its_queues_ends_too() -> None:
    class Short:
        def getsockopt(self, *names: int) -> bytes:
            return b"\0" * 8

    assert listeners.waiting(Short()) == 0  # type: ignore[arg-type]
