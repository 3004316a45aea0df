"""The health check against real servers: it asks where, and as, the server's own flags say."""

import socket
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Serve, clean_environment
from tests.support.packages import TOOLS
from tests.support.server import Server, free_port, wait_for

Check = Callable[..., tuple[int, str]]

BY_VARIABLES = "python -m serving config.asgi:application"


@pytest.fixture
def check(environment: Path, project: Path) -> Check:
    """Runs the health check as the engine does; returns its exit status and what it said."""

    def run(path: str = "/livez", **variables: str) -> tuple[int, str]:
        done = subprocess.run(
            [environment / "bin" / "python", "-I", TOOLS, "healthcheck", path],
            cwd=project,
            env=clean_environment() | variables,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.stdout == ""
        return done.returncode, done.stderr.strip()

    return run


@pytest.fixture
def certificate(tmp_path: Path) -> dict[str, str]:
    """The flags of a server with TLS, whose certificate it has signed itself."""
    return signed(tmp_path, "server")


def signed(folder: Path, name: str) -> dict[str, str]:
    key, certificate = folder / f"{name}.key", folder / f"{name}.pem"
    openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={name}", "-days", "2",
            "-keyout", str(key), "-out", str(certificate))  # fmt: skip
    return {"GRANIAN_SSL_CERTIFICATE": str(certificate), "GRANIAN_SSL_KEYFILE": str(key)}


def openssl(*arguments: str) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True)


def healthy(check: Check, server: Server, path: str = "/livez", **flags: str) -> None:
    """Waits until the check finds the server well, and fails with its last words."""
    last = ""

    def well() -> bool:
        nonlocal last
        assert not server.exited, server.log
        status, last = check(path, **flags)
        return status == 0

    try:
        wait_for(well, "the health check")
    except AssertionError as error:
        raise AssertionError(f"{error}: {last}\n{server.log}") from None
    assert last == ""


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", "127.0.0.9", "::1", "::"])  # noqa: S104
@pytest.mark.parametrize("tls", [False, True], ids=["http", "https"])
def test_every_address_that_a_server_may_have(
    project: Path, serve: Serve, check: Check, certificate: dict[str, str], host: str, tls: bool
) -> None:
    flags = {"GRANIAN_HOST": host, "GRANIAN_PORT": str(free_port())}
    flags |= certificate if tls else {}
    server = serve(project, BY_VARIABLES, **flags)
    healthy(check, server, **flags)
    healthy(check, server, "/readyz", **flags)


@pytest.mark.parametrize("tls", [False, True], ids=["http", "https"])
def test_a_unix_socket(
    project: Path, serve: Serve, check: Check, certificate: dict[str, str], tls: bool
) -> None:
    flags = {"GRANIAN_UDS": str(project / "web.sock"), **(certificate if tls else {})}
    server = serve(project, BY_VARIABLES, **flags)
    healthy(check, server, **flags)
    server.stop()
    status, words = check(**flags)
    assert status == 1
    assert words == f"unix:{flags['GRANIAN_UDS']}/livez: [Errno 2] No such file or directory"


@pytest.mark.parametrize("tls", [False, True], ids=["h2c", "h2"])
def test_a_server_that_speaks_http2_alone(
    project: Path, serve: Serve, check: Check, certificate: dict[str, str], tls: bool
) -> None:
    flags = {"GRANIAN_HTTP": "2", "GRANIAN_PORT": str(free_port())}
    flags |= certificate if tls else {}
    server = serve(project, BY_VARIABLES, **flags)
    healthy(check, server, "/readyz", **flags)
    status, words = check("/missing", **flags)
    assert (status, words.count("\n")) == (1, 0)
    assert "/missing: no status of 200" in words


@pytest.mark.parametrize(
    "lines",
    [
        "GRANIAN_HOST='::1'\nGRANIAN_PORT={}",
        "GRANIAN_HOST = '::1' # loopback\nexport GRANIAN_PORT={} # its own",
        "BASE={}\nGRANIAN_HOST=::1\nGRANIAN_PORT=${{BASE}}",
    ],
)
def test_the_flags_of_the_file_count_where_no_variable_says_else(
    project: Path, serve: Serve, check: Check, lines: str
) -> None:
    port = str(free_port())
    flags = project / "config" / "granian.env"
    flags.write_text(f"{flags.read_text()}\n{lines.format(port)}\n")
    server = serve(project, BY_VARIABLES)
    healthy(check, server)
    status, words = check(GRANIAN_PORT=str(free_port()))
    assert status == 1
    assert words.startswith("http://[::1]:")
    assert "Connection refused" in words


def test_a_file_that_no_server_would_take_is_named(project: Path, check: Check) -> None:
    flags = project / "config" / "granian.env"
    flags.write_text("GRANIAN_PORT=80 81\n")
    status, words = check()
    assert status == 1
    assert words.endswith(
        "granian.env line 1: GRANIAN_PORT has a space outside quotes; write GRANIAN_PORT='...'"
    )
    flags.unlink()  # where all flags are variables
    status, words = check(GRANIAN_PORT=str(free_port()))
    assert status == 1
    assert "Connection refused" in words


@pytest.mark.parametrize(
    ("hosts", "redirects", "prefix"),
    [
        ("shop.example,other.example", "true", ""), (" .shop.example", "false", ""),
        ("*, shop.example", "true", "/app"), ("*", "false", "/app"),
    ],
)  # fmt: skip
def test_a_page_of_a_server_as_it_is_deployed(
    project: Path, serve: Serve, check: Check, hosts: str, redirects: str, prefix: str
) -> None:
    """Django answers to its own names alone, with 400 to others; and sends http to https."""
    flags = {
        "ALLOWED_HOSTS": hosts, "SECURE_SSL_REDIRECT": redirects, "GRANIAN_URL_PATH_PREFIX": prefix,
        "GRANIAN_PORT": str(free_port()),
    }  # fmt: skip
    server = serve(project, BY_VARIABLES, **flags)
    healthy(check, server, "/readyz", **flags)
    assert check("/accounts/login/", **flags) == (0, "")
    status, words = check("/accounts/login", **flags)  # APPEND_SLASH
    assert (status, " 301" in words) == ((0, False) if redirects == "true" else (1, True))


@pytest.mark.parametrize(
    "location",
    ["http://shop.example/cart/", "https://shop.example/", "https://shop.example/login/?next=/cart/", "/cart/", "https:"],
)  # fmt: skip
def test_a_redirect_elsewhere_is_no_answer(check: Check, location: str) -> None:
    with Answering(b"/cart/", f"301 Moved\r\nLocation: {location}".encode()) as port:
        status, words = check("/cart/", GRANIAN_PORT=str(port))
    assert (status, words) == (1, f"http://127.0.0.1:{port}/cart/: 301 nothing here")


def test_a_server_with_a_prefix(project: Path, serve: Serve, check: Check) -> None:
    flags = {"GRANIAN_URL_PATH_PREFIX": "/app", "GRANIAN_PORT": str(free_port())}
    healthy(check, serve(project, BY_VARIABLES, **flags), **flags)


def test_a_server_that_answers_under_its_prefix_alone(check: Check) -> None:
    with Answering(b"/app/livez") as port:
        flags = {"GRANIAN_PORT": str(port)}
        assert check(**flags, GRANIAN_URL_PATH_PREFIX="/app/") == (0, "")
        status, words = check(**flags)
        assert (status, words) == (1, f"http://127.0.0.1:{port}/livez: 404 nothing here")


class Answering:
    """A server that has one path alone, on a thread of its own; gives its port."""

    def __init__(self, path: bytes, answer: bytes = b"200 OK") -> None:
        self.path, self.answer = path, answer

    def __enter__(self) -> int:
        self.listener = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self.serve, daemon=True).start()
        port: int = self.listener.getsockname()[1]
        return port

    def serve(self) -> None:
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            with connection:
                found = connection.recv(4096).split()[1] == self.path
                status = self.answer if found else b"404 Not Found"
                connection.sendall(b"HTTP/1.1 %s\r\n\r\nnothing\nhere" % status)

    def __exit__(self, *_: object) -> None:
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()


@pytest.fixture
def authority(tmp_path: Path) -> dict[str, str]:
    """The flags of a server whose certificate an authority signed, which signs the clients' too."""
    flags = signed(tmp_path, "authority")
    request, own = tmp_path / "own.csr", tmp_path / "own"
    openssl("req", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=own", "-keyout", f"{own}.key",
            "-addext", "subjectAltName=DNS:own", "-out", str(request))  # fmt: skip
    openssl("x509", "-req", "-in", str(request), "-CA", flags["GRANIAN_SSL_CERTIFICATE"],
            "-CAkey", flags["GRANIAN_SSL_KEYFILE"], "-CAcreateserial", "-days", "2",
            "-copy_extensions", "copy", "-out", f"{own}.pem")  # fmt: skip
    return {
        "GRANIAN_SSL_CERTIFICATE": f"{own}.pem",
        "GRANIAN_SSL_KEYFILE": f"{own}.key",
        "GRANIAN_SSL_CA": flags["GRANIAN_SSL_CERTIFICATE"],
        "GRANIAN_SSL_CLIENT_VERIFY": "true",
    }


def test_a_server_that_verifies_clients_is_shown_its_own_certificate(
    project: Path, serve: Serve, check: Check, authority: dict[str, str]
) -> None:
    flags = {**authority, "GRANIAN_PORT": str(free_port())}
    healthy(check, serve(project, BY_VARIABLES, **flags), **flags)


def test_a_server_that_takes_no_certificate_of_its_own_is_said_to(
    project: Path,
    serve: Serve,
    check: Check,
    authority: dict[str, str],
    certificate: dict[str, str],
) -> None:
    flags = {**authority, **certificate, "GRANIAN_PORT": str(free_port())}
    serve(project, BY_VARIABLES, **flags).wait_for_log("Started worker-")

    def said() -> bool:
        status, words = check(**flags)
        assert status == 1
        return "GRANIAN_SSL_CA" in words and words.count("\n") == 0

    wait_for(said, "the words that say why")


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"GRANIAN_PORT": "eighty"}, "GRANIAN_PORT='eighty' is no port"),
        ({"GRANIAN_HOST": "no.such.host.invalid"}, "http://no.such.host.invalid:8000/livez: "),
        (
            {"GRANIAN_SSL_CERTIFICATE": "/none.pem", "GRANIAN_SSL_KEYFILE": "/none.key"},
            "https://127.0.0.1:8000/livez: ",
        ),
    ],
)
def test_what_cannot_work_is_one_line(check: Check, variables: dict[str, str], words: str) -> None:
    status, said = check(**{"GRANIAN_PORT": str(free_port()), **variables})
    assert status == 1
    if "GRANIAN_PORT" not in variables:
        words = words.split(":8000")[0]
    assert said.startswith(words)
    assert said.count("\n") == 0


def test_a_server_that_says_nothing_is_not_waited_for(check: Check) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        assert check(GRANIAN_PORT=str(port)) == (1, f"http://127.0.0.1:{port}/livez: timed out")
