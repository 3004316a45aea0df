"""What several servers may want of a real PostgreSQL, which has 100 connections as it comes."""

import shutil
import subprocess
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from tests.conftest import Run, Serve, bake_site
from tests.support.server import PATIENCE, Server, server_environment
from tests.support.services import Postgres, running
from tests.support.sites import program


@pytest.fixture(scope="module")
def busy() -> Iterator[Postgres]:
    """A server of these tests' own: they use up its connections."""
    with running(Postgres()) as service:
        yield service


@pytest.fixture(scope="session")
def slow_project(tmp_path_factory: pytest.TempPathFactory, run: Run) -> Path:
    return bake_site(tmp_path_factory.mktemp("slow"), run, "slow_queries", database="postgres")


@pytest.fixture
def shop(slow_project: Path, busy: Postgres, run: Run) -> Iterator[str]:
    """A migrated database, and a role without privileges that owns it."""
    busy.query("CREATE ROLE shop LOGIN PASSWORD 'tea'")
    busy.query("CREATE DATABASE shop OWNER shop")
    variables = server_environment(slow_project) | {"DATABASE_URL": url(busy)}
    run(slow_project, "python", "manage.py", "migrate", "--verbosity", "0", **variables)
    yield "shop"
    busy.query("DROP DATABASE shop WITH (FORCE)")
    busy.query("DROP ROLE shop")


def url(postgres: Postgres) -> str:
    return postgres.url("shop", user="shop", password="tea")


@pytest.mark.parametrize("workers", [1, 2])
def test_three_servers_and_one_more_fit_into_what_postgres_has(
    slow_project: Path, tmp_path: Path, serve: Serve, busy: Postgres, shop: str, workers: int
) -> None:
    """README's recipe, during a deployment, under 300 slow requests at once: none fails."""
    assert busy.query("SHOW max_connections") == ["100"]
    project = shutil.copytree(slow_project, tmp_path / "project")
    servers = [
        serve(
            project,
            DATABASE_URL=url(busy),
            WEB_REPLICAS="3",
            GRANIAN_WORKERS=str(workers),
        ).ready(workers)
        for _ in range(4)
    ]

    def get(number: int) -> int:
        address = servers[number % len(servers)].address
        path = "/slow" if number % 8 < 4 else "/slow-async"
        return httpx.get(address + path, timeout=PATIENCE, verify=False).status_code  # noqa: S501

    with ThreadPoolExecutor(300) as browsers:
        answers = [browsers.submit(get, number) for number in range(600)]
        while not all(answer.done() for answer in answers[:300]):
            for server in servers:  # each finds a connection; on a busy machine not in time
                probe = server.get("/readyz")
                assert probe.status_code == 200 or "no answer in" in probe.text, probe.text
            assert busy.query("SELECT 1") == ["1"], "a person's psql"
        found = Counter(answer.result() for answer in answers)
    assert found == {200: 600}, servers[0].log
    for server in servers:
        assert server.get("/readyz").status_code == 200
        assert server.messages("data.connections") == []


def warnings(server: Server) -> list[str]:
    """What the start says of connections, once it is over."""
    assert server.get("/readyz").status_code == 200
    return server.messages("data.connections")


def test_more_than_the_server_has_is_told_once_at_the_start(
    slow_project: Path, tmp_path: Path, serve: Serve, busy: Postgres, shop: str
) -> None:
    project = shutil.copytree(slow_project, tmp_path / "project")
    variables = {"DATABASE_URL": url(busy), "WEB_REPLICAS": "3", "GRANIAN_WORKERS": "2"}
    server = serve(project, **variables, SERVING_THREADS="64").ready(2)
    server.wait_for_log("SERVING_THREADS")
    (warning,) = warnings(server)
    assert "3 servers" in warning
    assert "2 workers" in warning
    assert "may want 512 database connections" in warning
    assert "the server has 97 for them" in warning
    assert "set SERVING_THREADS=9, or" in warning
    server.stop()


@pytest.mark.parametrize("limit", ["ROLE shop CONNECTION LIMIT", "DATABASE shop CONNECTION LIMIT"])
def test_a_limit_of_the_role_or_the_database_counts(
    slow_project: Path, tmp_path: Path, serve: Serve, busy: Postgres, shop: str, limit: str
) -> None:
    project = shutil.copytree(slow_project, tmp_path / "project")
    busy.query(f"ALTER {limit} 20")
    server = serve(project, DATABASE_URL=url(busy)).ready()
    server.wait_for_log("SERVING_THREADS")
    (warning,) = warnings(server)
    assert "the server has 20 for them" in warning
    assert "set SERVING_THREADS=4, or" in warning
    server.stop()
    server = serve(project, DATABASE_URL=url(busy), DATABASE_MAX_CONNECTIONS="20").ready()
    assert warnings(server) == []


def test_a_full_database_does_not_take_a_server_away_that_has_its_connections(
    slow_project: Path, tmp_path: Path, serve: Serve, busy: Postgres, shop: str, environment: Path
) -> None:
    """The others would have its requests too, and be taken away after it."""
    project = shutil.copytree(slow_project, tmp_path / "project")
    variables = {"DATABASE_URL": url(busy)}
    server = serve(project, **variables).ready()
    assert server.get("/readyz").status_code == 200
    assert server.get("/slow").status_code == 200
    with ExitStack() as stack:
        fill(stack, busy, environment)
        assert server.get("/slow").status_code == 200
        assert server.get("/readyz").status_code == 200
        server.wait_for_log("lower SERVING_THREADS")
        late = serve(project, **variables).ready()
        answer = late.get("/readyz")
        assert answer.status_code == 503, "it has none"
        assert "lower SERVING_THREADS" in answer.json()["problems"]["database"]


def fill(stack: ExitStack, postgres: Postgres, environment: Path) -> None:
    """Takes every connection that a role without privileges can have."""
    holder = stack.enter_context(
        subprocess.Popen(
            [environment / "bin" / "python", "-c", program("hold_connections"), url(postgres)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )
    )  # fmt: skip
    stack.callback(holder.kill)
    assert holder.stdout
    assert int(holder.stdout.readline()) > 50
