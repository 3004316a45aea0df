"""Addresses that a server can listen on, or cannot."""

import errno
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from serving.process import address
from serving.process.address import AddressError, check_addresses

FLAGS: dict[str, Any] = {
    "uds": None,
    "host": "127.0.0.1",
    "port": 0,
    "reload": False,
    "metrics_enabled": False,
    "metrics_address": "127.0.0.1",
    "metrics_port": 0,
}


class Clock:
    """A clock that goes on when somebody sleeps."""

    now = 0.0
    sleeps = 0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.sleeps += 1
        self.now += seconds


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(address, "time", made)
    return made


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that something listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_an_address_that_is_free_is_free_afterwards(clock: Clock) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    for _ in range(2):
        check_addresses({**FLAGS, "port": port})
        check_addresses({**FLAGS, "host": "::1", "port": port})
    assert clock.sleeps == 0
    with socket.create_server(("127.0.0.1", port)):
        pass


def test_nobody_is_let_in_before_the_server_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    """Or a client, or a load balancer that looks for a port, would be reset."""

    class Silent(socket.socket):
        def listen(self, backlog: int = 0, /) -> None:
            raise AssertionError

    monkeypatch.setattr(socket, "socket", Silent)
    check_addresses({**FLAGS, "metrics_enabled": True})


def test_a_port_that_is_taken_is_waited_for_and_then_named(clock: Clock, taken: int) -> None:
    with pytest.raises(AddressError) as refused:
        check_addresses({**FLAGS, "port": taken})
    assert str(refused.value) == (
        f"cannot listen on 127.0.0.1:{taken}: Address already in use; something else has it (`ss"
        " -lnp` may name it): stop that, or set another GRANIAN_HOST or GRANIAN_PORT"
    )
    assert 1.9 < clock.now < 2.2


def test_a_port_that_becomes_free_in_time_is_taken(
    clock: Clock, taken: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[int] = []
    bind = socket.socket.bind

    class Socket(socket.socket):
        def bind(self, where: Any) -> None:
            tried.append(where[1])
            if len(tried) < 4:
                raise OSError(errno.EADDRINUSE, "Address already in use")
            bind(self, ("127.0.0.1", 0))

    monkeypatch.setattr(socket, "socket", Socket)
    check_addresses({**FLAGS, "port": taken})
    assert tried == [taken] * 4


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        ({"host": "localhost"}, "GRANIAN_HOST='localhost' is not an IP address"),
        ({"host": "192.0.2.1"}, "no network of this machine has it: set another GRANIAN_HOST or"),
        ({"port": 65536}, "GRANIAN_PORT=65536 is not a port"),
        ({"port": -1}, "GRANIAN_PORT=-1 is not a port"),
        ({"host": "2001:db8::1", "port": 80}, "cannot listen on [2001:db8::1]:80: "),
        ({"metrics_enabled": True, "metrics_address": "tea"}, "GRANIAN_METRICS_ADDRESS='tea' is no"),
        ({"metrics_enabled": True, "metrics_port": -1}, "GRANIAN_METRICS_PORT=-1 is not a port"),
    ],
)  # fmt: skip
def test_what_cannot_work_is_named_at_once(clock: Clock, flags: dict[str, Any], says: str) -> None:
    with pytest.raises(AddressError) as refused:
        check_addresses({**FLAGS, **flags})
    assert says in str(refused.value)
    assert clock.sleeps == 0


@pytest.mark.parametrize(
    "flags",
    [
        {"metrics_enabled": False},
        {"metrics_enabled": True, "reload": True},
        {"metrics_enabled": True, "metrics_port": 65536},  # the settings say what is wrong with it
    ],
)
def test_metrics_that_are_not_served_need_no_address(flags: dict[str, Any]) -> None:
    check_addresses({**FLAGS, "metrics_address": "tea", **flags})


def test_the_highest_port_is_one(taken: int) -> None:
    check_addresses({**FLAGS, "port": 65535})
    with pytest.raises(AddressError, match=f":{taken}: "):
        check_addresses({**FLAGS, "metrics_enabled": True, "metrics_port": taken})


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A path that is short enough for a socket."""
    monkeypatch.chdir(tmp_path)
    return Path("s")


def test_a_socket_that_nobody_serves_any_more_is_removed(path: Path) -> None:
    check_addresses({**FLAGS, "uds": str(path), "host": "not looked at"})
    assert not path.exists()
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))
    assert path.is_socket()
    check_addresses({**FLAGS, "uds": str(path)})
    assert not path.exists()


@pytest.mark.parametrize("busy", [False, True])
def test_a_socket_with_a_server_is_kept_even_if_it_is_busy(path: Path, busy: bool) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen(0)
        waiting = [socket.socket(socket.AF_UNIX) for _ in range(8 if busy else 0)]
        for one in waiting:
            one.setblocking(False)
            with suppress(BlockingIOError):
                one.connect(str(path))
        with pytest.raises(
            AddressError, match=r"s: Address already in use; .* another GRANIAN_UDS"
        ):
            check_addresses({**FLAGS, "uds": str(path)})
        assert path.is_socket()
        for one in waiting:
            one.close()


def test_a_file_in_the_place_of_a_socket_is_kept(path: Path) -> None:
    path.write_text("mine")
    with pytest.raises(AddressError, match="cannot listen on"):
        check_addresses({**FLAGS, "uds": str(path)})
    assert path.read_text() == "mine"
