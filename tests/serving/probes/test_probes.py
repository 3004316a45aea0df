"""/livez and /readyz of the project's own ASGI application, without a server."""

import asyncio
import json
import logging
import threading
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import pytest
from config.asgi import application
from django.db import IntegrityError, OperationalError, ProgrammingError, connection
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder
from serving.lifespan.state import ORIGIN
from serving.probes import Probes, diagnosis, probes
from serving.probes.diagnosis import Databases, advice
from serving.stopping import stopping

from tests.serving.client import ASGIClient

STARTED = {ORIGIN: SimpleNamespace(mode="LIFESPAN=required", problem=None, public_problem=None)}


def get(app: Any, path: str, state: dict[str, Any], method: str = "GET") -> tuple[int | None, Any]:
    """Asks an ASGI application: its status and its JSON."""
    answer = asyncio.run(ASGIClient(app, state=state).ask(path, method))
    return answer.status, json.loads(answer.body) if answer.body else None


@pytest.mark.django_db
@pytest.mark.parametrize("path", ["/livez", "/readyz"])
def test_a_healthy_server_is_alive_and_ready(path: str) -> None:
    assert get(application, path, STARTED) == (200, {"status": "ok"})
    assert get(application, path, STARTED, "HEAD") == (200, None)


@pytest.mark.django_db
@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("path", ["/livez", "/readyz"])
def test_an_answer_is_whole_and_kept_by_nobody(path: str, method: str) -> None:
    answer = asyncio.run(ASGIClient(application, state=STARTED).ask(path, method))
    headers = dict(answer.headers)

    assert answer.ended
    assert (headers["content-type"], headers["cache-control"]) == ("application/json", "no-store")
    assert headers["content-length"] == str(len(b'{"status": "ok"}'))
    assert headers["x-content-type-options"] == "nosniff"


def test_every_other_path_and_protocol_goes_on() -> None:
    passed: list[Any] = []

    async def app(*asked: Any) -> None:
        passed.append(asked)

    under_test, receive, send = Probes(app, prefix="/app"), object(), object()
    others: list[dict[str, Any]] = [
        {"type": "http", "path": "/livez"},
        {"type": "http", "path": "/app/livez/"},
        {"type": "websocket", "path": "/app/livez"},
        {"type": "lifespan"},
    ]
    for scope in others:
        asyncio.run(under_test(scope, receive, send))  # type: ignore[arg-type]
    assert passed == [(scope, receive, send) for scope in others]


@pytest.mark.django_db
def test_a_server_that_was_told_to_stop_is_not_ready_but_alive(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(type(stopping), "is_set", lambda self: True)
    app = Probes(application, lifespan="optional")

    problems = {"stopping": "the server was told to stop"}
    assert get(app, "/readyz", {}) == (503, {"status": "unavailable", "problems": problems})
    assert get(app, "/livez", {}) == (200, {"status": "ok"})


def test_a_database_that_does_not_answer_costs_one_thread_however_many_ask(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """And no longer than its limit. The thread cannot delay the end of the process."""
    checks: list[threading.Thread] = []
    answers = threading.Event()

    def check(self: Databases) -> None:
        checks.append(threading.current_thread())
        answers.wait(50)

    monkeypatch.setattr(Databases, "problem", check)
    client = ASGIClient(Probes(application, lifespan="optional"))

    async def main() -> None:
        monkeypatch.setattr(probes, "DATABASE_TIMEOUT", 0.01)
        for _ in range(3):
            silent = await client.ask("/readyz")
            problems = {"database": "no answer in 0.01 s"}
            assert json.loads(silent.body) == {"status": "unavailable", "problems": problems}
        monkeypatch.setattr(probes, "DATABASE_TIMEOUT", 50.0)
        waiting = [client.start("/readyz") for _ in range(3)]
        for _ in range(10):
            await asyncio.sleep(0)  # until each of them waits
        answers.set()
        async with asyncio.timeout(30):
            await asyncio.gather(*(exchange.task for exchange in waiting))
        assert [exchange.status for exchange in waiting] == [200] * 3
        assert len(checks) == 1
        assert (await client.ask("/readyz")).status == 200

    try:
        asyncio.run(main())
    finally:
        answers.set()
    assert len(checks) == 2, "the next who asks is answered anew"
    assert all(thread.daemon for thread in checks)


@pytest.mark.django_db
def test_that_no_lifespan_ran_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    app = Probes(application, lifespan="required")
    with caplog.at_level(logging.WARNING, "serving.probes"):
        get(app, "/livez", {})
        assert caplog.messages == []
        get(app, "/readyz", {})
        get(app, "/readyz", {})
    (said,) = caplog.messages
    assert "LIFESPAN=required, but this server ran no lifespan" in said


@pytest.mark.django_db
def test_a_required_lifespan_that_never_ran_is_not_ready_but_alive(
    caplog: pytest.LogCaptureFixture,
) -> None:
    app = Probes(application, lifespan="required")

    status, answer = get(app, "/readyz", {})

    assert status == 503
    assert "this server ran no lifespan" in answer["problems"]["lifespan"]
    assert "asgi.py has no layer Lifespan, or the server does not ask for it" in caplog.text
    assert get(app, "/livez", {})[0] == 200


def test_a_lifespan_that_ended_asks_for_a_restart_and_tells_strangers_no_more() -> None:
    ended = {
        ORIGIN: SimpleNamespace(
            mode="LIFESPAN=required",
            problem="ended while serving: teahouse: ConnectionError: hunter2",
            public_problem="ended while serving: teahouse: ConnectionError; the log says more",
        )
    }
    app = Probes(application, lifespan="required")

    assert get(app, "/livez", ended) == (
        503,
        {
            "status": "unavailable",
            "problems": {
                "lifespan": "ended while serving: teahouse: ConnectionError; the log says more"
            },
        },
    )


@pytest.mark.parametrize(
    ("said", "answer"),
    [
        ("FATAL: password authentication failed, hunter2", "refuses the user or the password"),
        ("hunter2 is no password", "ConnectionError; the log says more"),
    ],
)
def test_a_database_that_fails_is_named_without_what_the_driver_says(
    monkeypatch: pytest.MonkeyPatch, said: str, answer: str
) -> None:
    def fail(*_: object) -> None:
        raise ConnectionError(said)

    monkeypatch.setattr("django.db.backends.base.base.BaseDatabaseWrapper.cursor", fail)
    app = Probes(application, lifespan="optional")

    status, found = get(app, "/readyz", {})

    assert status == 503
    assert answer in found["problems"]["database"]
    assert "hunter2" not in found["problems"]["database"]
    assert get(app, "/livez", {})[0] == 200


@pytest.mark.parametrize(
    ("error", "wanted"),
    [
        (OperationalError("connection failed: SSL error: certificate verify failed"), "TLS failed"),
        (OperationalError("no such table: accounts_user"), "lacks a migration"),
        (OperationalError("database disk image is malformed"), "restore a backup"),
        (OperationalError("malformed JSON"), None),
        (ProgrammingError('invalid connection option "ssl"'), "no parameter of libpq"),
        (ProgrammingError('relation "shop_certificate" already exists'), None),
        (IntegrityError("Key (title)=(Connection refused) already exists."), None),
    ],
)
def test_advice_is_given_on_what_is_wrong_alone(error: Exception, wanted: str | None) -> None:
    found = advice(error)

    assert (wanted is None) == (found is None), found
    assert (wanted or "") in (found or "")


@pytest.mark.parametrize(
    ("variables", "wanted"),
    [
        ({}, "DATABASES"),
        ({"DATABASE_URL": "postgres://"}, "DATABASE_URL"),
        ({"DATABASE_URL_FILE": "/run/secrets/database_url"}, "DATABASE_URL"),
    ],
)
def test_advice_names_where_the_address_stands(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], wanted: str
) -> None:
    monkeypatch.delenv("DATABASE_URL", raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert str(advice(OperationalError("Connection refused"))).endswith(f"port in {wanted}")


class Database:
    """Stands for a connection, and for its cursor."""

    def __init__(self, error: Exception | None = None, password: str = "") -> None:
        self.error = error
        self.settings = {"PASSWORD": password}
        self.asked: list[str] = []
        self.closed = 0

    def cursor(self) -> Any:
        return nullcontext(self)

    def execute(self, sql: str) -> None:
        self.asked.append(sql)
        if self.error:
            raise self.error

    def close(self) -> None:
        self.closed += 1


class Site:
    """Some databases, and the migrations that one or the other lacks."""

    def __init__(self, patch: pytest.MonkeyPatch, **databases: Database) -> None:
        self.lacks: dict[Database, list[str]] = {}
        self.looked = 0
        patch.setattr(diagnosis, "connections", Connections(databases))
        patch.setattr(diagnosis, "missing_migrations", self.missing)

    def missing(self, connection: Database) -> list[str]:
        self.looked += 1
        return self.lacks.get(connection, [])


class Connections(dict[str, Database]):
    """As `django.db.connections`."""

    @property
    def settings(self) -> dict[str, Any]:
        return {alias: database.settings for alias, database in self.items()}


def test_every_database_is_asked_for_a_row_each_time_and_for_its_migrations_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    default, other = Database(), Database()
    site = Site(monkeypatch, default=default, other=other)
    site.lacks[other] = ["tea.0001_initial", "tea.0002_milk"]
    under_test = Databases()

    lacking = "migrations are missing (2); run `manage.py migrate`"
    assert under_test.problem() == f"other: {lacking}"
    assert caplog.messages == [f"database 'other': {lacking} (tea.0001_initial, tea.0002_milk)"]
    assert site.looked == 2
    site.lacks.clear()
    for _ in range(3):
        assert under_test.problem() is None
    assert site.looked == 3, "what has its migrations keeps them"
    for database in (default, other):
        assert database.asked == ["SELECT 1"] * 4
        assert database.closed == 4


def test_the_log_says_what_the_driver_said_without_the_password(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    error = OperationalError("hunter2 is\nno password")
    Site(monkeypatch, default=Database(), other=Database(error, "hunter2"))
    assert Databases().problem() == "other: OperationalError; the log says more"
    assert caplog.messages == ["database 'other': OperationalError (*** is no password)"]
    caplog.clear()
    Site(monkeypatch, default=Database(OperationalError("Connection refused at db")))
    found = Databases().problem()
    assert found
    assert found.startswith("default: no server listens there")
    advised = found.removeprefix("default: ")
    assert caplog.messages == [f"database 'default': {advised} (Connection refused at db)"]


def test_a_server_that_has_connections_stays_ready_where_the_database_is_full(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """And the databases behind that one are asked as well."""
    default, other = Database(), Database()
    Site(monkeypatch, default=default, other=other)
    full = OperationalError("FATAL: sorry, too many clients already")
    default.error = full
    under_test = Databases()
    assert str(under_test.problem()).startswith("default: the server has no connection left")
    default.error = None
    assert under_test.problem() is None
    default.error = full
    assert under_test.problem() is None
    other.error = OperationalError("Connection refused")
    assert str(under_test.problem()).startswith("other: no server listens there")
    default.error = OperationalError("Connection refused")
    assert str(under_test.problem()).startswith("default: no server listens there")


@pytest.mark.django_db(transaction=True)
def test_a_missing_migration_is_not_ready_and_says_what_to_do() -> None:
    graph = MigrationLoader(connection).graph
    last = next(leaf for leaf in graph.leaf_nodes() if not graph.node_map[leaf].children)
    recorder = MigrationRecorder(connection)
    recorder.record_unapplied(*last)
    try:
        app = Probes(application, lifespan="optional")
        assert get(app, "/readyz", {}) == (
            503,
            {
                "status": "unavailable",
                "problems": {
                    "database": "default: migrations are missing (1); run `manage.py migrate`"
                },
            },
        )
    finally:
        recorder.record_applied(*last)
    assert get(app, "/readyz", {})[0] == 200
