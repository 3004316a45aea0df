"""The same application under uvicorn and hypercorn: a user may change the server."""

import re

import httpx
import pytest

from tests.conftest import Serve
from tests.live.test_lifespan_faults import Install, app, enters_and_leaves, install
from tests.support.server import PATIENCE, wait_for

__all__ = ["install"]

# hypercorn without --workers 0 hands no signal on to its workers, and exits with 0 when one fails.
SERVERS = {
    "uvicorn": "uvicorn --port {port} --log-config config/logging.json config.asgi:application",
    "hypercorn": "hypercorn --workers 0 --bind 127.0.0.1:{port} config.asgi:application",
}


@pytest.mark.parametrize("server", SERVERS)
def test_it_serves_and_stops(install: Install, serve: Serve, server: str) -> None:
    project = install(one=app(yields="{'one': 'first'}"), two=app())
    running = serve(project, SERVERS[server], DJANGO_SETTINGS_MODULE="faulty").answering()

    assert running.get("/show").text == "first"
    assert "there are: one" in running.get("/missing-async").text
    ready = running.get("/readyz")
    assert ready.json() == {"status": "ok"}
    assert len(ready.headers.get_list("server")) == 1, "its own"
    assert "immutable" in running.get(style(running.get("/").text)).headers["cache-control"]
    running.stop()
    assert enters_and_leaves(running, "one", "two") == [
        "one enters",
        "two enters",
        "two leaves",
        "one leaves",
    ]
    assert "Traceback" not in running.log


def style(page: str) -> str:
    found = re.search(r'href="(/static/site\.[0-9a-f]{12}\.css)"', page)
    assert found
    return found[1]


@pytest.mark.parametrize("server", SERVERS)
def test_a_failed_startup_ends_it(install: Install, serve: Serve, server: str) -> None:
    project = install(one=app(), two=app("raise ValueError('no tea')"))
    running = serve(project, SERVERS[server], DJANGO_SETTINGS_MODULE="faulty")

    assert running.wait() != 0
    assert "startup failed: two: ValueError: no tea" in running.log
    assert enters_and_leaves(running, "one", "two")[-1] == "one leaves"


@pytest.mark.parametrize("server", SERVERS)
def test_an_endless_stream_is_ended(install: Install, serve: Serve, server: str) -> None:
    project = install(one=app())
    running = serve(
        project, SERVERS[server], DJANGO_SETTINGS_MODULE="faulty", DRAIN_TIMEOUT="0.5"
    ).answering()
    with httpx.stream("GET", running.address + "/endless", timeout=PATIENCE) as answer:
        parts = answer.iter_bytes()
        next(parts)
        running.signal()
        assert b"tick" in b"".join(parts), "ended as if it were complete"
    running.wait()
    assert enters_and_leaves(running, "one") == ["one enters", "one leaves"]


def test_a_server_that_calls_it_by_another_protocol_is_told(install: Install, serve: Serve) -> None:
    project = install(one=app())
    command = SERVERS["uvicorn"].replace("uvicorn ", "uvicorn --interface wsgi ", 1)
    running = serve(project, command, DJANGO_SETTINGS_MODULE="faulty")
    wait_for(lambda: running.exited or running.listens(), "a listener")
    assert running.get("/").status_code == 500
    running.wait_for_log("this is an ASGI application, and this server calls it as one of")
