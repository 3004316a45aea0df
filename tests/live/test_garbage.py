"""Requests leave nothing to the garbage collector, but for what they leave with Django's own handler too."""

import json
import re
import shutil
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Run, Serve
from tests.support.server import server_environment
from tests.support.sites import put_site, put_tests


def left(project: Path, run: Run, handler: str) -> dict[str, Any]:
    """What requests of each kind leave behind."""
    database = shutil.copy(project / "db.sqlite3", project / f"{handler}.sqlite3")
    variables = server_environment(project) | {
        "DATABASE_URL": f"sqlite:///{database}",
        "DJANGO_SETTINGS_MODULE": "tests.sites.garbage_settings",
        "DEBUG": "false",
        "LIFESPAN": "disabled",
    }
    done = run(project, "python", "-m", "tests.serving.http.garbage", handler, **variables)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return {name: {**kind, "left": Counter(kind["left"])} for name, kind in found.items()}


@pytest.fixture
def site(project: Path) -> Path:
    put_tests(project)
    return project


# Here asgiref keeps an exception that passes through it in a cycle with its own frame, whatever the
# handler: so there is garbage, and among it the handler's frames.
ASGIREFS = (
    "async exception",
    "async middleware raises",
    "async body in a file",  # more than a view may read: an exception
    "async stream of the other kind raises",
    "drain ends a view",  # in the midst of async_to_sync
)


def test_requests_leave_nothing_to_the_collector(site: Path, run: Run) -> None:
    with ThreadPoolExecutor() as both:
        ours, djangos = both.map(partial(left, site, run), ("DjangoHandler", "PlainHandler"))
    # A request refers to itself, by its user; so with Django's handler every one of them is left.
    requests = djangos["view"]["left"]
    wrong = {}
    for name, mine in ours.items():
        theirs, times = djangos[name], len(mine["statuses"])
        broken_off = name.endswith("client leaves within its body")  # here Django says nothing
        too_large = name.endswith("body in a file")  # and here 400
        told = 413 if too_large else 400 if broken_off else 0
        assert mine["statuses"] == ([told] * times if told else theirs["statuses"]), name
        # What a thread was still at the first time may be counted too, once.
        more = {
            thing: count
            for thing, count in (mine["left"] - (theirs["left"] | requests)).items()
            if count >= times
        }
        most = theirs["bytes"] + 1000
        if name.startswith(ASGIREFS):
            # How much varies by half: by which of the threads lets go of the exception last.
            enough = theirs["left"].total() * 2
            more = {} if mine["left"].total() <= enough else more
            most = theirs["bytes"] * 2 + 1000
        if more or mine["bytes"] > most:
            wrong[name] = more or mine["bytes"]
    assert not wrong, json.dumps(wrong)


def test_memory_stays_as_it_is_under_long_views_with_large_bodies(
    project: Path, serve: Serve
) -> None:
    put_site(project, "large_pages")
    server = serve(project).ready()
    (worker,) = server.workers

    def most() -> float:
        """The most that the worker has had resident, in MB."""
        status = Path(f"/proc/{worker.pid}/status").read_text()
        found = re.search(r"VmHWM:\s+(\d+) kB", status)
        assert found
        return int(found[1]) / 1024

    def ask(_: int) -> None:
        assert len(server.get("/").content) == 5_000_000

    before = most()
    with ThreadPoolExecutor(20) as clients:
        list(clients.map(ask, range(480)))
    # 20 bodies at once, each twice while Granian has its own copy of it; and half as much again.
    assert most() - before < 20 * 5 * 2 * 1.5
    assert server.stop() == 0
