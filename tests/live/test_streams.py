"""Real Granian and streams whose clients leave, do not read, or never wanted the body."""

import socket
import struct
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import psutil
import pytest

from tests.conftest import Serve
from tests.support.server import PATIENCE, Server, wait_for
from tests.support.sites import put_site

SYNC_STREAMS = ("sync_busy", "async_of_sync")
UNREAD = ("large", "sync_busy", "async_busy", "sync_file", "static/large.bin")
FILES = ("sync_file", "async_file")
STREAMS = ("async_busy", "async_rows", "async_queries", *SYNC_STREAMS, *FILES)


@pytest.fixture
def site(project: Path) -> Path:
    put_site(project, "streams")
    with (project / "staticfiles" / "large.bin").open("wb") as large:
        large.truncate(64 * 2**20)
    return project


@contextmanager
def asking(
    server: Server, path: str, *, method: str = "GET", buffer: int = 4096
) -> Iterator[socket.socket]:
    """A client that has sent a request, and has read nothing yet."""
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        client.settimeout(PATIENCE)
        client.connect(("127.0.0.1", server.port))
        client.sendall(f"{method} {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        yield client


@pytest.mark.parametrize("name", STREAMS)
@pytest.mark.parametrize("loop", ["uvloop", "asyncio", "rloop"])
def test_a_stream_ends_with_its_client(site: Path, serve: Serve, name: str, loop: str) -> None:
    server = serve(site, GRANIAN_LOOP=loop).ready()

    with asking(server, f"/{name}") as client:
        assert client.recv(100).startswith(b"HTTP/1.1 200")

    server.wait_for_log("stream closed")
    assert server.get("/tick").text == "tick"
    assert server.get("/livez").status_code == 200
    server.wait_for_log(f"/{name}")  # once its task has ended
    assert server.stop() == 0
    assert "ERROR" not in server.log
    said = [line for line in server.log.splitlines() if f"/{name}" in line or "transport" in line]
    assert len(said) == 1, "the access log says it once, and nobody else"


def busy_threads(server: Server) -> int:
    return int(server.get("/busy_threads").text)


def connections(server: Server) -> int:
    """How many its workers have with clients."""
    return sum(
        each.status == psutil.CONN_ESTABLISHED and each.laddr.port == server.port
        for worker in server.workers
        for each in worker.net_connections("tcp")
    )


@pytest.mark.parametrize("name", FILES)
def test_a_file_keeps_no_thread_for_clients_that_do_not_read(
    site: Path, serve: Serve, name: str
) -> None:
    server = serve(site).ready()

    with ExitStack() as clients:
        for _ in range(70):
            clients.enter_context(asking(server, f"/{name}"))
        wait_for(lambda: busy_threads(server) == 0, "threads that have nothing to do")
        assert server.get("/tick").text == "tick"
    assert server.stop() == 0


@pytest.mark.parametrize("name", SYNC_STREAMS)
def test_clients_that_do_not_read_keep_half_of_the_threads_waiting(
    site: Path, serve: Serve, name: str
) -> None:
    server = serve(site, SERVING_THREADS="4").ready()

    with ExitStack() as clients:
        for _ in range(20):
            clients.enter_context(asking(server, f"/{name}"))
        server.wait_for_log("half of SERVING_THREADS", 18)
        wait_for(lambda: busy_threads(server) == 2, "the threads of those that were ended")
        assert server.get("/tick").text == "tick"
    server.wait_for_log("stream closed", 20)
    wait_for(lambda: busy_threads(server) == 0, "all threads again")
    assert server.stop() == 0
    assert "ERROR" not in server.log


def test_clients_that_read_are_all_served(site: Path, serve: Serve) -> None:
    """However many streams of sync code they ask for at once."""
    server = serve(site, SERVING_THREADS="4").ready()
    with ThreadPoolExecutor(32) as clients:
        sizes = list(clients.map(lambda _: len(server.get("/sync_some").content), range(100)))
    assert set(sizes) == {655_360}
    assert server.stop() == 0


@pytest.mark.parametrize("name", STREAMS)
def test_a_client_that_does_not_read_is_given_up(site: Path, serve: Serve, name: str) -> None:
    server = serve(site, SEND_TIMEOUT="0.5").ready()

    with asking(server, f"/{name}") as client:
        server.wait_for_log("stream closed")
        said = f"GET /{name}: ended, since its client has read nothing"
        if name == "async_rows":  # it is long about filling the buffers: the kernel may come before
            wait_for(lambda: said in server.log or not connections(server), f"{said!r} in the log")
        else:
            server.wait_for_log(said)
        wait_for(lambda: busy_threads(server) == 0, "threads that have nothing to do")
        end = b""
        while part := client.recv(1_000_000):
            end = part
        assert not end.endswith(b"\r\n0\r\n\r\n"), "what was cut off does not look whole"
    assert server.stop() == 0
    assert "ERROR" not in server.log


@pytest.mark.parametrize("name", UNREAD)
def test_a_client_that_does_not_read_keeps_no_connection(
    site: Path, serve: Serve, name: str
) -> None:
    """Nor the memory and the open file behind it, long after its response was given up."""
    server = serve(site, SEND_TIMEOUT="0.5").ready()

    with asking(server, f"/{name}"):
        wait_for(lambda: connections(server) == 1, "its connection")
        wait_for(lambda: connections(server) == 0, "its end")
    assert server.stop() == 0


@pytest.mark.parametrize("name", UNREAD)
def test_a_client_that_does_not_read_holds_up_no_stop(site: Path, serve: Serve, name: str) -> None:
    server = serve(site, DRAIN_TIMEOUT="0.5").ready()

    with asking(server, f"/{name}") as client:
        assert client.recv(1)
        assert server.stop() == 0
    assert not server.killed_a_worker


def test_a_client_of_http2_that_grants_no_window_holds_up_no_stop(site: Path, serve: Serve) -> None:
    """The kernel has nothing to send then, for Granian keeps it."""
    server = serve(site, GRANIAN_HTTP="auto", DRAIN_TIMEOUT="0.5").ready()
    path = b"/static/large.bin"

    def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
        return (
            struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload
        )

    no_window = frame(4, 0, 0, struct.pack(">HI", 4, 0))  # SETTINGS_INITIAL_WINDOW_SIZE
    # By HPACK's tables: GET, http, a path and an authority as they are (RFC 7541, appendix A).
    fields = b"\x82\x86\x44" + bytes([len(path)]) + path + b"\x41\x09localhost"
    with socket.create_connection(("127.0.0.1", server.port), PATIENCE) as client:
        headers = frame(1, 0x5, 1, fields)  # END_STREAM, END_HEADERS
        client.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + no_window + headers)
        said = b""
        while b"\x01\x04\x00\x00\x00\x01" not in said:  # the headers of the answer have come
            said += client.recv(1000) or pytest.fail(f"closed after {said!r}")
        assert server.stop() == 0
    assert not server.killed_a_worker


@pytest.mark.parametrize("name", ["sync_busy", "async_busy"])
def test_a_worker_that_stood_still_does_not_give_up_who_read_meanwhile(
    site: Path, serve: Serve, name: str
) -> None:
    """As in a container that is paused; and a client that reads nothing is given up all the same."""
    server = serve(site, SEND_TIMEOUT="3").ready()
    (worker,) = server.workers

    def parts() -> int:
        return int(server.get("/how_many").text)

    with asking(server, f"/{name}") as client, asking(server, f"/{name}"):
        wait_for(lambda: 0 < parts() == parts(), "both streams to wait for their clients")
        worker.suspend()
        time.sleep(4)  # longer than SEND_TIMEOUT
        client.settimeout(0.2)
        with suppress(TimeoutError):
            while client.recv(1_000_000):
                pass
        worker.resume()
        client.settimeout(PATIENCE)
        size = 0
        while size < 20_000_000:  # more than lay in buffers
            size += len(client.recv(1_000_000) or pytest.fail("the stream has ended"))
        server.wait_for_log(f"GET /{name}: ended, since its client has read nothing")
    assert server.stop() == 0


@pytest.mark.parametrize("name", ["real_file", "sync_busy"])
def test_a_slow_client_that_goes_on_reading_is_served(site: Path, serve: Serve, name: str) -> None:
    server = serve(site, SEND_TIMEOUT="5").ready()

    size = 0
    with asking(server, f"/{name}", buffer=64 * 1024) as client:
        while size < 9_000_000 and (part := client.recv(64 * 1024)):
            size += len(part)
            time.sleep(0.01)
    assert size >= 9_000_000
    assert "has read nothing" not in server.log


@pytest.mark.parametrize("name", ["late", "alate"])
def test_no_stream_is_lost_that_begins_when_the_watch_for_its_client_does(
    site: Path, serve: Serve, name: str
) -> None:
    """Granian says that a client has left to who gives up asking, and asks again at once."""
    server = serve(site).ready()

    def ask(_: int) -> int:
        answer = server.get(f"/{name}")
        assert answer.status_code == 200
        return len(answer.content)

    with ThreadPoolExecutor(8) as clients:
        assert set(clients.map(ask, range(200))) == {655_360}
    assert server.stop() == 0


@pytest.mark.parametrize("name", ["large", "alarge"])
def test_a_large_response_is_no_more_patient_than_a_stream(
    site: Path, serve: Serve, name: str
) -> None:
    """Or the clients that do not read one would keep it in memory for ever."""
    server = serve(site, SEND_TIMEOUT="1").ready()
    with ExitStack() as clients:
        for _ in range(5):
            clients.enter_context(asking(server, f"/{name}"))
        server.wait_for_log(f"GET /{name}: ended, since its client has read nothing", 5)
        assert busy_threads(server) == 0
    answer = server.get(f"/{name}")
    assert answer.headers["content-length"] == str(len(answer.content)) == str(64 * 1024 * 1024)
    assert server.stop() == 0


@pytest.mark.parametrize("name", STREAMS)
def test_head_does_not_run_a_stream(site: Path, serve: Serve, name: str) -> None:
    server = serve(site).ready()

    with asking(server, f"/{name}", method="HEAD") as client:
        assert client.recv(100).startswith(b"HTTP/1.1 200")
        wait_for(lambda: busy_threads(server) == 0, "threads that have nothing to do")
        if "busy" not in name and "rows" not in name:
            server.wait_for_log("stream closed")
        client.sendall(b"GET /tick HTTP/1.1\r\nHost: localhost\r\n\r\n")
        wait_for(lambda: b"tick" in client.recv(4096), "the next answer on the connection")
