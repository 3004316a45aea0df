"""A project on a real Valkey: shared by all workers, and missed by no request when it is gone."""

import re
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.conftest import Run, Serve, add_ada, bake_site
from tests.support.server import PATIENCE, Server, server_environment, wait_for
from tests.support.services import Valkey
from tests.support.sites import program


@pytest.fixture(scope="session")
def cached_project(tmp_path_factory: pytest.TempPathFactory, run: Run) -> Path:
    """A project that keeps its cache in Valkey, with a user "ada"; to be copied."""
    folder = bake_site(tmp_path_factory.mktemp("valkey"), run, "cached", cache="valkey")
    add_ada(folder, run)
    return folder


@pytest.fixture
def cached(tmp_path: Path, cached_project: Path, serve: Serve, valkey: Valkey) -> Server:
    """A server of that project."""
    project = shutil.copytree(cached_project, tmp_path / "project")
    server = serve(project, CACHE_URL=valkey.url)
    return server.ready()


@pytest.fixture
def ada(cached: Server) -> Iterator[httpx.Client]:
    """A browser in which Ada has logged in."""
    with httpx.Client(base_url=cached.address, timeout=PATIENCE) as client:
        log_in(client)
        yield client


def log_in(client: httpx.Client) -> None:
    page = client.get("/admin/login/")
    form = {
        "csrfmiddlewaretoken": client.cookies["csrftoken"],
        "username": "ada",
        "password": "open sesame",
        "next": "/admin/",
    }
    assert page.status_code == 200
    assert client.post("/admin/login/", data=form).status_code == 302


def said(server: Server) -> list[str]:
    """What the log says of the cache, without the numbers."""
    return [
        re.sub(r"[\d.]+ s$", "N s", re.sub(r"with(out)? it: .*;", r"with\1 it;", message))
        for message in server.messages("data.valkey")
    ]


GONE = "the cache does not answer, serving without it; start it, or correct CACHE_URL"
BACK = "the cache answers again, after N s"


def test_workers_share_it_and_sessions_are_in_it(
    cached: Server, ada: httpx.Client, valkey: Valkey
) -> None:
    cached.get("/put?tea=oolong")

    assert cached.get("/get").text == "oolong"
    assert cached.get("/get-async").text == "oolong"
    keys = valkey.ask("KEYS *").splitlines()
    session = ada.cookies["sessionid"]
    assert any(key.startswith("my-project:") and key.endswith("tea") for key in keys)
    assert any(session in key for key in keys)
    assert ada.get("/admin/").status_code == 200


def test_its_connections_are_shared_by_all_requests(cached: Server, valkey: Valkey) -> None:
    """Django makes a cache for each request under ASGI: none may open a connection of its own."""
    before = int(valkey.info("total_connections_received"))
    with httpx.Client(base_url=cached.address, timeout=PATIENCE) as client:
        for _ in range(50):
            assert client.get("/get").status_code == 200
            assert client.get("/get-async").status_code == 200
    opened = int(valkey.info("total_connections_received")) - before - 1  # the one that asks
    assert 1 <= opened <= 4


@pytest.mark.parametrize("rounds", [3])
def test_it_may_go_and_come_back(
    cached: Server, ada: httpx.Client, valkey: Valkey, rounds: int
) -> None:
    for number in range(1, rounds + 1):
        cached.get("/put?tea=oolong")
        wait_for(lambda: cached.get("/get").text == "oolong", "the cache to be used")
        valkey.stop(signal.SIGKILL)
        for _ in range(20):
            assert cached.get("/get").text == "none"
            assert cached.get("/get-async").text == "none"
            assert cached.get("/put?tea=green").status_code == 200
            assert ada.get("/admin/").status_code == 200, "the session is in the database, too"
        assert cached.get("/readyz").status_code == 200
        valkey.start()
        wait_for(
            lambda: cached.get("/put?tea=black") and cached.get("/get").text == "black", "the cache"
        )
        assert ada.get("/admin/").status_code == 200
        assert said(cached) == [GONE, BACK] * number
    assert "Traceback" not in cached.log


def test_one_that_hangs_is_asked_by_few(cached: Server, ada: httpx.Client, valkey: Valkey) -> None:
    """And what changed meanwhile is not served from it when it goes on."""
    cached.get("/put?tea=oolong")
    session = ada.cookies["sessionid"]
    valkey.signal(signal.SIGSTOP)
    try:
        assert cached.get("/get").text == "none"
        assert cached.get("/put?tea=green").status_code == 200
        for _ in range(20):
            assert ada.get("/admin/").status_code == 200
        token = {"csrfmiddlewaretoken": ada.cookies["csrftoken"]}
        assert ada.post("/admin/logout/", data=token).headers["location"] == "/"
    finally:
        valkey.signal(signal.SIGCONT)
    wait_for(lambda: cached.get("/get").text and BACK in said(cached), "the cache to answer again")

    assert cached.get("/get").text == "none", "what it kept is out of date"
    with httpx.Client(base_url=cached.address, cookies={"sessionid": session}) as stale:
        assert stale.get("/admin/").status_code == 302, "who logged out stays logged out"
    assert said(cached) == [GONE, BACK]


def test_a_wrong_password_is_told_and_shows_none(
    cached_project: Path, tmp_path: Path, serve: Serve, valkey: Valkey
) -> None:
    valkey.ask("CONFIG SET requirepass sesame")
    project = shutil.copytree(cached_project, tmp_path / "project")
    url = valkey.url.replace("redis://", "redis://:hunter2@")
    server = serve(project, CACHE_URL=url).ready()

    assert server.get("/get").text == "none"
    (error,) = [r for r in server.records if r["log.logger"] == "data.valkey"]
    assert error["log.level"] == "ERROR"
    assert "it refuses the user or the password: correct them in CACHE_URL" in error["message"]
    assert "hunter2" not in server.log


def test_a_wrong_url_stops_the_start(cached_project: Path, tmp_path: Path, serve: Serve) -> None:
    project = shutil.copytree(cached_project, tmp_path / "project")
    server = serve(project, CACHE_URL="http://:hunter2@cache")

    assert server.wait() == 1
    assert "CACHE_URL: Not a URL of a Valkey or Redis server" in server.log
    assert "hunter2" not in server.log
    assert "Traceback" not in server.log


def test_what_another_version_of_the_code_cached_is_a_miss_and_stays(
    cached: Server, valkey: Valkey, run: Run
) -> None:
    """A class that this code lacks, cached by code that has it: 500 until it expires, else."""
    new_code = program("keep_a_cart")
    project = cached.log_file.parent / "project"
    variables = server_environment(project) | {
        "CACHE_URL": valkey.url, "DJANGO_SETTINGS_MODULE": "config.settings",
    }  # fmt: skip
    run(project, "python", "-c", new_code, "put", **variables)

    assert cached.get("/get").text == cached.get("/get-async").text == "none"
    assert cached.get("/get").status_code == 200
    (warning,) = cached.messages("data.cache_values")
    assert "No module named 'shop'" in warning
    printed = run(project, "python", "-c", new_code, "get", **variables).stdout.splitlines()
    said = [line for line in printed if not line.startswith("{")]
    assert said[0] == "Cart", "the code that has the class reads it still"
    assert said[1] == "[('milk', 'oat')] [] True"
    assert said[2] == "anew False"
    # And a value that this code writes is its own.
    cached.get("/put?tea=oolong")
    assert cached.get("/get").text == "oolong"


def test_a_session_in_the_cache_that_cannot_be_read_is_taken_from_the_database(
    ada: httpx.Client, cached: Server, valkey: Valkey, run: Run
) -> None:
    assert run(cached.log_file.parent, "python", "-c", program("spoil_sessions"), valkey.url).stdout
    assert ada.get("/admin/").status_code == 200
    assert "No module named 'shop'" in cached.messages("data.cache_values")[0]
