"""The log of a real Granian server: its voices, levels, formats, request ids, and what it keeps."""

import json
import re
import signal
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import httpx
import pexpect
import pytest

from tests.conftest import Bake, Serve, clean_environment, with_packages
from tests.live.test_serving import MODES
from tests.support.server import PATIENCE, Server, server_environment, wait_for
from tests.support.sites import put_lifespan, put_site


@pytest.fixture
def noisy(project: Path) -> Path:
    """A project whose views make every kind of noise."""
    put_site(project, "noisy")
    return project


def one(server: Server, logger: str, text: str = "") -> dict[str, Any]:
    """The one record of a logger that has a text in its message."""
    found = [
        record
        for record in server.records
        if record["log.logger"] == logger and text in record["message"]
    ]
    assert len(found) == 1, server.log
    return found[0]


# Granian writes the record of a request after its response: a server told to stop may not get to it.
ACCESS = "granian.access"


def assert_every_line_is_a_record(server: Server) -> None:
    for line in server.log.splitlines():
        assert json.loads(line)["log.level"], line


# One configuration


VOICES = {
    *(
        "home",
        "accounts.orders",
        "django",
        "django.request",
        "serving.probes",
        "asyncio",
        "urllib3",
    ),
    "py.warnings",
}


def assert_all_voices_are_heard_once(server: Server, word: str) -> None:
    assert server.get(f"/talk/?word={word}").status_code == 200
    server.wait_for_log(f'"url.query":"word={word}"')
    said = Counter(r["log.logger"] for r in server.records if f"says {word}" in r["message"])
    assert said == dict.fromkeys(VOICES, 1)


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.slow)])
@pytest.mark.parametrize("mode", MODES)
def test_nothing_is_silenced_or_said_twice_in_any_mode(
    noisy: Path, serve: Serve, mode: str, workers: int
) -> None:
    variables = {"GRANIAN_WORKERS": str(workers), "GRANIAN_RESPAWN_INTERVAL": "2"}
    server = serve(noisy, **variables, **MODES[mode]).ready(workers)
    assert_all_voices_are_heard_once(server, "before")

    server.signal(signal.SIGHUP)
    server.wait_for_log('"Stopped old worker-', workers)
    server.answering()
    assert_all_voices_are_heard_once(server, "after")
    assert server.stop() == 0

    assert_every_line_is_a_record(server)
    said = Counter((record["log.logger"], record["message"]) for record in server.records)
    for number in range(1, workers + 1):
        # Each was started, replaced and stopped; the worker and the main process both say so.
        assert said["_granian.serve", f"Started worker-{number}"] == 2
        assert said["_granian.serve", f"Stopping worker-{number}"] == 2
    for message in ("Shutting down granian", "Granian shutdown completed, see ya!"):
        assert said["_granian", message] == 1
    lifespans = [text for text in server.messages("serving.lifespan") if "started in" in text]
    assert len(lifespans) == (0 if mode == "disabled" else 2 * workers)


def test_nothing_is_silenced_or_said_twice_after_an_edit(noisy: Path, serve: Serve) -> None:
    server = serve(noisy, GRANIAN_RELOAD="true").ready()
    assert_all_voices_are_heard_once(server, "before")

    views = noisy / "home" / "views.py"
    views.write_text(views.read_text() + "\n# edited\n")
    server.wait_for_log("Started worker-", 2)
    server.answering()
    assert_all_voices_are_heard_once(server, "after")
    assert server.stop() == 0
    assert_every_line_is_a_record(server)


@pytest.mark.parametrize("file", ["home/models.py", "home/middleware.py"])
def test_what_breaks_before_the_first_request_is_a_record_too(
    project: Path, serve: Serve, file: str
) -> None:
    """In an app that Django loads, and in a middleware that the handler loads after it."""
    (project / file).write_text("import os; raise RuntimeError(os.environ['STRIPE_API_KEY'])")
    if file == "home/middleware.py":
        with (project / "config" / "settings.py").open("a") as settings_file:
            settings_file.write('\nMIDDLEWARE.append("home.middleware.Middleware")\n')
    server = serve(project, STRIPE_API_KEY="planted-api-key")

    assert server.wait() == 1
    record = one(server, "serving.application")
    assert record["log.level"] == "CRITICAL"
    assert record["error.type"] == "RuntimeError"
    assert record["error.message"] == "********"
    assert_every_line_is_a_record(server)
    assert "planted" not in server.log


def test_an_exit_with_a_reason_is_a_record_too(project: Path, serve: Serve) -> None:
    (project / "home" / "models.py").write_text(
        "import os, sys; sys.exit(f\"no {os.environ['STRIPE_API_KEY']}\")"
    )
    server = serve(project, STRIPE_API_KEY="planted-api-key")

    assert server.wait() == 1
    assert one(server, "serving.application")["message"] == "Django does not start: no ********"
    assert_every_line_is_a_record(server)
    assert "planted" not in server.log


def test_what_breaks_under_another_server_shows_no_secret_either(
    project: Path, serve: Serve
) -> None:
    settings = project / "config" / "settings.py"
    broken = "import os; raise RuntimeError(f\"no {os.environ['STRIPE_API_KEY']}\")"
    settings.write_text(f"{broken}\n")
    server = serve(
        project, "uvicorn --port {port} config.asgi:application", STRIPE_API_KEY="planted-api-key"
    )
    assert server.wait() == 1
    assert one(server, "serving.application")["error.message"] == "no ********"
    assert "planted" not in server.log


def test_a_format_that_granian_cannot_fill_ends_the_start(project: Path, serve: Serve) -> None:
    server = serve(project, GRANIAN_LOG_ACCESS_FMT="%(nope)s %(path)s")

    assert server.wait() == 1
    said = one(server, "serving.application")["message"]
    assert "GRANIAN_LOG_ACCESS_FMT='%(nope)s %(path)s': 'nope' is nothing that Granian" in said


# Levels: what each shows of Granian and of Django is in tests/live/test_serving.py


def test_debug_lists_flags_and_settings(project: Path, serve: Serve) -> None:
    with (project / "config" / "settings.py").open("a") as settings_file:
        settings_file.write('\nMIRROR = "https://ada:tea@mirror.example/x"\n')
    server = serve(project, GRANIAN_LOG_LEVEL="debug", GRANIAN_BACKLOG="2048").ready()
    assert server.stop() == 0

    flags = one(server, "serving.process.report", "flags:")["message"]
    assert "\nbacklog = 2048\n" in flags, "a variable"
    assert f"\nport = {server.port}\n" in flags, "an argument of the command line"
    assert "\nhttp1_keep_alive = True\n" in flags, "a default"
    settings = one(server, "serving.process.report", "settings:")["message"]
    assert "\nDRAIN_TIMEOUT = 15.0\n" in settings
    assert re.search(r"\nSECRET_KEY = '\*+'\n", settings)
    assert "\nMIRROR = 'https://ada:********@mirror.example/x'\n" in settings
    quiet = serve(project).ready()
    assert quiet.stop() == 0
    assert quiet.messages("serving.process.report") == []


@pytest.mark.parametrize("format_", ["json", "console"])
def test_a_lifespan_that_fails_says_how_to_see_more(
    project: Path, serve: Serve, format_: str
) -> None:
    put_lifespan(project, "fails")
    variables = {"LIFESPAN": "optional", "LOG_FORMAT": format_}
    brief = serve(project, **variables).ready()
    assert brief.stop() == 0
    (line,) = [line for line in brief.log.splitlines() if "no tea today" in line]
    assert "GRANIAN_LOG_LEVEL=debug shows the traceback" in line
    assert "Traceback" not in brief.log

    whole = serve(project, **variables, GRANIAN_LOG_LEVEL="debug").ready()
    assert whole.stop() == 0
    assert "Traceback (most recent call last)" in whole.log
    assert "shows the traceback" not in whole.log


def test_one_variable_moves_single_loggers(noisy: Path, serve: Serve) -> None:
    (noisy / "accounts" / "orders.py").touch()
    levels = "home=info, accounts.orders=error,_granian=warning,granian.access=warning,django.request=CRITICAL"
    server = serve(noisy, GRANIAN_LOG_LEVEL="warning", LOG_LEVELS=levels).answering()
    server.get("/talk/?word=tea")
    server.get("/identity/")
    assert server.stop() == 0

    assert one(server, "home", "in a sync view"), "lowered"
    assert one(server, "django", "says tea"), "not named"
    heard = {record["log.logger"] for record in server.records}
    assert not heard & {
        "accounts.orders",
        "_granian",
        "_granian.serve",
        "granian.access",
        "django.request",
    }

    more = serve(noisy, GRANIAN_LOG_LEVEL="critical", LOG_LEVELS="_granian=info").ready()
    assert more.stop() == 0
    assert one(more, "_granian.serve", "Started worker-1"), "lowered in the worker"


def test_sql_is_shown_without_its_texts(project: Path, serve: Serve) -> None:
    variables = {"DEBUG": "true", "LOG_LEVELS": "django.db.backends=debug"}
    server = serve(project, **variables).ready()
    server.get("/admin/", cookies={"sessionid": "planted" * 4}, follow_redirects=True)
    assert server.stop() == 0

    (sql, *_) = [text for text in server.messages("django.db.backends") if "django_session" in text]
    assert re.search(r"session_key\" = '\*+'", sql)
    assert "planted" not in server.log


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (
            "home=loud",
            "'loud' in 'home=loud' is no level; use critical, error, warning, info, debug.",
        ),
        (
            "djagno.db=debug",
            "'djagno.db' in 'djagno.db=debug' is no logger: no module has that name",
        ),
        (
            "django.db.backend=debug",
            "'django.db.backend' in 'django.db.backend=debug' is no logger: no module has that",
        ),
        ("home", "'home' is not logger=level, as home=debug is."),
        ("home debug=info", "'home debug=info' is not logger=level"),
    ],
)
def test_a_wrong_name_or_level_is_refused(
    project: Path, serve: Serve, value: str, reason: str
) -> None:
    server = serve(project, LOG_LEVELS=value)

    assert server.wait() == 1
    assert f"LOG_LEVELS={value!r}: {reason}" in one(server, "serving.application")["message"]
    assert_every_line_is_a_record(server)


# Formats


def test_json_follows_the_elastic_common_schema(noisy: Path, serve: Serve) -> None:
    server = serve(noisy, STRIPE_API_KEY="x").ready()
    server.get("/fail/?milk=1", headers={"X-Request-ID": "order-7"})
    server.get("/extra/")
    server.wait_for_log(ACCESS, 2)
    assert server.stop() == 0

    for record in server.records:
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", record["@timestamp"])
        assert record.keys() >= {"log.level", "log.logger", "message", "process.pid"}
    error = one(server, "django.request", "Internal Server Error: /fail/")
    assert error["http.request.id"] == "order-7"
    assert error["http.response.status_code"] == 500
    assert error["error.type"] == "RuntimeError"
    assert error["error.message"].startswith("cannot reach")
    assert "Traceback (most recent call last)" in error["error.stack_trace"]
    access = one(server, "granian.access", "/fail/")
    assert access["http.request.id"] == "order-7", "the server's own record has it too"
    assert access["http.request.method"] == "GET"
    assert access["url.path"] == "/fail/"
    assert access["url.query"] == "milk=1"
    assert access["http.response.status_code"] == 500
    assert access["client.address"] == "127.0.0.1"
    milliseconds, nanoseconds = access["duration_ms"], access["event.duration"]
    assert isinstance(milliseconds, float)
    assert isinstance(nanoseconds, int)
    assert milliseconds == pytest.approx(nanoseconds / 1_000_000, abs=0.001)
    paid = one(server, "home", "paid")
    assert paid["order"] == 7, "what an app adds is a field of its own"
    assert re.fullmatch(r"\*+", paid["card_token"])


LINE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z [A-Z]+ +\S+ +\S")


def test_console_is_aligned_and_plain_in_a_pipe(noisy: Path, serve: Serve) -> None:
    server = serve(noisy, LOG_FORMAT="console", STRIPE_API_KEY="x").ready()
    server.get("/fail/", headers={"X-Request-ID": "order-7"})
    server.wait_for_log(ACCESS, 1)
    assert server.stop() == 0

    assert "\x1b" not in server.log
    lines = server.log.splitlines()
    records = [line for line in lines if LINE.match(line)]
    assert all(line.startswith("    ") for line in lines if line not in records)
    assert {re.match(r"\S+ \S+ +", line).end() for line in records} == {34}  # type: ignore[union-attr]
    assert [line for line in records if "Internal Server Error: /fail/ [order-7]" in line]
    assert [line for line in records if re.search(r"GET /fail/ 500 in .* \[order-7\]", line)]
    assert "    RuntimeError: cannot reach" in server.log


@pytest.mark.parametrize("variables", [{}, {"NO_COLOR": "1"}], ids=["coloured", "NO_COLOR"])
def test_console_is_coloured_on_a_terminal(
    project: Path, environment: Path, variables: dict[str, str]
) -> None:
    flags = {**server_environment(project), "LOG_FORMAT": "console", "GRANIAN_PORT": "0"}
    terminal = pexpect.spawn(
        str(environment / "bin" / "python"),
        ["-m", "serving", "config.asgi:application"],
        cwd=project,
        env=with_packages(project, {**clean_environment(), **flags, **variables}),
        encoding="utf-8",
        timeout=PATIENCE,
    )
    try:
        terminal.expect("Started worker-1")
        shown = terminal.before
    finally:
        terminal.kill(signal.SIGTERM)
        terminal.expect(pexpect.EOF)
        terminal.close()
    assert ("\x1b[" in (shown or "")) == (not variables)


# Request ids


def test_every_record_of_a_request_has_its_id(noisy: Path, serve: Serve) -> None:
    server = serve(noisy).ready()
    given = server.get("/identity/", headers={"X-Request-ID": "mine.1_2-3"})
    assert given.headers["x-request-id"] == given.json()["id"] == "mine.1_2-3"
    made = server.get("/identity_async/")
    own = made.headers["x-request-id"]
    assert re.fullmatch(r"[0-9a-f]{32}", own)
    assert made.json()["id"] == own
    static = re.search(r'href="(/static/[^"]+\.css)"', server.get("/").text)
    assert static
    for path in ("/livez", "/missing", static[1]):
        assert "x-request-id" in server.get(path).headers
    server.wait_for_log(ACCESS, 5)
    assert server.stop() == 0

    places = (
        *("in an async view", "in sync_to_async", "in to_thread", "in a task"),
        "in run_in_executor",
    )
    assert [one(server, "home", where)["http.request.id"] for where in places] == [own] * 5
    assert one(server, "home", "in a sync view")["http.request.id"] == "mine.1_2-3"
    assert one(server, "granian.access", "/identity_async/")["http.request.id"] == own
    outside = [
        r for r in server.records if r["log.logger"].startswith(("_granian", "serving.lifespan"))
    ]
    assert not [record for record in outside if "http.request.id" in record]


BAD_IDS = (
    "", "x" * 129, "two words", "semi;colon", 'quote"', "b\u00e9", "new\u0085line", "$(id)", "../x",
)  # fmt: skip


def test_an_id_that_is_not_well_formed_is_replaced(noisy: Path, serve: Serve) -> None:
    server = serve(noisy).ready()
    given = []
    for bad in BAD_IDS:
        answer = server.get("/identity/", headers={"X-Request-ID": bad.encode("latin-1")})
        given.append(answer.headers["x-request-id"])
        assert re.fullmatch(r"[0-9a-f]{32}", given[-1]), bad
    assert server.stop() == 0
    noted = [
        record["http.request.id"] for record in server.records if record["log.logger"] == "home"
    ]
    assert noted == given
    assert len(set(given)) == len(BAD_IDS)


def test_requests_at_once_keep_their_ids_apart(noisy: Path, serve: Serve) -> None:
    server = serve(noisy).ready()
    with httpx.Client(base_url=server.address, timeout=PATIENCE) as client:
        for number in range(50):
            view = "identity" if number % 2 else "identity_async"
            answer = client.get(f"/{view}/", headers={"X-Request-ID": f"id-{number}"})
            assert answer.json()["id"] == f"id-{number}"
    assert server.stop() == 0
    assert Counter(
        record["http.request.id"] for record in server.records if record["log.logger"] == "home"
    ) == {f"id-{number}": 1 if number % 2 else 5 for number in range(50)}


# The access log


@pytest.mark.parametrize("access_log", [True, False])
def test_the_access_log_is_on_or_off_by_answer_and_by_variable(
    bake: Bake, project: Path, serve: Serve, access_log: bool
) -> None:
    flags = (bake(access_log=access_log) / "config" / "granian.env").read_text()
    variable = f"GRANIAN_LOG_ACCESS_ENABLED={str(access_log).lower()}"
    assert f"\n{variable}\n" in flags
    server = serve(project, **dict([variable.split("=")])).ready()
    server.get("/")
    if access_log:
        server.wait_for_log(ACCESS)
    assert server.stop() == 0
    assert bool(server.messages("granian.access")) == access_log


def test_what_is_held_back_is_written_at_the_end(project: Path, serve: Serve) -> None:
    server = serve(project, GRANIAN_LOG_LEVEL="critical").answering()
    with httpx.Client(base_url=server.address, timeout=PATIENCE) as client:
        for number in range(20):
            client.get(f"/missing/{number}")
    assert server.stop() == 0

    # All but the last, whose record Granian may not get to write when it is told to stop.
    shown = [r["url.path"] for r in server.records if r["log.logger"] == ACCESS]
    assert shown[:19] == [f"/missing/{number}" for number in range(19)]


def test_requests_are_held_and_said_once_where_an_app_forks(noisy: Path, serve: Serve) -> None:
    server = serve(noisy).ready()
    asked = 0
    with httpx.Client(base_url=server.address, timeout=PATIENCE) as client:

        def some_are_held() -> bool:
            nonlocal asked
            asked += 1
            held: int = client.get("/divide/").json()["held"]
            return held > 0

        wait_for(some_are_held, "a request that is held: what Granian calls has changed")
    server.wait_for_log(ACCESS, asked)
    assert server.stop() == 0
    assert len(server.messages(ACCESS)) == asked
    assert len([text for text in server.messages("home") if text == "in a fork"]) == asked


def test_the_log_of_a_command_does_not_mix_with_its_output(
    project: Path, environment: Path
) -> None:
    with (project / "home" / "models.py").open("a") as models:
        models.write('\nimport logging\nlogging.getLogger("home").warning("said at import")\n')
    variables = {**clean_environment(), **server_environment(project), "LOG_FORMAT": "json"}
    done = subprocess.run(
        [environment / "bin" / "python", "manage.py", "dumpdata", "accounts"],
        cwd=project,
        env=variables,
        check=True,
        capture_output=True,
        text=True,
    )
    assert json.loads(done.stdout) == []
    assert json.loads(done.stderr)["message"] == "said at import"


def test_any_letter_is_written_whatever_the_locale(noisy: Path, serve: Serve) -> None:
    for format_ in ("json", "console"):
        server = serve(noisy, LOG_FORMAT=format_, PYTHONIOENCODING="ascii").ready()
        server.get("/echo/?word=%E8%8C%B6")
        server.wait_for_log("/echo/")
        assert server.stop() == 0
        assert "word 茶" in server.log


def test_probes_and_query_strings_are_shown_as_asked(project: Path, serve: Serve) -> None:
    server = serve(project).ready()
    for path in ("/livez", "/readyz", "/missing?milk=1&token=planted"):
        server.get(path)
    server.wait_for_log(ACCESS, 1)
    assert server.stop() == 0
    (record,) = [r for r in server.records if r["log.logger"] == "granian.access"]
    assert record["url.query"] == "milk=1&token=********"

    other = serve(project, ACCESS_LOG_PROBES="true", ACCESS_LOG_QUERY="false").ready()
    for path in ("/livez", "/readyz", "/missing?milk=1"):
        other.get(path)
    other.wait_for_log(ACCESS, 3)
    assert other.stop() == 0
    paths = [r["url.path"] for r in other.records if r["log.logger"] == "granian.access"]
    assert paths == ["/livez", "/readyz", "/missing"]
    assert "milk" not in other.log


@pytest.mark.parametrize("format_", ["json", "console"])
def test_nobody_can_forge_a_line(noisy: Path, serve: Serve, format_: str) -> None:
    forged = "2030-01-01 00:00:00,000 CRITICAL forged"
    server = serve(noisy, LOG_FORMAT=format_).ready()
    path = "".join(f"%{byte:02X}" for byte in f"\r\n\u0085\u2028\x0b\x1b[2J{forged}".encode())
    server.get(f"/missing{path}")
    server.get(
        f"/echo/?word=x{path}", headers={"User-Agent": f"x\x85\x9b2J{forged}".encode("latin-1")}
    )
    server.get("/", headers={"Host": f"x\x85{forged}".encode("latin-1")})
    server.get(
        "/",
        headers={
            "Referer": f"x\x85{forged}".encode("latin-1"),
            "X-Request-ID": f"x\x85{forged}".encode("latin-1"),
        },
    )
    server.wait_for_log(ACCESS, 4)
    assert server.stop() == 0

    assert server.log.count(forged) >= 4
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029]", server.log)
    if format_ == "json":
        assert_every_line_is_a_record(server)
        assert len(server.messages("granian.access")) == 4
    else:
        assert not [line for line in server.log.splitlines() if line.startswith(forged[:4])]
        lines = [line for line in server.log.splitlines() if not line.startswith("    ")]
        assert all(LINE.match(line) for line in lines)
        assert len([line for line in lines if "granian.access" in line]) == 4


# Secrets


PLANTED = {
    "SECRET_KEY": "planted-secret-key-" + "0123456789" * 4,
    "DATABASE_URL": "sqlite://ada:planted%2Fdatabase@localhost/db.sqlite3",
    "STRIPE_API_KEY": "planted-api-key",
}


@pytest.mark.parametrize("format_", ["json", "console"])
@pytest.mark.parametrize("level", ["debug", "info", "warning", "error", "critical"])
def test_no_secret_reaches_the_log(noisy: Path, serve: Serve, level: str, format_: str) -> None:
    put_lifespan(noisy, "fails_with_a_secret")
    variables = {
        **PLANTED,
        "LIFESPAN": "optional",
        "DEBUG": "true" if level == "debug" else "false",
    }
    server = serve(noisy, GRANIAN_LOG_LEVEL=level, LOG_FORMAT=format_, **variables).answering()
    headers = {
        "Authorization": "Bearer planted-bearer",
        "Cookie": "sessionid=planted-cookie-value-0123456789ab",
        "X-CSRFToken": "planted-csrf",
        "X-Request-ID": "planted request id",
        "Proxy-Authorization": "Basic planted-basic",
    }
    query = "?token=planted-query&api_key=planted-query&password=planted-query&code=planted-query"
    cookies = []
    with httpx.Client(base_url=server.address, timeout=PATIENCE) as client:
        page = client.get("/admin/login/")
        token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page.text)
        assert token
        form = {"username": "ada", "password": "planted-form", "csrfmiddlewaretoken": token[1]}
        assert client.post("/admin/login/", data=form).status_code == 200
        cookies = [token[1], *client.cookies.values()]
    form = {"password": "planted-form"}
    for path in ("/", "/admin/", "/missing", "/fail/", "/deny/", "/extra/", "/identity_async/"):
        server.get(path + query, headers=headers)
        httpx.post(server.address + path + query, headers=headers, data=form, timeout=PATIENCE)
    server.get("/", headers={**headers, "Host": "evil.example"})
    assert server.stop() == 0

    assert "planted" not in server.log
    for value in cookies:
        assert value not in server.log
    assert ("cannot reach" in server.log) == (level != "critical"), "secrets were about to be shown"


@pytest.mark.parametrize(
    ("view", "message"),
    [("spawn", "Exception in thread apart"), ("drop", "Careless.__del__")],
    ids=["in a thread of its own", "in a destructor"],
)
def test_what_an_app_raises_elsewhere_is_a_record_without_secrets(
    noisy: Path, serve: Serve, view: str, message: str
) -> None:
    server = serve(noisy, **PLANTED).ready()
    server.get(f"/{view}/")
    assert server.stop() == 0

    record = one(server, "serving.log.hooks", message)
    assert record["error.message"].startswith("cannot reach")
    assert_every_line_is_a_record(server)
    assert "planted" not in server.log


@pytest.mark.parametrize("view", ["break_off", "break_off_async"])
def test_what_a_stream_raises_is_taken_apart(noisy: Path, serve: Serve, view: str) -> None:
    server = serve(noisy, **PLANTED).ready()
    with pytest.raises(httpx.RemoteProtocolError):
        server.get(f"/{view}/", headers={"X-Request-ID": "order-7"})
    server.wait_for_log("Application callable raised an exception")
    assert server.stop() == 0

    record = one(server, "_granian.utils")
    assert record["message"] == "Application callable raised an exception"
    assert record["error.type"] == "RuntimeError"
    assert re.fullmatch(
        r"cannot reach sqlite://ada:\*+@localhost/db.sqlite3\nat all", record["error.message"]
    )
    assert record["error.stack_trace"].startswith("Traceback (most recent call last):\n  File")
    assert record["http.request.id"] == "order-7"
    assert "planted" not in server.log


def test_a_format_cannot_ask_for_a_header_that_is_secret(noisy: Path, serve: Serve) -> None:
    format_ = "%(path)s by %(header{user-agent})s with %(header{Cookie})s %(header{ X-Key })s"
    server = serve(noisy, GRANIAN_LOG_ACCESS_FMT=format_).ready()
    server.get(
        "/missing",
        headers={"User-Agent": "tea", "Cookie": "a=planted", "X-Key": "planted"},
    )
    server.wait_for_log(ACCESS)
    assert server.stop() == 0
    assert one(server, ACCESS)["message"] == "/missing by tea with ******** ********"
    assert "planted" not in server.log


# Django's own noise


def test_what_clients_do_wrong_is_one_line(noisy: Path, serve: Serve) -> None:
    server = serve(noisy, LOG_FORMAT="console").ready()
    server.get("/missing")
    server.get("/deny/")
    server.get("/", headers={"Host": "evil.example"})
    httpx.post(  # the CSRF check reads the form
        server.address + "/admin/login/",
        content="&".join(["a=1"] * 2000),
        headers={
            "Content-Type": "application/x-www-form-urlencoded",
            "Cookie": f"csrftoken={'a' * 32}",
        },
    )
    assert server.stop() == 0

    assert "Traceback" not in server.log
    (fields,) = [line for line in server.log.splitlines() if "exceeded settings.DATA" in line]
    assert " ERROR " in fields
    (missing,) = [line for line in server.log.splitlines() if "Not Found: /missing" in line]
    assert " INFO " in missing
    (denied,) = [line for line in server.log.splitlines() if "Permission denied" in line]
    assert " WARNING " in denied
    (host,) = [line for line in server.log.splitlines() if "Invalid HTTP_HOST" in line]
    assert " ERROR " in host


def test_a_404_is_not_shown_at_level_warning(noisy: Path, serve: Serve) -> None:
    server = serve(noisy, GRANIAN_LOG_LEVEL="warning").answering()
    server.get("/missing")
    server.get("/deny/")
    assert server.stop() == 0
    (record,) = [r for r in server.records if r["log.logger"] == "django.request"]
    assert record["log.level"] == "WARNING"
    assert "Permission denied" in record["message"]


@pytest.mark.parametrize("loop", ["asyncio", "uvloop", "rloop"])
def test_what_an_event_loop_says_is_in_the_same_format(
    noisy: Path, serve: Serve, loop: str
) -> None:
    server = serve(noisy, GRANIAN_LOOP=loop, PYTHONASYNCIODEBUG="1").ready()
    server.get("/slow/")
    server.get("/forget/", headers={"X-Request-ID": "order-7"})
    server.wait_for_log("Task exception was never retrieved")
    assert server.stop() == 0

    lost = one(server, "asyncio", "Task exception was never retrieved")
    assert lost["http.request.id"] == "order-7"
    future = one(server, "asyncio", "Future exception was never retrieved")
    assert "http.request.id" not in future, "whose it was cannot be known"
    assert "ValueError: nobody looks" in lost["error.stack_trace"]
    if loop != "rloop":  # it does not look for slow callbacks
        assert re.search(r"took 0\.[3-9]\d* seconds", one(server, "asyncio", "took")["message"])
    assert_every_line_is_a_record(server)
