"""The ports that tests give to servers: with hundreds of connections about, none of them takes one."""

import socket
import struct

import pytest

from tests.support.server import HELD, HELD_AT_MOST, free_port, free_ports

IP_LOCAL_PORT_RANGE = (
    51  # ip(7), Linux 6.3: the ports of which the kernel chooses one, lower | upper << 16
)


def client_on(port: int) -> socket.socket:
    """A socket for which the kernel may choose this port alone."""
    made = socket.socket()
    try:
        made.setsockopt(
            socket.IPPROTO_IP, IP_LOCAL_PORT_RANGE, struct.pack("=I", port | port << 16)
        )
    except OSError:
        made.close()
        pytest.skip("this kernel has no range of ports for one socket")
    return made


@pytest.mark.parametrize("number", [1, 3])
def test_no_connection_is_given_one(number: int) -> None:
    first = free_ports(number)
    with socket.create_server(("127.0.0.1", 0)) as server:
        for port in range(first, first + number):
            with client_on(port) as client, pytest.raises(OSError, match="Cannot assign"):
                client.connect(server.getsockname())


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", "::1", "::"])  # noqa: S104
def test_a_server_may_listen_there(host: str) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    port = free_port()
    with socket.create_server((host, port), family=family):
        socket.create_connection(("::1" if ":" in host else "127.0.0.1", port)).close()


def test_none_is_given_twice() -> None:
    given = [free_ports(2) for _ in range(20)]
    assert len({port + further for port in given for further in (0, 1)}) == 40


def test_those_of_a_long_run_are_let_go() -> None:
    free_port()
    oldest = HELD[0]
    for _ in range(HELD_AT_MOST):
        free_port()
    assert len(HELD) == HELD_AT_MOST
    assert oldest.fileno() == -1, "closed, not left to the collector of garbage, which warns"
