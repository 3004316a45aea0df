"""Real Granian and the request path: threads, connections, clients that leave, and the way back."""

import socket
import threading
from pathlib import Path

import pytest

from tests.conftest import Serve
from tests.support.handlers import with_djangos_handler
from tests.support.server import PATIENCE, Server, wait_for
from tests.support.sites import put_site


@pytest.fixture
def site(project: Path) -> Path:
    put_site(project, "request_path")
    return project


def all_at_once(server: Server, path: str, number: int) -> list[str]:
    """The answers to so many requests that are open at the same time."""
    answers: list[str] = []
    askers = [
        threading.Thread(target=lambda: answers.append(server.get(path).text))
        for _ in range(number)
    ]
    for asker in askers:
        asker.start()
    for asker in askers:
        asker.join()
    return answers


@pytest.mark.parametrize("loop", ["uvloop", "asyncio", "rloop"])
def test_views_that_wait_for_each_other_all_get_a_thread(
    site: Path, serve: Serve, loop: str
) -> None:
    server = serve(site, GRANIAN_LOOP=loop).ready()

    assert all_at_once(server, "/waits/", 40) == ["waited"] * 40
    queued, busy, idle, bound = map(int, server.get("/figures/").text.split())
    assert (queued, bound) == (0, 64)
    assert busy + idle >= 40
    assert server.stop() == 0
    assert "Traceback" not in server.log


def test_threads_are_bounded_and_connections_persist(site: Path, serve: Serve) -> None:
    server = serve(site, SERVING_THREADS="2").ready()

    seen = {tuple(server.get("/thread/").text.split()) for _ in range(50)}
    assert len({thread for thread, _ in seen}) <= 2
    assert server.get("/figures/").text.endswith(" 2")
    assert server.stop() == 0


def test_a_stream_is_closed_when_its_client_leaves(site: Path, serve: Serve) -> None:
    server = serve(site).ready()
    # Those that come late were watched for their client while the view ran, and are again.
    paths = ("/stream/", "/astream/", "/late/", "/late/?async", "/alate/", "/alate/?async")
    for number, path in enumerate(paths, start=1):
        with socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE) as client:
            client.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
            read = b""
            while read.count(b"tick") < 3:
                part = client.recv(1000)
                assert part, read
                read += part
                assert read.startswith(b"HTTP/1.1 200"), read
        server.wait_for_log("stream closed", number)
        wait_for(
            lambda: server.get("/figures/").text.split()[1] == "1", "the thread to be given back"
        )
    assert server.stop() == 0


def test_a_wrong_number_of_threads_is_refused(site: Path, serve: Serve) -> None:
    server = serve(site, SERVING_THREADS="0")
    assert server.wait() == 1
    assert "SERVING_THREADS='0': Must be from 1 to 10000." in server.log


def test_one_line_goes_back_to_djangos_own_handler(project: Path, serve: Serve) -> None:
    with_djangos_handler(project)
    put_site(project, "opened")
    server = serve(project).ready()

    assert server.get("/opened/").text == "started_at"
    assert server.get("/uptime/").json()["uptime_seconds"] > 0
    assert server.stop() == 0
