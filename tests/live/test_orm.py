"""The ORM from sync and async views at once: right, and in no more threads than are allowed."""

import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from tests.conftest import Run, Serve, bake_into
from tests.support.server import PATIENCE, Server, server_environment
from tests.support.services import Postgres
from tests.support.sites import put_site

THREADS = 4
REQUESTS = 40


@pytest.fixture(scope="session", params=["sqlite", "postgres"])
def counting(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, run: Run
) -> tuple[Path, dict[str, str]]:
    """A project with a row to count in, and the variables of its server."""
    database: str = request.param
    folder = bake_into(tmp_path_factory.mktemp(database), database=database)
    put_site(folder, "counter")
    variables = {"SERVING_THREADS": str(THREADS)}
    if database == "postgres":
        postgres: Postgres = request.getfixturevalue("postgres")
        postgres.query("CREATE DATABASE counting")
        variables["DATABASE_URL"] = postgres.url("counting")
    environment = server_environment(folder) | variables
    run(folder, "python", "manage.py", "migrate", "--verbosity", "0", **environment)
    run(folder, "python", "manage.py", "collectstatic", "--noinput", "-v", "0", **environment)
    make = "from django.contrib.auth.models import Group; Group.objects.create(name='0')"
    run(folder, "python", "manage.py", "shell", "--no-imports", "-c", make, **environment)
    return folder, variables


@pytest.fixture
def counter(counting: tuple[Path, dict[str, str]], tmp_path: Path, serve: Serve) -> Server:
    folder, variables = counting
    return serve(shutil.copytree(folder, tmp_path / "project"), **variables).ready()


def test_it_is_right_and_bounded(
    counter: Server, counting: tuple[Path, dict[str, str]], request: pytest.FixtureRequest
) -> None:
    before = counter.get("/total").json()["counter"]
    paths = ["/count", "/count-async", "/own-place", "/fail"] * (REQUESTS // 4)
    with (
        httpx.Client(base_url=counter.address, timeout=PATIENCE) as client,
        ThreadPoolExecutor(REQUESTS) as browsers,
    ):
        answers = list(browsers.map(client.get, paths))
        made = list(browsers.map(lambda n: client.get(f"/make?name={before}-{n}"), range(REQUESTS)))

    for path, answer in zip(paths, answers, strict=True):
        assert answer.status_code == (500 if path == "/fail" else 200), path
    assert {a.text for a, path in zip(answers, paths, strict=True) if path == "/own-place"} == {"1"}
    assert {answer.text for answer in made} == {"1"}, "a request reads what it has written"
    found = counter.get("/total").json()
    assert found["counter"] == before + REQUESTS // 2
    assert found["threads"] <= THREADS
    if "DATABASE_URL" in counting[1]:
        postgres: Postgres = request.getfixturevalue("postgres")
        count = "SELECT count(*) FROM pg_stat_activity WHERE datname = 'counting'"
        assert int(postgres.query(count)[0]) <= THREADS
    assert counter.stop() == 0
