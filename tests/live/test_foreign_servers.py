"""What `make setup` says where another project's server, or an old volume's, is on the port."""

import json
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread

import pytest

from tests.conftest import Run, bake_into, clean_environment
from tests.support.server import listens, server_environment
from tests.support.services import PASSWORD, Postgres, Valkey

Ask = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def both(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bake_into(tmp_path_factory.mktemp("both"), database="postgres", cache="valkey")


@pytest.fixture
def ask(both: Path, environment: Path, tmp_path: Path) -> Ask:
    """Runs serving_tools.services, where Compose publishes these ports of its services."""

    def run_services(ports: dict[str, int], **variables: str) -> subprocess.CompletedProcess[str]:
        engine = tmp_path / "engine"
        answers = "".join(f"{name}) echo 127.0.0.1:{port};;\n" for name, port in ports.items())
        volumes = json.dumps({"volumes": {"db": {"name": "my-project_db"}}})
        engine.write_text(
            f"#!/bin/sh\n[ $2 = config ] && echo '{volumes}' && exit\n"
            f"[ $2 = port ] || exit 9\ncase $3 in\n{answers}*) exit 1;;\nesac\n"
        )
        engine.chmod(0o755)
        elsewhere = {
            "DATABASE_URL": "postgres://ada@db.example/shop",
            "CACHE_URL": "redis://cache.example/0",
        }
        return subprocess.run(
            [environment / "bin" / "python", "-m", "serving_tools.services"],
            cwd=both, capture_output=True, text=True, check=False,
            env=clean_environment() | server_environment(both) | elsewhere | variables
            | {"ENGINE": str(engine)},
        )  # fmt: skip

    return run_services


def told(done: subprocess.CompletedProcess[str], status: int) -> str:
    """The one line that is said."""
    assert done.returncode == status, done.stderr
    (line,) = done.stderr.splitlines()
    for secret in ("hunter2", PASSWORD):
        assert secret not in line
    return line


def test_another_projects_postgres_is_named_with_the_fix(ask: Ask, postgres: Postgres) -> None:
    for url in (
        postgres.url("shop", password="hunter2"),
        postgres.url("my_project", user="my_project", password="hunter2"),
    ):
        line = told(ask({}, DATABASE_URL=url), 1)
        assert f"port {postgres.port} is answered by a PostgreSQL that refuses this user" in line
        assert "it is another's server; set POSTGRES_PORT=" in line
        free = int(line.partition("POSTGRES_PORT=")[2].split()[0])
        assert not listens(free), "a port that is free"
    line = told(ask({"db": 1}, DATABASE_URL=postgres.url("nosuch")), 1)
    assert "has no database of this name" in line
    assert "another's server" in line


def test_an_old_volume_is_named_with_the_command_that_drops_it(
    ask: Ask, postgres: Postgres
) -> None:
    url = postgres.url("shop", password="hunter2")
    line = told(ask({"db": postgres.port}, DATABASE_URL=url), 1)

    assert "it is Compose's own, whose volume was made with another password" in line
    assert "DELETES ITS DATA" in line
    assert "compose rm --stop --force db && " in line
    assert line.endswith("volume rm my-project_db")


def test_the_right_server_is_left_alone(ask: Ask, postgres: Postgres, valkey: Valkey) -> None:
    valkey.ask("SET my-project:1:tea oolong")
    urls = {"DATABASE_URL": postgres.url(), "CACHE_URL": valkey.url}
    for ports in ({}, {"db": postgres.port, "cache": valkey.port}):
        done = ask(ports, **urls)
        assert (done.returncode, done.stderr) == (0, "")


def test_another_projects_valkey_is_known_by_its_keys(ask: Ask, valkey: Valkey) -> None:
    valkey.ask("SET another:1:tea oolong")
    line = told(ask({}, CACHE_URL=valkey.url), 0)
    assert "other programs keep keys under the same database number" in line
    assert "set VALKEY_PORT=" in line
    done = ask({}, CACHE_URL=valkey.url.replace("/0", "/1"))
    assert (done.returncode, done.stderr) == (0, ""), "a number of its own"
    valkey.ask("CONFIG SET requirepass sesame")
    assert "it asks for a password" in told(ask({}, CACHE_URL=valkey.url), 0)


@contextmanager
def answering(reply: Callable[[socket.socket], None]) -> Iterator[int]:
    """A port where every connection is answered so."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection:
                    reply(connection)

        Thread(target=serve, daemon=True).start()
        try:
            yield server.getsockname()[1]
        finally:
            server.shutdown(socket.SHUT_RDWR)


def web_server(connection: socket.socket) -> None:
    connection.recv(1024)
    connection.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")


def old_postgres(connection: socket.socket) -> None:
    """What PostgreSQL 12 says to one that it trusts."""

    def message(kind: bytes, content: bytes) -> bytes:
        return kind + (len(content) + 4).to_bytes(4) + content

    while len(asked := connection.recv(1024)) == 8:
        connection.sendall(b"N")  # no TLS
    if not asked:
        return
    status = message(b"S", b"server_version\x0012.4\x00")
    connection.sendall(message(b"R", bytes(4)) + status + message(b"Z", b"I"))
    connection.recv(1024)


def test_what_is_no_postgres_or_too_old_is_named(ask: Ask) -> None:
    with answering(web_server) as port:
        url = f"postgres://ada:hunter2@127.0.0.1:{port}/shop"
        assert "something that is no PostgreSQL" in told(ask({}, DATABASE_URL=url), 1)
        url = f"redis://127.0.0.1:{port}/0"
        assert "something that is no Valkey" in told(ask({}, CACHE_URL=url), 0)
    with answering(old_postgres) as port:
        url = f"postgres://ada:hunter2@127.0.0.1:{port}/shop"
        line = told(ask({}, DATABASE_URL=url), 1)
        assert "PostgreSQL 12, where this version of Django needs 15 or later" in line


def test_migrate_says_it_without_naming_anything(both: Path, run: Run, postgres: Postgres) -> None:
    """Inside Compose, where nothing knows who publishes what."""
    url = postgres.url("shop", password="hunter2")
    variables = server_environment(both) | {"DATABASE_URL": url}
    refused = run(both, "python", "manage.py", "migrate", check=False, **variables)
    (line,) = refused.stderr.splitlines()
    assert "a database keeps the password that it was made with" in line
    assert "127.0.0.1" not in line
