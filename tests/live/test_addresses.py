"""What must not start on an address that is taken, and what must all the same."""

import json
import os
import signal
import socket
from pathlib import Path

import httpx
import pytest

from tests.conftest import Serve
from tests.support.server import Server, free_port, wait_for
from tests.support.sites import put_site

BY_VARIABLES = "python -m serving config.asgi:application"


def refusal(server: Server) -> str:
    """The one line with which a server has refused to start, before a worker was spawned."""
    assert server.wait() == 1
    (line,) = server.log.splitlines()
    record = json.loads(line)
    assert record["log.level"] == "CRITICAL"
    assert record["log.logger"] == "serving"
    message: str = record["message"]
    return message


@pytest.fixture(params=["127.0.0.1", "0.0.0.0", "::1", "::"])  # noqa: S104
def host(request: pytest.FixtureRequest) -> str:
    value: str = request.param
    return value


def url(host: str, port: int) -> str:
    asked = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104
    return f"http://[{asked}]:{port}/livez" if ":" in asked else f"http://{asked}:{port}/livez"


def answers(address: str) -> bool:
    try:
        return httpx.get(address).status_code == 200
    except httpx.TransportError:
        return False


def test_a_second_server_on_the_same_port(project: Path, serve: Serve, host: str) -> None:
    port = free_port()
    flags = {"GRANIAN_HOST": host, "GRANIAN_PORT": str(port), "GRANIAN_WORKERS": "2"}
    first = serve(project, BY_VARIABLES, **flags)
    wait_for(lambda: answers(url(host, port)), "an answer")
    words = refusal(serve(project, BY_VARIABLES, **flags))
    where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    assert words.startswith(f"cannot listen on {where}: Address already in use; ")
    assert "GRANIAN_PORT" in words
    assert answers(url(host, port))
    assert first.stop() == 0
    again = serve(project, BY_VARIABLES, **flags)
    wait_for(lambda: answers(url(host, port)), "an answer")
    assert again.stop() == 0


@pytest.mark.parametrize(
    ("its", "ours"),
    [
        ("127.0.0.1", "127.0.0.1"), ("127.0.0.1", "0.0.0.0"), ("0.0.0.0", "127.0.0.1"),  # noqa: S104
        ("127.0.0.1", "::"), ("::", "127.0.0.1"), ("::1", "::"),
    ],
)  # fmt: skip
def test_a_listener_of_another_kind(project: Path, serve: Serve, its: str, ours: str) -> None:
    family = socket.AF_INET6 if ":" in its else socket.AF_INET
    with socket.create_server((its, 0), family=family, dualstack_ipv6=its == "::") as listener:
        port = listener.getsockname()[1]
        words = refusal(serve(project, BY_VARIABLES, GRANIAN_HOST=ours, GRANIAN_PORT=str(port)))
    assert f":{port}: Address already in use" in words


@pytest.mark.parametrize("form", ["json", "console"])
def test_the_port_of_the_metrics(project: Path, serve: Serve, form: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        server = serve(
            project,
            GRANIAN_METRICS_ENABLED="true",
            GRANIAN_METRICS_PORT=str(port),
            LOG_FORMAT=form,
        )
        assert server.wait() == 1
    (line,) = server.log.splitlines()
    assert f"127.0.0.1:{port}: Address already in use" in line
    assert "GRANIAN_METRICS_PORT" in line


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ({"GRANIAN_HOST": "localhost"}, "GRANIAN_HOST='localhost' is not an IP address"),
        ({"GRANIAN_HOST": "192.0.2.1"}, "cannot listen on 192.0.2.1:"),
        ({"GRANIAN_HOST": "[::]"}, "GRANIAN_HOST='[::]' is not an IP address"),
        (
            {"GRANIAN_UDS": "/none/web.sock"},
            "/none/web.sock: No such file or directory; set another",
        ),
        ({"GRANIAN_UDS": "/" + "x" * 120}, "AF_UNIX path too long; set another GRANIAN_UDS"),
        ({"GRANIAN_UDS": "manage.py"}, "manage.py: Address already in use; something else has it"),
    ],
)
def test_an_address_that_cannot_be_had(
    project: Path, serve: Serve, flags: dict[str, str], words: str
) -> None:
    assert words in refusal(serve(project, **flags))


def test_a_number_that_is_no_port(project: Path, serve: Serve) -> None:
    words = refusal(serve(project, BY_VARIABLES, GRANIAN_PORT="99999"))
    assert words == "GRANIAN_PORT=99999 is not a port: they go up to 65535"


def test_connections_that_an_earlier_server_has_closed_are_not_in_the_way(
    project: Path, serve: Serve
) -> None:
    first = serve(project).ready()
    port = first.port
    held = [socket.create_connection(("127.0.0.1", port)) for _ in range(5)]
    for connection in held:
        connection.sendall(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert connection.recv(20).startswith(b"HTTP/1.1 200")
    assert first.stop() == 0  # it closes them, so they are in TIME_WAIT
    assert serve(project, port=port).ready().stop() == 0
    for connection in held:
        connection.close()


def test_a_server_that_still_answers_its_last_request_is_not_in_the_way(
    project: Path, serve: Serve
) -> None:
    put_site(project, "hangs")
    first = serve(project).ready()
    with socket.create_connection(("127.0.0.1", first.port)) as asker:
        asker.sendall(b"GET /hang HTTP/1.1\r\nHost: localhost\r\n\r\n")
        wait_for((project / "hangs").exists, "the request")
        first.signal()
        wait_for(lambda: not first.listens(), "the end of the listener")
        second = serve(project, port=first.port).ready()
        assert answers(f"{first.address}/livez")
        (project / "hangs").unlink()
        assert b"at last" in asker.recv(4096)
    assert first.wait() == 0
    assert second.stop() == 0


def test_a_port_that_becomes_free_in_time(project: Path, serve: Serve) -> None:
    first = serve(project).ready()
    os.kill(first.process.pid, signal.SIGKILL)  # its worker serves until it finds that out
    second = serve(project, port=first.port).ready()
    assert answers(f"{first.address}/livez")
    assert second.stop() == 0


def test_workers_share_the_port_and_are_replaced(project: Path, serve: Serve) -> None:
    server = serve(project, GRANIAN_WORKERS="2", GRANIAN_RESPAWN_INTERVAL="2").ready(2)
    server.signal(signal.SIGHUP)
    server.wait_for_log("Stopped old worker-", 2)
    assert server.get("/livez").status_code == 200
    assert "taken" not in server.log
    assert server.stop() == 0


def test_reload_starts_workers_anew(project: Path, serve: Serve) -> None:
    server = serve(project, GRANIAN_RELOAD="true").ready()
    views = project / "home" / "views.py"
    server.wait_for_log("Started worker-", 1)

    def reloaded() -> bool:
        views.touch()
        return "Changes detected" in server.log

    wait_for(reloaded, "the reload")
    server.wait_for_log("Started worker-", 2)
    wait_for(server.listens, "a listener")
    assert server.get("/livez").status_code == 200
    assert "taken" not in server.log
    assert server.stop() == 0


def test_port_0(project: Path, serve: Serve) -> None:
    server = serve(project, BY_VARIABLES, GRANIAN_PORT="0")
    server.wait_for_log("Started worker-")
    assert server.stop() == 0


@pytest.fixture
def uds(project: Path) -> str:
    return str(project / "web.sock")


def uds_answers(path: str) -> bool:
    with socket.socket(socket.AF_UNIX) as asker:
        try:
            asker.connect(path)
            asker.sendall(b"GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            return asker.recv(20).startswith(b"HTTP/1.1 200")
        except OSError:
            return False


def test_a_socket_that_nobody_serves_any_more(project: Path, serve: Serve, uds: str) -> None:
    first = serve(project, GRANIAN_UDS=uds)
    wait_for(lambda: uds_answers(uds), "an answer")
    first.kill()
    assert Path(uds).exists()
    second = serve(project, GRANIAN_UDS=uds)
    wait_for(lambda: second.exited or uds_answers(uds), "an answer")
    assert second.stop() == 0, second.log


def test_a_socket_that_another_server_serves(project: Path, serve: Serve, uds: str) -> None:
    first = serve(project, GRANIAN_UDS=uds)
    wait_for(lambda: uds_answers(uds), "an answer")
    words = refusal(serve(project, GRANIAN_UDS=uds))
    assert words.startswith(f"cannot listen on {uds}: Address already in use; ")
    assert uds_answers(uds)
    assert first.stop() == 0
