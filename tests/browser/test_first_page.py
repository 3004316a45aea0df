"""The first page: what it shows is so, it stays so, and it says when the server goes away and comes back."""

import re
from pathlib import Path

import httpx
from playwright.sync_api import Request

from tests.browser.conftest import PRODUCTION, Open, Tab
from tests.conftest import Bake, Run, Serve
from tests.support.server import Server, server_environment, wait_for
from tests.support.services import Postgres, Valkey

VERSIONS = "import sys, django, granian; print('%d.%d.%d' % sys.version_info[:3], django.__version__, granian.__version__)"
SHOW = "hidden => { Object.defineProperty(document, 'hidden', {value: hidden, configurable: true}); document.dispatchEvent(new Event('visibilitychange')) }"


def test_it_shows_what_is_so(tab: Tab, debugging: Server, site: Path, run: Run) -> None:
    tab.page.goto(debugging.address)
    tab.page.wait_for_selector("[data-state=live]")

    python, django, granian = run(site, "python", "-c", VERSIONS).stdout.split()
    flags = server_environment(site)
    (worker,) = debugging.workers
    told = {
        "python": python, "django": django, "granian": granian,
        "worker": f"process {worker.pid}", "workers": flags["GRANIAN_WORKERS"],
        "interface": flags["GRANIAN_INTERFACE"], "loop": flags["GRANIAN_LOOP"],
        "level": flags["GRANIAN_LOG_LEVEL"], "lifespan": flags["LIFESPAN"],
        "state": "open", "names": "started_at (home)", "migrations": "all applied",
    }  # fmt: skip
    assert {name: tab.fact(name) for name in told} == told
    (started,) = debugging.messages("serving.lifespan")
    assert tab.fact("apps") == started.replace(": started in", ", in")
    assert re.fullmatch(r"\d+ busy, \d+ idle, of 64; 0 queued", tab.fact("threads"))
    assert re.fullmatch(r"SQLite [\d.]+, \d+\.\d\d ms", tab.fact("database"))
    assert re.fullmatch(r"LocMemCache, \d+\.\d\d ms", tab.fact("cache"))


def test_it_stays_so_without_a_reload(tab: Tab, debugging: Server) -> None:
    pages: list[str] = []
    tab.page.on("request", lambda request: pages.append(request.url))
    tab.page.goto(debugging.address)
    tab.page.wait_for_selector("[data-state=live]")
    before, asked = tab.fact("uptime"), len(pages)
    tab.page.wait_for_function(
        "before => document.querySelector('[data-fact=uptime]').innerText !== before", arg=before
    )
    assert len(pages) == asked


def test_it_is_one_page_one_style_and_one_script_and_small(tab: Tab, debugging: Server) -> None:
    asked: list[Request] = []
    tab.page.on("request", lambda request: asked.append(request))
    tab.page.goto(debugging.address)
    tab.page.wait_for_selector("[data-state=live]")
    kinds = [request.resource_type for request in asked if not request.url.endswith(".svg")]
    assert sorted(kinds) == ["document", "eventsource", "script", "stylesheet"]
    sizes = [
        len(httpx.get(request.url).content)
        for request in asked
        if request.resource_type != "eventsource"
    ]
    assert sum(sizes) < 40_000


def test_a_stranger_sees_none_of_it_in_production(tab: Tab, production: Server) -> None:
    asked: list[str] = []
    tab.page.on("request", lambda request: asked.append(request.url))
    tab.page.goto(production.address)
    assert tab.page.locator("[data-fact]").count() == 0
    assert not [url for url in asked if url.endswith((".js", "/live/"))]
    assert httpx.get(f"{production.address}/live/").status_code == 403


def test_the_server_stops_in_spite_of_it_and_it_says_so_and_when_it_is_back(
    tab: Tab, site: Path, serve: Serve
) -> None:
    server = serve(site, DEBUG="true").ready()
    tab.expected = ["ERR_CONNECTION_REFUSED"]
    tab.page.goto(server.address)
    tab.page.wait_for_selector("[data-state=live]")
    first = tab.fact("worker")

    assert server.stop() == 0
    assert not server.killed_a_worker
    assert "ended what was still open" not in server.log, "its stream ends by itself"

    tab.page.wait_for_selector("[data-state=away]")
    assert re.fullmatch(
        r"No figures since .*M\. This page goes on when the server is back; if it is, reload it:"
        r" it may want a login\.",
        tab.sign,
    )
    assert tab.page.title() == "My Project", "the page stays"
    for hidden in (True, False):  # somebody looks at another tab meanwhile
        tab.page.evaluate(SHOW, hidden)

    again = serve(site, port=server.port, DEBUG="true").ready()
    tab.page.wait_for_selector("[data-state=live]")
    said = re.fullmatch(r"The server is back, after (\d+) s\.", tab.sign)
    assert said
    assert int(said[1]) >= 3, "live.js says that it is away after so many"
    assert tab.fact("worker") == f"process {again.workers[0].pid}" != first


def test_it_comes_back_after_something_else_has_answered(
    tab: Tab, site: Path, serve: Serve
) -> None:
    """A proxy's 502, say: a browser does not try again by itself then."""
    server = serve(site, DEBUG="true").ready()
    tab.expected = ["status of 502", "MIME type", "ERR_"]
    tab.page.goto(server.address)
    tab.page.wait_for_selector("[data-state=live]")
    tab.page.route("**/live/", lambda route: route.fulfill(status=502, body="no"))
    assert server.stop() == 0
    tab.page.wait_for_selector("[data-state=away]")

    serve(site, port=server.port, DEBUG="true").ready()
    tab.page.unroute("**/live/")
    tab.page.wait_for_selector("[data-state=live]")


def test_a_tab_that_nobody_sees_keeps_no_connection(tab: Tab, site: Path, serve: Serve) -> None:
    server = serve(site, DEBUG="true").ready()
    tab.page.goto(server.address)
    tab.page.wait_for_selector("[data-state=live]")
    tab.page.evaluate(SHOW, True)
    server.wait_for_log("GET /live/")  # which the access log has when it has ended
    before = tab.fact("uptime")
    tab.page.evaluate(SHOW, False)
    wait_for(lambda: tab.fact("uptime") != before, "another event")
    assert tab.sign.startswith("Live")


def test_its_stream_ends_and_another_takes_the_right_to_see_it(
    site: Path, serve: Serve, open_tab: Open
) -> None:
    views = site / "home" / "views.py"
    text = views.read_text()
    assert "range(60)" in text
    views.write_text(text.replace("range(60)", "range(2)"))
    try:
        server = serve(site, **PRODUCTION).ready()
        tab = open_tab()
        tab.log_in(server)
        tab.page.wait_for_selector("[data-state=live]")
        server.wait_for_log("GET /live/")  # which the access log has when it has ended
        before = tab.fact("uptime")
        wait_for(lambda: tab.fact("uptime") != before, "an event of another")
        assert tab.sign.startswith("Live"), "that one ends is no outage"

        tab.expected = ["status of 403"]
        other = tab.page.context.new_page()
        other.goto(server.address)
        other.get_by_role("button", name="Log out ada").click()
        tab.page.wait_for_selector("[data-state=away]")
        assert tab.sign.endswith("it may want a login.")
    finally:
        views.write_text(text)


def test_it_tells_of_services_that_come_and_go(
    bake: Bake, run: Run, serve: Serve, open_tab: Open, postgres: Postgres, valkey: Valkey
) -> None:
    postgres.query("CREATE DATABASE first_page")
    project = bake(database="postgres", cache="valkey")
    variables = {
        "DATABASE_URL": postgres.url("first_page"),
        "CACHE_URL": valkey.url,
        "DEBUG": "true",
    }
    command = ("python", "manage.py", "migrate", "--verbosity", "0")
    run(project, *command, **server_environment(project) | variables)
    server = serve(project, **variables).ready()
    tab = open_tab()
    tab.page.goto(server.address)

    def comes(name: str, pattern: str) -> None:
        wait_for(lambda: re.fullmatch(pattern, tab.fact(name)), f"{name}: {pattern}")

    comes("database", r"PostgreSQL [\d.]+, \d+\.\d\d ms")
    comes("cache", r"ValkeyCache, \d+\.\d\d ms")
    comes("migrations", "all applied")
    valkey.stop()
    comes("cache", "ValkeyCache, keeps nothing; the log says why")
    postgres.query("ALTER DATABASE first_page ALLOW_CONNECTIONS false")
    postgres.query(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'first_page'"
    )
    comes("migrations", "unknown")
    postgres.query("ALTER DATABASE first_page ALLOW_CONNECTIONS true")
    valkey.start()
    comes("database", r"PostgreSQL [\d.]+, \d+\.\d\d ms")
    comes("cache", r"ValkeyCache, \d+\.\d\d ms")
    postgres.query("DELETE FROM django_migrations WHERE app = 'accounts'", "first_page")
    comes("migrations", r"\d missing; run `make migrate`")
    assert tab.sign.startswith("Live"), "all this time"
    tab.expected = ["ERR_"]
    assert server.stop() == 0
    postgres.query("DROP DATABASE first_page WITH (FORCE)")


def test_it_stays_live_while_the_database_does_not_answer(
    site: Path, serve: Serve, open_tab: Open
) -> None:
    facts = site / "home" / "facts.py"
    text = facts.read_text()
    facts.write_text(
        text.replace(
            "def of_database() -> dict[str, str]:\n",
            "def of_database() -> dict[str, str]:\n    import time\n\n    time.sleep(3600)\n",
        )
    )
    try:
        server = serve(site, DEBUG="true", DRAIN_TIMEOUT="1", **PRODUCTION).ready()
        tab = open_tab()
        tab.page.goto(server.address)
        tab.page.wait_for_selector("[data-state=live]")
        assert tab.fact("database") == "no answer yet"
        before = tab.fact("uptime")
        wait_for(lambda: tab.fact("uptime") != before, "another event")
    finally:
        facts.write_text(text)
