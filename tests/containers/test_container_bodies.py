"""The image and the Compose project, and bodies that would fill a container's memory, disk or connections."""

import socket
import ssl
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path

import httpx
import pytest

from tests.containers.test_container import Start, built_project, data, image, start  # noqa: F401
from tests.containers.test_container_compose import PROXIED, engine, https  # noqa: F401
from tests.live.test_bodies import MULTIPART, form, head, status
from tests.support.containers import Compose, Container, composed, locked_project
from tests.support.server import PATIENCE, wait_for
from tests.support.sites import put_site, site_volume

pytestmark = pytest.mark.container

MEMORY = ["--memory=384m", "--memory-swap=384m"]  # compose.yaml's, for one worker


@pytest.fixture
def taking(start: Start, tmp_path: Path) -> Callable[..., Container]:  # noqa: F811
    """A container whose views take uploads: `taking("--memory=384m")`."""
    volume = site_volume(tmp_path, "uploads")

    def run(*options: str, **variables: str) -> Container:
        variables = {"SECURE_SSL_REDIRECT": "false", "ALLOWED_HOSTS": "*"} | variables
        return start(volume, *options, **variables).ready()

    return run


def zeros(megabytes: int) -> Iterator[bytes]:
    piece = bytes(1_000_000)
    return (piece for _ in range(megabytes))


def post(container: Container, path: str, megabytes: int, *, announced: bool = True) -> int:
    """The status that a body of so many megabytes gets, as a client without `Expect` sends it."""
    headers = {"Content-Length": str(megabytes * 1_000_000)} if announced else {}
    return send(container, path, zeros(megabytes), headers)


def post_form(container: Container, path: str, megabytes: int) -> int:
    """The same for a form with a file of that size."""
    empty = form(0)
    before, after = empty[: -len(b"\r\n--tea--\r\n")], b"\r\n--tea--\r\n"
    headers = {
        "Content-Type": MULTIPART,
        "Content-Length": str(len(empty) + megabytes * 1_000_000),
    }

    def parts() -> Iterator[bytes]:
        yield before
        yield from zeros(megabytes)
        yield after

    return send(container, path, parts(), headers)


def send(container: Container, path: str, content: Iterator[bytes], headers: dict[str, str]) -> int:
    url = container.address + path
    answer = httpx.post(url, content=content, headers=headers, timeout=PATIENCE, verify=False)  # noqa: S501
    return answer.status_code


def at_once(container: Container, number: int, ask: Callable[[], int]) -> Counter[int]:
    """How often each status is the answer to so many requests at the same time."""
    with ThreadPoolExecutor(number) as pool:
        seen = Counter(future.result() for future in [pool.submit(ask) for _ in range(number)])
    wait_for_closed_bodies(container)
    return seen


def wait_for_closed_bodies(container: Container) -> None:
    """Waits until no body takes space any more: a client has its answer before its body is closed."""
    open_files = ["sh", "-c", "ls -l /proc/[0-9]*/fd 2>&1"]  # those of bodies have no name any more
    wait_for(lambda: "(deleted)" not in container.run(*open_files, check=False), "closed bodies")


def small_bodies_at_once(container: Container, number: int) -> Counter[int]:
    """The same for bodies of 1.5 MB, of which none is whole before all have been begun."""
    host, _, port = container.address.removeprefix("http://").rpartition(":")
    body = bytes(1_500_000)
    seen: Counter[int] = Counter()
    with ExitStack() as stack:
        clients = []
        for _ in range(number):
            client = socket.create_connection((host, int(port)), timeout=PATIENCE)
            clients.append(stack.enter_context(client))
            client.sendall(head("/echo/", f"Content-Length: {len(body) + 1}"))
            with suppress(ConnectionError):  # one that was refused need not take it
                client.sendall(body)
        for client in clients:
            with suppress(ConnectionError):
                client.sendall(b"x")
            seen[status(client.recv(1000))] += 1
    return seen


def test_no_body_ends_a_container(taking: Callable[..., Container]) -> None:
    # On a busy machine the clients may be slow: what is judged is what their bodies take.
    container = taking(*MEMORY, BODY_TIMEOUT="600")
    started = container.state["StartedAt"]

    assert post(container, "/nowhere/", 600) == 413
    assert post(container, "/nowhere/", 600, announced=False) == 413
    assert at_once(container, 5, lambda: post(container, "/nowhere/", 90)) == {404: 5}
    assert at_once(container, 5, lambda: post(container, "/echo/", 90, announced=False)) == {200: 5}
    assert at_once(container, 2, lambda: post_form(container, "/upload/", 95)) == {200: 2}
    assert at_once(container, 2, lambda: post_form(container, "/aupload/", 95)) == {200: 2}
    # Each is on disk twice, and there is room for five such pairs; the others are told so.
    many = at_once(container, 12, lambda: post_form(container, "/upload/", 90))
    assert many.keys() <= {200, 503}
    assert many[200] >= 5
    assert at_once(container, 150, lambda: post(container, "/echo/", 2)) == {200: 150}

    many = small_bodies_at_once(container, 1000)
    assert many.keys() <= {200, 503}
    assert many[200] >= 600  # a gigabyte

    state = container.state
    assert (state["StartedAt"], state["Running"], state["OOMKilled"]) == (started, True, False)
    assert container.get("/readyz").status_code == 200
    assert container.run("sh", "-c", "ls -A $TMPDIR; ls -A /tmp") == "", "nothing is left"
    assert container.stop() == 0
    assert "Traceback" not in container.log


def test_a_full_disk_is_an_answer(taking: Callable[..., Container]) -> None:
    container = taking("--tmpfs=/var/tmp:size=20m")

    assert post(container, "/echo/", 15) == 200
    assert post(container, "/echo/", 30) == 507, "seen before it is read"
    assert post(container, "/echo/", 30, announced=False) == 507, "seen when it is written"
    assert post_form(container, "/upload/", 15) == 507, "its files need as much again"
    for path in ("/full/", "/afull/"):  # full when the view asks for the files
        wait_for_closed_bodies(container)
        assert post_form(container, path, 5) == 507
    for path in ("/upload/", "/aupload/"):
        wait_for_closed_bodies(container)
        assert post_form(container, path, 5) == 200, "there is room again"

    assert container.stop() == 0
    assert "Traceback" not in container.log
    said = [r for r in container.records if r["log.level"] in ("WARNING", "ERROR", "CRITICAL")]
    assert len(said) == 5, "one line each"
    assert all("/var/tmp" in record["message"] for record in said), said  # noqa: S108


@pytest.fixture(scope="module")
def proxied(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Compose]:
    """A Compose project behind its proxy, with bounds that a test can reach."""
    project = locked_project(tmp_path_factory.mktemp("proxied"))
    put_site(project, "uploads")
    with (project / ".env").open("a") as variables:
        variables.write("\nBODY_TIMEOUT=5\nMAX_BODY_SIZE=5000000\n")
    with composed(project, **PROXIED | {"WEB_REPLICAS": "1"}) as compose:
        compose.make("build", "up")
        yield compose


def secure(port: int) -> socket.socket:
    """A connection to the proxy, by TLS and HTTP/1.1."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    plain = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
    return context.wrap_socket(plain, server_hostname="localhost")


@pytest.mark.usefixtures("engine")
def test_one_variable_bounds_the_server_and_the_proxy(proxied: Compose) -> None:
    with httpx.Client(base_url=https(proxied), verify=False, timeout=PATIENCE) as client:  # noqa: S501
        assert client.post("/echo/", content=bytes(5_000_000)).text == "5000000"
        for path in ("/echo/", "/nowhere/"):
            for size in 8 * (5_000_001, 50_000_000):
                assert client.post(path, content=bytes(size)).status_code == 413
        # Where the size is not said and a client sends faster than the server refuses, it is the proxy that
        # does; Caddy 2.6 by 502, a later one by 413.
        assert client.post("/echo/", content=zeros(50)).status_code in (413, 502)
        assert client.get("/readyz").status_code == 200
    with secure(
        int(https(proxied).rpartition(":")[2])
    ) as silent:  # it sends nothing, so no one is faster
        silent.sendall(head("/echo/", "Content-Length: 5000001"))
        assert status(silent.recv(1000)) == 413
    adapted = proxied(
        "exec", "-T", "proxy", "caddy", "adapt", "--config", "/etc/caddy/Caddyfile"
    )  # fmt: skip
    assert '"max_size":5000000' in adapted.replace(" ", "")


@pytest.mark.usefixtures("engine")
def test_silent_clients_are_told_to_go_through_the_proxy_too(proxied: Compose) -> None:
    address = https(proxied)
    port = int(address.rpartition(":")[2])
    with ExitStack() as stack:
        silent = []
        for _ in range(1100):
            client = stack.enter_context(secure(port))
            client.sendall(head("/nowhere/", "Content-Length: 10"))
            silent.append(client)
        # More than the proxy passes on at once, so the container's own check finds a connection ...
        check = ("python", "-I", "-m", "serving_tools.healthcheck", "/livez")
        proxied("exec", "-T", "web", *check)
        # ... and others are served as soon as these are told to go.
        answer = httpx.get(f"{address}/uptime/", verify=False, timeout=PATIENCE)  # noqa: S501
        assert answer.status_code == 200
        assert {status(client.recv(1000)) for client in silent} == {408}
