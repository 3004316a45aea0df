"""/livez and /readyz of the project's own ASGI application, without a server."""

import asyncio
import json
from types import SimpleNamespace
from typing import Any

import pytest
from config.asgi import application
from django.db import IntegrityError, OperationalError, ProgrammingError, connection
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder
from serving.lifespan.state import ORIGIN
from serving.probes import Probes
from serving.probes.diagnosis import advice

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
