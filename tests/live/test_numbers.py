"""The numbers that settings read: one that a part of the project would fail at later stops the start."""

import re
from pathlib import Path

import pytest

from tests.conftest import WIDEST, Bake, Run, Serve
from tests.live.test_logins import Browser
from tests.live.test_tasks import WORKER, with_errands
from tests.support.server import PATIENCE, server_environment
from tests.support.services import Postgres

RIGHT = "open sesame"
ADDRESSES = {"DATABASE_URL": "postgres://ada:a@db/shop", "CACHE_URL": "redis://cache/0"}


def numbers(project: Path) -> dict[str, str]:
    """The numeric variables of a project's settings, and which method reads each."""
    settings = (project / "config" / "settings.py").read_text()
    found = re.findall(r'\benv\.(integer|number)\(\s*"(\w+)"', settings)
    assert len(found) == settings.count("env.integer(") + settings.count("env.number(")
    return {name: method for method, name in found}


def refused(project: Path, run: Run, values: dict[str, str]) -> dict[str, str]:
    """What is said of each value that stops the start."""
    variables = server_environment(project) | values
    done = run(project, "python", "manage.py", "check", check=False, **variables)
    assert "Traceback" not in done.stderr
    return dict(re.findall(r"^  (\w+)='.*?': (.*)$", done.stderr, re.MULTILINE))


def most(project: Path, run: Run, others: dict[str, str]) -> dict[str, str]:
    """The largest value that each may have, as is said of one that is too large."""
    said = refused(project, run, dict.fromkeys(numbers(project), str(10**30)) | others)
    assert said.keys() == numbers(project).keys()
    return {name: re.findall(r"(?:to|than) (\d+)\.$", text)[0] for name, text in said.items()}


@pytest.mark.parametrize("answers", [{}, {**WIDEST, "telemetry": "sentry"}], ids=["few", "all"])
def test_each_has_bounds_and_what_is_beyond_them_is_refused_by_name(
    bake: Bake, run: Run, answers: dict[str, str]
) -> None:
    project = bake(**answers)
    others = ADDRESSES if answers else {}
    bounds = most(project, run, others)
    above = {name: str(int(bound) + 1) for name, bound in bounds.items()}
    assert refused(project, run, above | others).keys() == bounds.keys()
    for value in ("-1", "nan", "inf", "1e400", "9" * 5000, "-1e300"):
        assert refused(project, run, dict.fromkeys(bounds, value) | others).keys() == bounds.keys()
    alone = {"GRANIAN_WORKERS": "1"}  # the port's bound is that beside one worker
    assert refused(project, run, bounds | others | alone) == {}
    if answers:
        assert bounds["SENTRY_TRACES_SAMPLE_RATE"] == "1"


@pytest.mark.parametrize(
    ("database", "loop"),
    [("sqlite", "uvloop"), ("sqlite", "rloop"), ("postgres", "asyncio")],
)
def test_with_the_largest_of_all_people_log_in_and_tasks_run(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    run: Run,
    serve: Serve,
    database: str,
    loop: str,
) -> None:
    project = with_errands(tmp_path, database=database, event_loop=loop, telemetry="sentry")
    others = {"GRANIAN_WORKERS": "1"}  # each is a process
    if database == "postgres":
        postgres: Postgres = request.getfixturevalue("postgres")
        postgres.query("CREATE DATABASE numbers")
        others["DATABASE_URL"] = postgres.url("numbers")
    variables = most(project, run, ADDRESSES if database == "postgres" else {}) | others
    given = server_environment(project) | variables | {"DJANGO_SUPERUSER_PASSWORD": RIGHT}
    run(project, "python", "manage.py", "migrate", "--verbosity", "0", **given)
    user = ("createsuperuser", "--noinput", "--username", "ada", "--email", "ada@example.com")
    run(project, "python", "manage.py", *user, **given)
    run(project, "python", "manage.py", "collectstatic", "--noinput", "-v", "0", **given)

    server = serve(project, **variables).ready()
    worker = serve(project, WORKER, **variables)
    worker.wait_for_log(" starting: queues=")
    with Browser(base_url=server.address, follow_redirects=True, timeout=PATIENCE) as ada:
        wrong = ada.send_form(ada.get("/accounts/login/"), username="ada", password="wrong")
        assert "enter a correct username" in wrong.text
        assert ada.send_form(wrong, username="ada", password=RIGHT).url.path == "/"
        with ada.stream("GET", "/live/") as stream:
            assert next(stream.iter_lines())
        assert ada.get("/errands/look/").status_code == 200
    worker.wait_for_log("sync: open=")
    assert worker.stop() == 0
    assert server.stop() == 0
    for log in (server.log, worker.log):
        assert "Traceback" not in log
        assert "ERROR" not in log
    if database == "postgres":
        postgres.query("DROP DATABASE numbers WITH (FORCE)")
