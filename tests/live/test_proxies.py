"""Real Granian behind real proxies: who asks, over http or https, and below which path."""

import os
import re
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.conftest import Serve
from tests.support.server import PATIENCE, Server, free_port, wait_for
from tests.support.services import installed
from tests.support.sites import put_site

CLIENT = "203.0.113.7"


Proxy = Callable[[str], str]


@pytest.fixture
def seeing(project: Path) -> Path:
    """A project with those views."""
    put_site(project, "proxied")
    return project


@pytest.fixture
def caddy(tmp_path: Path) -> Iterator[Proxy]:
    """Starts Caddy with TLS on a free port and these directives; gives its address."""
    program = installed(["caddy"])
    running: list[subprocess.Popen[bytes]] = []

    def start(directives: str) -> str:
        port = free_port()
        folder = tmp_path / f"caddy-{port}"
        folder.mkdir()
        (folder / "Caddyfile").write_text(
            "{\nadmin off\nauto_https disable_redirects\nskip_install_trust\n}\n"
            f"https://localhost:{port} {{\ntls internal\n{directives}\n}}\n"
        )
        home = {"XDG_DATA_HOME": str(folder), "XDG_CONFIG_HOME": str(folder)}
        with (folder / "log").open("w") as log:
            running.append(
                subprocess.Popen(
                    [program, "run", "--config", folder / "Caddyfile", "--adapter", "caddyfile"],
                    env=os.environ | home,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                )
            )
        address = f"https://localhost:{port}"

        def answers() -> bool:
            assert running[-1].poll() is None, (folder / "log").read_text()
            try:
                ask(address)
            except httpx.TransportError:
                return False
            return True

        wait_for(answers, "the proxy")
        return address

    yield start
    for process in running:
        process.kill()
        process.wait()


def ask(url: str, **options: Any) -> httpx.Response:
    """One request, on a connection of its own, to a proxy whose certificate nobody knows."""
    return httpx.get(url, timeout=PATIENCE, verify=False, **options)  # noqa: S501


def addresses(server: Server, path: str) -> list[str]:
    """The clients' addresses in the access log, of the requests for a path."""
    return [record["client.address"] for record in server.records if record.get("url.path") == path]


def logged_address(server: Server, path: str) -> str:
    """The client's address in the access log, of the only request for a path."""
    wait_for(lambda: addresses(server, path), "the access log")
    (address,) = addresses(server, path)
    return address


@pytest.mark.parametrize(
    ("headers", "client"),
    [
        ([("X-Forwarded-For", CLIENT), ("X-Forwarded-Proto", "https,http")], CLIENT),
        ([("X-Forwarded-For", CLIENT), ("X-Forwarded-Proto", "https, https")], CLIENT),
        ([("X-Forwarded-For", CLIENT), ("X-Forwarded-Proto", "HTTPS")], CLIENT),
        (
            [
                ("X-Forwarded-For", f"{CLIENT}:51234"),
                ("X-Forwarded-For", "127.0.0.9"),
                ("X-Forwarded-Proto", "https"),
                ("X-Forwarded-Proto", "http"),
            ],
            CLIENT,
        ),
        ([("X-Forwarded-Proto", "https")], "127.0.0.1"),
        ([("X-Forwarded-For", "<script>"), ("X-Forwarded-Proto", "https")], "127.0.0.1"),
        ([("X-Forwarded-For", "unknown"), ("X-Forwarded-Proto", "https")], "127.0.0.1"),
        (
            [("X-Forwarded-For", f"::ffff:{CLIENT}, " + "127.0.0.1," * 20), ("X-Forwarded-Proto", "https")],
            CLIENT,
        ),
    ],
)  # fmt: skip
def test_a_trusted_proxy_is_understood(
    seeing: Path, serve: Serve, headers: list[tuple[str, str]], client: str
) -> None:
    server = serve(seeing, SECURE_SSL_REDIRECT="true", TRUSTED_PROXIES="127.0.0.0/24").ready()
    answer = server.get("/seen/", headers=headers)

    assert answer.status_code == 200, answer.headers
    assert answer.json()["secure"] is True
    assert answer.json()["client"] == client
    assert server.get("/async-seen/", headers=headers).json()["client"] == client
    assert logged_address(server, "/seen/") == client


def test_a_server_on_every_address_knows_ipv4_when_it_sees_it(seeing: Path, serve: Serve) -> None:
    server = serve(
        seeing, GRANIAN_HOST="::", SECURE_SSL_REDIRECT="true", TRUSTED_PROXIES="127.0.0.1"
    ).ready()
    https = {"X-Forwarded-For": f"::ffff:{CLIENT}", "X-Forwarded-Proto": "https"}

    assert server.get("/seen/", headers=https).json()["client"] == CLIENT
    assert logged_address(server, "/seen/") == CLIENT
    assert server.get("/uptime/").status_code == 301
    assert logged_address(server, "/uptime/") == "127.0.0.1"


@pytest.mark.parametrize("workers", [1, 2])
def test_a_proxy_on_a_unix_socket_is_trusted_by_a_word(
    seeing: Path, serve: Serve, caddy: Proxy, tmp_path: Path, workers: int
) -> None:
    path = tmp_path / "granian.sock"
    server = serve(
        seeing,
        "granian config.asgi:application",
        GRANIAN_UDS=str(path),
        GRANIAN_WORKERS=str(workers),
        SECURE_SSL_REDIRECT="true",
        TRUSTED_PROXIES="unix",
    )
    wait_for(lambda: server.exited or path.exists(), "the socket")
    server.wait_for_log("Started worker-", workers)
    address = caddy(f"reverse_proxy unix/{path}")

    answer = ask(f"{address}/seen/")
    assert answer.status_code == 200, answer.headers
    assert answer.json()["secure"] is True
    assert answer.json()["client"] in ("127.0.0.1", "::1"), "the proxy's client"
    assert answer.json()["url"] == f"{address}/seen/"
    assert logged_address(server, "/seen/") == answer.json()["client"]
    assert "TRUSTED_PROXIES" not in server.log


def test_a_proxy_on_a_unix_socket_that_nobody_trusts_is_named(
    seeing: Path, serve: Serve, tmp_path: Path
) -> None:
    path = tmp_path / "granian.sock"
    command = "granian config.asgi:application"
    server = serve(seeing, command, GRANIAN_UDS=str(path), SECURE_SSL_REDIRECT="true")
    server.wait_for_log("Started worker-")
    https = {"X-Forwarded-For": CLIENT, "X-Forwarded-Proto": "https"}
    with httpx.Client(
        transport=httpx.HTTPTransport(uds=str(path)), base_url="http://localhost"
    ) as client:
        wait_for(lambda: path.exists(), "the socket")
        for _ in range(3):
            assert client.get("/", headers=https).status_code == 301
    server.wait_for_log("add unix to TRUSTED_PROXIES")
    assert server.stop() == 0
    assert server.log.count("add unix to TRUSTED_PROXIES") == 1


def test_an_endless_redirect_names_its_cause_once(seeing: Path, serve: Serve) -> None:
    server = serve(seeing, SECURE_SSL_REDIRECT="true", TRUSTED_PROXIES="10.0.0.2").ready()
    https = {"X-Forwarded-For": CLIENT, "X-Forwarded-Proto": "https"}
    for _ in range(3):
        assert server.get("/", headers=https).status_code == 301
    server.wait_for_log("add 127.0.0.1 to TRUSTED_PROXIES")
    assert server.stop() == 0
    (said,) = server.messages("serving.http.proxy")
    assert said.startswith("127.0.0.1 sent X-Forwarded-Proto: https and is not in TRUSTED_PROXIES")


STRIPS = "redir /app /app/\nhandle_path /app/* {{\nreverse_proxy 127.0.0.1:{port}\n}}"
PASSES_ON = "handle /app* {{\nreverse_proxy 127.0.0.1:{port}\n}}"


@pytest.mark.parametrize("directives", [STRIPS, PASSES_ON], ids=["strips", "passes on"])
def test_a_site_below_a_path_works_whether_the_proxy_strips_it_or_not(
    seeing: Path, serve: Serve, caddy: Proxy, directives: str
) -> None:
    server = serve(
        seeing,
        GRANIAN_URL_PATH_PREFIX="/app",
        TRUSTED_PROXIES="127.0.0.1",
        SECURE_SSL_REDIRECT="true",
        SECURE_COOKIES="true",
    ).ready()
    address = caddy(directives.format(port=server.port))
    site = f"{address}/app"

    page = ask(f"{site}/")
    assert page.status_code == 200
    others = [ask(f"{site}/{path}/").text for path in ("accounts/login", "nowhere")]
    links = set(re.findall(r'(?:href|src)="([^"]+)"', page.text + "".join(others)))
    assert {"/app/", "/app/accounts/login/", "/app/accounts/password_reset/"} <= links
    for link in links:
        there = str(page.url.join(link))
        assert there.startswith(f"{site}/"), link
        assert ask(there, follow_redirects=True).status_code == 200, link
    style = next(link for link in links if link.endswith(".css"))
    assert "immutable" in ask(address + style).headers["cache-control"]

    with httpx.Client(base_url=address, verify=False, timeout=PATIENCE) as client:  # noqa: S501
        seen = client.get("/app/seen/")
        assert seen.json()["path"] == seen.json()["link"] == "/app/seen/"
        assert seen.json()["url"] == f"{site}/seen/"
        cookies = seen.headers.get_list("set-cookie")
        assert len(cookies) == 2
        assert all("; Path=/app;" in cookie for cookie in cookies)
        assert len(client.get("/app/seen/").request.headers["cookie"].split(";")) == 2, "sent back"
        login = client.get("/app/admin/")
        assert login.status_code == 302
        assert login.headers["location"] == "/app/admin/login/?next=/app/admin/"
        form = client.get(login.headers["location"])
        for link in re.findall(r'(?:href|src|action)="(/[^"]+)"', form.text):
            assert link.startswith("/app/"), link
            assert client.get(link, follow_redirects=True).status_code == 200, link
        assert client.get("/app/seen").headers["location"] == "/app/seen/", "APPEND_SLASH"
        assert client.get("/app").headers["location"] == "/app/"
        for probe in ("/app/livez", "/app/readyz"):
            assert client.get(probe).json() == {"status": "ok"}
    assert server.get("/livez").json() == server.get("/readyz").json() == {"status": "ok"}
    plain = server.get("/uptime/?tea=green", headers={"Host": "localhost"})
    assert plain.headers["location"] == "https://localhost/app/uptime/?tea=green"
    assert server.stop() == 0
    assert "/livez" not in server.log, "probes are not in the access log, below the path neither"


def test_a_path_that_is_none_stops_the_start(seeing: Path, serve: Serve) -> None:
    server = serve(seeing, GRANIAN_URL_PATH_PREFIX="app/")

    assert server.wait() != 0
    assert "GRANIAN_URL_PATH_PREFIX='app/': 'app/' is not a path such as /app" in server.log


def test_commands_and_development_know_the_path_too(seeing: Path, serve: Serve) -> None:
    server = serve(seeing, GRANIAN_URL_PATH_PREFIX="/app", DEBUG="true").ready()

    for prefix in ("", "/app"):
        page = server.get(f"{prefix}/")
        style = re.search(r'href="(/app/static/site\.css)"', page.text)
        assert style
        assert server.get(style[1]).status_code == 200
        assert server.get(style[1].removeprefix("/app")).status_code == 200


def test_a_header_that_a_client_breaks_off_disturbs_nobody(seeing: Path, serve: Serve) -> None:
    server = serve(seeing, TRUSTED_PROXIES="127.0.0.1").ready()
    odd = b"\xff,\x80:1,[::1,%,::::,1.2.3.4:5:6," + b"9" * 4096 + b",[" + b":" * 4096
    with socket.create_connection(("127.0.0.1", server.port), PATIENCE) as connection:
        connection.sendall(
            b"GET /async-seen/ HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
            b"X-Forwarded-For: " + odd + b"\r\nX-Forwarded-Proto: \xff\r\n\r\n"
        )
        with connection.makefile("rb") as stream:
            answer = stream.read()
    assert answer.startswith(b"HTTP/1.1 200")
    assert b'"client": "127.0.0.1"' in answer
    assert server.stop() == 0
    assert "Traceback" not in server.log
