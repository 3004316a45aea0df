"""Real Granian, serving a generated project: requests, log, signals, exit status."""

import json
import re
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest

from tests.conftest import Run, Serve
from tests.support.server import PATIENCE, SECRET_KEY, dev_variables, wait_for
from tests.support.sites import put_lifespan, put_site

NOISE = "ASGI Lifespan errored"


MODES = {
    "required": {"LIFESPAN": "required"},
    "optional": {"LIFESPAN": "optional"},
    "disabled": {"LIFESPAN": "disabled", "GRANIAN_INTERFACE": "asginl"},
}


@pytest.mark.quick
@pytest.mark.parametrize("workers", [1, 2])
def test_it_serves_and_stops(project: Path, serve: Serve, workers: int) -> None:
    put_site(project, "opened")
    server = serve(project, GRANIAN_WORKERS=str(workers)).ready(workers)

    page = server.get("/")
    assert page.status_code == 200
    assert server.get("/opened/").text == "started_at", (
        "what the lifespan yields reaches a sync view"
    )
    assert server.get("/uptime/").json()["uptime_seconds"] > 0, "and an async one"
    assert server.get("/readyz").json() == {"status": "ok"}
    assert server.get("/livez").json() == {"status": "ok"}
    assert server.get("/admin/login/").status_code == 200
    style = re.search(r'href="(/static/site\.[0-9a-f]{12}\.css)"', page.text)
    assert style, "static files carry a hash"
    sheet = server.get(style[1])
    assert "immutable" in sheet.headers["cache-control"]

    assert server.stop() == 0
    started = [line for line in server.messages("serving.lifespan") if "started in" in line]
    stopped = [line for line in server.messages("serving.lifespan") if "stopped in" in line]
    assert len(started) == len(stopped) == workers
    assert all(re.fullmatch(r"home: \w+ in \d+ ms", line) for line in started + stopped)
    assert NOISE not in server.log
    assert "Traceback" not in server.log


@pytest.mark.parametrize("debug", ["true", "false"])
def test_a_static_file_may_have_any_name(project: Path, run: Run, serve: Serve, debug: str) -> None:
    names = ["naïve.css", "日本.css", "nai\u0308ve.css", "two words.css", "100%.css", "Ã¯.css"]
    for name in names:
        (project / "home" / "static" / "home" / name).write_text(f"/* {name} */")
    command = ("python", "manage.py", "collectstatic", "--noinput", "-v", "0")
    run(project, *command, SECRET_KEY=SECRET_KEY, DJANGO_SETTINGS_MODULE="config.settings")
    server = serve(project, DEBUG=debug).ready()
    for name in names:
        assert server.get(f"/static/home/{quote(name)}").text == f"/* {name} */"
    for path in ("%FF.css", quote("naïve"), quote("naÃ¯ve.css")):
        assert server.get(f"/static/home/{path}").status_code == 404
    assert server.stop() == 0


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("level", ["debug", "info", "warning", "error", "critical"])
def test_every_mode_at_every_level(project: Path, serve: Serve, mode: str, level: str) -> None:
    put_site(project, "talkative")
    server = serve(project, GRANIAN_LOG_LEVEL=level, **MODES[mode]).answering()

    assert server.get("/").status_code == 200
    assert server.get("/readyz").status_code == 200
    assert server.get("/talk").text == ("" if mode == "disabled" else "started_at")
    # Written after the response; at level debug the name stands in the report of the flags, too.
    wait_for(lambda: len(server.messages("granian.access")) == 2, "the access log's two lines")
    assert server.stop() == 0

    assert NOISE not in server.log
    levels = ["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"]
    wanted = levels[levels.index(level.upper()) :]
    for logger in ("django.request", "home"):
        assert [r["log.level"] for r in server.records if r["log.logger"] == logger] == wanted
    granian = {r["log.level"] for r in server.records if r["log.logger"].startswith("_granian")}
    assert granian <= set(wanted)
    assert ("INFO" in granian) == ("INFO" in wanted)
    ran = any("home: started" in line for line in server.messages("serving.lifespan"))
    assert ran == (mode != "disabled" and "INFO" in wanted)
    assert len(server.messages("granian.access")) == 2, "a switch of its own, at every level"


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_failed_startup_ends_a_required_server(project: Path, serve: Serve, workers: str) -> None:
    put_lifespan(project, "fails")
    server = serve(project, LIFESPAN="required", GRANIAN_WORKERS=workers)

    assert server.wait() == 1
    (failure, *_) = [r for r in server.records if r["log.logger"] == "serving.lifespan"]
    assert failure["log.level"] == "ERROR"
    assert failure["message"] == "startup failed: home: ConnectionError: no tea today"
    assert "Traceback" in failure["error.stack_trace"]
    assert NOISE not in server.log


@pytest.mark.parametrize("level", ["info", "debug"])
def test_a_failed_startup_is_one_warning_of_an_optional_server(
    project: Path, serve: Serve, level: str
) -> None:
    put_lifespan(project, "fails")
    server = serve(project, LIFESPAN="optional", GRANIAN_LOG_LEVEL=level).ready()

    assert server.get("/uptime/").json()["uptime_seconds"] is None
    assert server.get("/readyz").status_code == 200
    assert server.stop() == 0
    (warning,) = [r for r in server.records if r["log.logger"] == "serving.lifespan"]
    assert warning["log.level"] == "WARNING"
    assert "home: ConnectionError: no tea today" in warning["message"]
    assert ("error.stack_trace" in warning) == (level == "debug")
    assert NOISE not in server.log


def test_disabled_alone_is_quiet_under_an_asgi_interface_too(project: Path, serve: Serve) -> None:
    server = serve(project, LIFESPAN="disabled", GRANIAN_INTERFACE="asgi").ready()

    assert server.get("/uptime/").json()["uptime_seconds"] is None
    assert server.get("/readyz").status_code == 200
    assert server.stop() == 0
    assert server.messages("serving.lifespan") == []
    assert NOISE not in server.log


def test_required_under_a_server_that_runs_no_lifespan_is_not_ready(
    project: Path, serve: Serve
) -> None:
    server = serve(project, LIFESPAN="required", GRANIAN_INTERFACE="asginl").ready()

    answer = server.get("/readyz")
    assert answer.status_code == 503
    assert "this server ran no lifespan" in answer.json()["problems"]["lifespan"]
    assert server.get("/livez").status_code == 200


def test_wrong_variables_stop_the_server_with_all_of_them_named(
    project: Path, serve: Serve
) -> None:
    server = serve(
        project, SECRET_KEY="", DATABASE_URL="nosuch://ada:hunter2@db/shop", LIFESPAN="on"
    )

    assert server.wait() == 1
    assert "SECRET_KEY: Shorter than minimum length 50." in server.log
    assert "DATABASE_URL: Not a valid database URL." in server.log
    assert "LIFESPAN='on': Must be one of: required, optional, disabled." in server.log
    assert "hunter2" not in server.log
    assert "Traceback" not in server.log
    assert len(server.records) == len(server.log.splitlines()), "every line is JSON"


def test_the_console_format_and_no_access_log(project: Path, serve: Serve) -> None:
    server = serve(project, LOG_FORMAT="console", GRANIAN_LOG_ACCESS_ENABLED="false").ready()
    server.get("/")
    server.get("/missing")
    assert server.stop() == 0

    lines = server.log.splitlines()
    assert all(
        re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z [A-Z]+ +\S+ +\S", line) for line in lines
    )
    assert [line for line in lines if "granian.access" in line] == []
    assert len([line for line in lines if "Not Found: /missing" in line]) == 1


def test_the_access_log_says_what_was_asked_and_how_it_ended(project: Path, serve: Serve) -> None:
    server = serve(project).ready()
    server.get("/missing?milk=1%0A2")
    server.wait_for_log("http.request.method")
    assert server.stop() == 0

    (record,) = [r for r in server.records if r["log.logger"] == "granian.access"]
    assert record["http.request.method"] == "GET"
    assert record["url.path"] == "/missing"
    assert record["url.query"] == "milk=1%0A2"
    assert record["http.response.status_code"] == 404
    assert record["event.duration"] > 0
    (line,) = [line for line in server.log.splitlines() if "http.request.method" in line]
    assert json.loads(line) == record, "one line, whatever was asked for"


def test_a_trusted_proxy_may_say_that_the_browser_spoke_https(project: Path, serve: Serve) -> None:
    headers = {"X-Forwarded-For": "203.0.113.7", "X-Forwarded-Proto": "https"}
    server = serve(project, SECURE_SSL_REDIRECT="true", TRUSTED_PROXIES="127.0.0.1").ready()
    assert server.get("/").status_code == 301
    answer = server.get("/", headers=headers)
    assert answer.status_code == 200
    assert "max-age=31536000" in answer.headers["strict-transport-security"]

    stranger = serve(project, SECURE_SSL_REDIRECT="true").ready()
    assert stranger.get("/", headers=headers).status_code == 301
    assert stranger.get("/readyz").status_code == 200, "probes speak http"


def test_a_websockets_handshake_is_answered_as_the_plain_request_it_is(
    project: Path, serve: Serve
) -> None:
    server = serve(project).ready()
    upgrade = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    }
    answer = server.get("/", headers=upgrade)
    assert answer.status_code == 200
    assert "sec-websocket-accept" not in answer.headers
    assert "upgrade" not in answer.headers
    assert answer.headers["content-type"].startswith("text/html")
    assert server.stop() == 0
    assert not [record for record in server.records if record["log.level"] != "INFO"]


def test_dev_reloads_on_an_edit_and_not_on_a_write_to_the_database(
    project: Path, serve: Serve
) -> None:
    """`make dev`, driven: its own variables, a login (which writes), an edit, a mistake and its fix."""
    dev = dev_variables(project) | {"LOG_FORMAT": "json"}
    server = serve(project, **dev).ready()
    with httpx.Client(base_url=server.address, timeout=PATIENCE) as client:
        first = server.workers
        for _ in range(3):
            page = client.get("/admin/login/")
            token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page.text)
            assert token
            form = {"username": "ada", "password": "x", "csrfmiddlewaretoken": token[1]}
            assert client.post("/admin/login/", data=form).status_code == 200
        (project / "db.sqlite3-journal").touch()

        views = project / "home" / "views.py"
        text = views.read_text()
        views.write_text(text.replace('"uptime_seconds"', '"seconds"'))
        server.wait_for_log("Started worker-", 2)
        assert server.log.count("Changes detected") == 1
        assert "seconds" in server.answering().get("/uptime/").json()
        assert server.workers != first

        (project / "home" / "models.py").write_text("((")
        server.wait_for_log("SyntaxError")
        (project / "home" / "models.py").write_text("")
        server.wait_for_log("Started worker-", 3)
        assert server.answering().get("/").status_code == 200
