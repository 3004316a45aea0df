"""Real Granian and the bodies of requests: too large, too slow, broken off, more than there is room for."""

import os
import re
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import httpx
import pytest

from tests.conftest import Serve
from tests.support.server import PATIENCE, Server, wait_for
from tests.support.sites import put_site

# Every kind of place that a body can be sent to.
PLACES = ["/echo/", "/aecho/", "/nowhere/", "/admin/login/"]

MULTIPART = "multipart/form-data; boundary=tea"


@pytest.fixture
def site(project: Path) -> Path:
    put_site(project, "bodies")
    return project


def head(path: str, *headers: str, method: str = "POST") -> bytes:
    """A request as far as its body."""
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost", *headers]
    return "\r\n".join([*lines, "", ""]).encode()


def connect(server: Server) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE)


def read_all(client: socket.socket) -> bytes:
    """What comes until the server closes the connection."""
    return b"".join(iter(lambda: client.recv(65536), b""))


def talk(server: Server, *parts: bytes, more: bool = True) -> bytes:
    """What a server answers to these bytes until it closes; `more` is false if no more can come."""
    with connect(server) as client:
        for part in parts:
            client.sendall(part)
        if not more:
            client.shutdown(socket.SHUT_WR)
        return read_all(client)


def wait_for_closed_bodies(server: Server) -> None:
    """Waits until no body takes space any more: a client has its answer before its body is closed."""

    def nameless() -> list[str]:
        with suppress(FileNotFoundError):  # one that is closed meanwhile
            files = Path(f"/proc/{server.workers[0].pid}/fd").iterdir()
            return [name for name in map(os.readlink, files) if name.endswith(" (deleted)")]
        return ["?"]

    wait_for(lambda: not nameless(), "closed bodies")


def status(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


def form(size: int) -> bytes:
    """A form with a file of so many bytes."""
    return (
        b'--tea\r\nContent-Disposition: form-data; name="photo"; filename="tea.jpg"\r\n'
        b"Content-Type: image/jpeg\r\n\r\n" + b"x" * size + b"\r\n--tea--\r\n"
    )


def alarms(server: Server) -> list[str]:
    """What is said at WARNING or above."""
    return [
        record["message"]
        for record in server.records
        if record["log.level"] in ("WARNING", "ERROR", "CRITICAL")
    ]


def accessed(server: Server) -> list[int]:
    """The statuses in the access log."""
    records = [r for r in server.records if r["log.logger"] == "granian.access"]
    return [record["http.response.status_code"] for record in records]


@pytest.mark.parametrize("path", PLACES)
def test_a_body_that_is_too_large_is_refused_before_any_of_it_is_kept(
    site: Path, serve: Serve, tmp_path: Path, path: str
) -> None:
    kept = tmp_path / "kept"
    kept.mkdir()
    server = serve(site, MAX_BODY_SIZE="3000000", TMPDIR=str(kept)).ready()
    worker = server.workers[0]

    said = talk(server, head(path, "Content-Length: 3000001"))
    assert status(said) == 413
    assert b"\r\nconnection: close\r\n" in said
    assert b"x-request-id: " in said
    assert said.endswith(b"\r\n\r\nThe body of the request is larger than 3000000 bytes.\n")
    expecting = talk(server, head(path, "Content-Length: 600000000", "Expect: 100-continue"))
    assert status(expecting) == 413, "it was not asked to send its body"
    assert worker.io_counters().write_chars < 1_000_000

    chunk = b"186a0\r\n" + b"x" * 100_000 + b"\r\n"
    chunked = talk(server, head(path, "Transfer-Encoding: chunked"), chunk * 31)
    assert status(chunked) == 413
    assert worker.io_counters().write_chars < 4_000_000, "no more than the largest body is kept"

    warned = alarms(server)
    assert len(warned) == 3
    assert warned[0] == f"POST {path}: refused a body of 3000001 bytes: MAX_BODY_SIZE is 3000000"
    assert warned[2].startswith(f"POST {path}: refused a body after ")
    assert server.stop() == 0
    assert accessed(server) == [413] * 3
    assert "Traceback" not in server.log
    assert list(kept.iterdir()) == []


@pytest.mark.parametrize("path", ["/echo/", "/aecho/"])
def test_the_largest_body_is_served(site: Path, serve: Serve, path: str) -> None:
    server = serve(site, MAX_BODY_SIZE="3000000").ready()

    for size in (0, 1, 2_500_000, 2_700_000, 3_000_000):
        plain = server_post(server, path, b"x" * size)
        chunked = server_post(server, path, (b"x" * 99_999 for _ in range(size // 99_999)))
        assert (plain.status_code, chunked.status_code) == (200, 200)
        assert plain.json()["length"] == str(size)
        assert chunked.json()["length"] is None
    assert server.stop() == 0
    assert alarms(server) == []


def server_post(server: Server, path: str, content: bytes | Iterator[bytes]) -> httpx.Response:
    return httpx.post(server.address + path, content=content, timeout=PATIENCE, verify=False)  # noqa: S501


def test_a_client_that_sends_on_gets_the_refusal(site: Path, serve: Serve) -> None:
    """It reads no answer before it has sent all: a connection closed too soon would lose it."""
    server = serve(site, MAX_BODY_SIZE="3000000").ready()

    for _ in range(10):
        chunks = (b"x" * 100_000 for _ in range(500))
        assert server_post(server, "/echo/", chunks).status_code == 413
        assert server_post(server, "/echo/", b"x" * 50_000_000).status_code == 413
    assert server.stop() == 0


def test_a_slow_client_that_sends_on_gets_the_refusal(site: Path, serve: Serve) -> None:
    """A photo from a phone: 50 kB at a time, for longer than a refused body may pause."""
    server = serve(site, MAX_BODY_SIZE="1000000").ready()

    with connect(server) as client:
        client.sendall(head("/echo/", "Content-Length: 2000000"))
        for _ in range(40):
            client.sendall(b"x" * 50_000)
            time.sleep(0.1)
        assert status(read_all(client)) == 413
    with connect(server) as silent:
        silent.sendall(head("/echo/", "Content-Length: 2000000") + b"x")
        assert status(read_all(silent)) == 413, "it is closed, since no more comes"
    assert server.stop() == 0


def test_a_body_that_does_not_come_is_given_up(site: Path, serve: Serve) -> None:
    server = serve(site, BODY_TIMEOUT="1").ready()

    length, chunked = "Content-Length: 10", "Transfer-Encoding: chunked"
    for path in PLACES:
        for parts in (
            [head(path, length)],
            [head(path, length), b"x"],
            [head(path, length, method="GET")],
            [head(path, length, "Expect: 100-continue")],
            [head(path, chunked)],
            [head(path, chunked), b"3\r\nabc\r\n"],
            [head(path, "Content-Length: 9000000"), b"x" * 8_000_000],
        ):
            said = talk(server, *parts)
            final = said.removeprefix(b"HTTP/1.1 100 Continue\r\n\r\n")
            assert status(final) == 408, said
            assert b"\r\nconnection: close\r\n" in final
    assert server.stop() == 0
    assert accessed(server) == [408] * 28
    assert alarms(server) == []
    (first, *_) = server.messages("serving.http.body")
    assert first.startswith("POST /echo/: gave up on a body after 0 of 10 bytes: too slow for")


def test_a_body_that_drips_is_given_up_and_one_that_is_slow_and_steady_is_not(
    site: Path, serve: Serve
) -> None:
    server = serve(site, BODY_TIMEOUT="1.5", BODY_MIN_RATE="1000").ready()

    with connect(server) as client, connect(server) as burst, connect(server) as steady:
        client.sendall(head("/echo/", "Content-Length: 100000"))
        # What came quickly at first does not pay for what drips afterwards.
        burst.sendall(head("/echo/", "Content-Length: 9000000") + b"x" * 5_000_000)
        steady.sendall(head("/echo/", "Content-Length: 40000"))
        for _ in range(40):
            for dripping in (client, burst):
                with suppress(OSError):
                    dripping.sendall(b"x")
            steady.sendall(b"x" * 1000)
            time.sleep(0.15)  # 6,667 bytes a second, four times as long as BODY_TIMEOUT
        assert status(read_all(client)) == 408
        assert status(read_all(burst)) == 408
        assert status(steady.recv(1000)) == 200
    assert server.stop() == 0


def test_a_worker_that_stood_still_takes_what_came_meanwhile(site: Path, serve: Serve) -> None:
    """As in a container that is paused; and a client that sends nothing is given up all the same."""
    server = serve(site, BODY_TIMEOUT="1").ready()
    (worker,) = server.workers

    with connect(server) as client, connect(server) as silent:
        silent.sendall(head("/echo/", "Content-Length: 10", "Connection: close"))
        client.sendall(head("/echo/", "Content-Length: 10", "Connection: close") + b"12345")
        assert server.get("/livez").status_code == 200, "it has their beginning"
        worker.suspend()
        client.sendall(b"67890")
        time.sleep(2)  # longer than BODY_TIMEOUT
        worker.resume()
        assert status(read_all(client)) == 200
        assert status(read_all(silent)) == 408
    assert server.stop() == 0


def test_a_worker_that_is_full_of_silent_clients_serves_again(site: Path, serve: Serve) -> None:
    """Granian admits 1,024 connections, and the others wait."""
    server = serve(site, BODY_TIMEOUT="2").ready()

    with ExitStack() as stack:
        for _ in range(1100):
            client = stack.enter_context(connect(server))
            client.sendall(head("/", "Content-Length: 10"))
        assert server.get("/livez").status_code == 200
    assert server.stop() == 0
    assert "Traceback" not in server.log


BROKEN = {
    "no chunk": (head("{}", "Transfer-Encoding: chunked"), b"zz\r\n"),
    "a negative chunk": (head("{}", "Transfer-Encoding: chunked"), b"-1\r\nabc\r\n"),
    "a chunk without its end": (head("{}", "Transfer-Encoding: chunked"), b"3\r\nabcdef\r\n"),
    "a chunk too large to be true": (head("{}", "Transfer-Encoding: chunked"), b"fffffffffffffffff\r\n"),
    "cut off, chunked": (head("{}", "Transfer-Encoding: chunked"), b"5\r\nab"),
    "cut off": (head("{}", "Content-Length: 10"), b"abc"),
    "cut off on disk": (head("{}", "Content-Length: 5000000"), b"x" * 4_000_000),
    "nothing": (head("{}", "Content-Length: 10"), b""),
}  # fmt: skip


@pytest.mark.parametrize("path", PLACES)
def test_a_broken_body_is_the_clients_fault(site: Path, serve: Serve, path: str) -> None:
    server = serve(site).ready()

    for name, (start, rest) in BROKEN.items():
        said = talk(server, start.replace(b"{}", path.encode()), rest, more=False)
        assert status(said) == 400, name
        assert b"\r\nconnection: close\r\n" in said
    assert server.get("/livez").status_code == 200
    assert server.stop() == 0
    assert accessed(server) == [400] * len(BROKEN)
    assert alarms(server) == []


@pytest.mark.parametrize("path", PLACES)
def test_a_client_that_leaves_is_no_error(site: Path, serve: Serve, path: str) -> None:
    server = serve(site).ready()

    for start, rest in BROKEN.values():
        with connect(server) as client:
            client.sendall(start.replace(b"{}", path.encode()) + rest)
    server.wait_for_log("http.request.method", len(BROKEN))
    assert server.stop() == 0
    assert 500 not in accessed(server)
    assert alarms(server) == []
    assert "Traceback" not in server.log


def test_requests_that_share_a_connection_get_their_own_bodies(site: Path, serve: Serve) -> None:
    server = serve(site).ready()

    with connect(server) as client:
        sizes = [3, 0, 100_000, 5_000_000, 7]
        for size in sizes:
            client.sendall(head("/echo/", f"Content-Length: {size}") + b"x" * size)
        client.sendall(head("/aecho/", "Transfer-Encoding: chunked") + b"3\r\nabc\r\n0\r\n\r\n")
        client.sendall(head("/echo/", "Connection: close", method="GET"))
        said = read_all(client)
    assert re.findall(rb"HTTP/1.1 (\d+)", said) == [b"200"] * 7
    lengths = re.findall(rb'"length": (?:"(\d+)"|null)', said)
    assert [int(length or -1) for length in lengths] == [*sizes, -1, -1]
    assert server.stop() == 0


@pytest.mark.parametrize("path", ["/upload/", "/aupload/"])
def test_open_uploads_together_take_no_more_than_their_space(
    site: Path, serve: Serve, path: str
) -> None:
    server = serve(site, MAX_BODY_SIZE="4000000", BODY_SPACE="17000000").ready()
    body = form(3_900_000)
    kind, length = f"Content-Type: {MULTIPART}", f"Content-Length: {len(body)}"

    with connect(server) as first, connect(server) as second:
        for client in (first, second):  # on disk twice, so they take 15.6 MB
            client.sendall(head(path, kind, length, "Expect: 100-continue"))
            assert client.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"
            client.sendall(body[:-1])
        said = talk(server, head(path, kind, length), body)
        assert status(said) == 503
        assert b"\r\nretry-after: 5\r\n" in said
        assert status(talk(server, head(path, "Content-Length: 3000000"))) == 503
        assert server.get("/livez").status_code == 200
        small = httpx.post(server.address + path, data={"a": "1"}, verify=False)  # noqa: S501
        assert small.json()["post"] == {"a": "1"}
        for client in (first, second):
            client.sendall(body[-1:])
            said = client.recv(10_000)
            assert status(said) == 200
            assert b"TemporaryUploadedFile" in said
    wait_for_closed_bodies(server)
    assert status(talk(server, head(path, kind, length, "Connection: close"), body)) == 200
    assert server.stop() == 0
    assert "Traceback" not in server.log
    assert all("BODY_SPACE" in message for message in alarms(server))


def test_many_small_bodies_share_a_bounded_memory(site: Path, serve: Serve) -> None:
    server = serve(site).ready()
    server.get("/")
    worker = server.workers[0]
    before = worker.memory_info().rss

    with ExitStack() as stack:
        clients = [stack.enter_context(connect(server)) for _ in range(150)]
        for client in clients:
            client.sendall(head("/echo/", "Content-Length: 2000001") + b"x" * 2_000_000)
        grown = worker.memory_info().rss - before
        assert grown < 150_000_000, "of 300 MB that are open"
        for client in clients:
            client.sendall(b"x")
            assert status(client.recv(1000)) == 200
    assert server.stop() == 0
    assert alarms(server) == []


def test_a_folder_that_takes_no_body_is_an_answer(site: Path, serve: Serve) -> None:
    with (site / "config" / "settings.py").open("a") as settings:
        settings.write('FILE_UPLOAD_TEMP_DIR = "/proc/nowhere"\n')
    server = serve(site).ready()

    for path in PLACES:
        assert server_post(server, path, b"x" * 5_000_000).status_code == 507
        assert server_post(server, path, (b"x" * 99_999 for _ in range(50))).status_code == 507
    assert server.get("/").status_code == 200
    assert server.stop() == 0
    assert "Traceback" not in server.log
    assert len(alarms(server)) == 8, alarms(server)
    assert all("/proc/nowhere: No such file or directory" in said for said in alarms(server))


def test_wrong_bounds_are_refused(site: Path, serve: Serve) -> None:
    said = {
        "MAX_BODY_SIZE='0'": "from 1 to 1000000000000000",
        "BODY_TIMEOUT='0'": "above 0 and no more than 2147483647",
        "BODY_MIN_RATE='-1'": "from 0 to 2147483647",
    }
    wrong = {name: value.strip("'") for name, _, value in (each.partition("=") for each in said)}
    server = serve(site, **wrong)
    assert server.wait() == 1
    for each, bounds in said.items():
        assert f"{each}: Must be {bounds}." in server.log
    server = serve(site, BODY_SPACE="150000000")
    assert server.wait() == 1
    assert "BODY_SPACE='150000000': Must be from 200000000 to 10000000000000000." in server.log
