"""PostgreSQL as its address and its connections are set up."""

import os
import re
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest
from data import postgres_programs
from data.connections import RESERVE, threads
from data.postgres import NETWORK, database_settings, greet
from django.db.backends.postgresql.features import DatabaseFeatures
from environs import ValidationError

URL = "postgres://ada:hunter2@db.example/shop"


def test_the_url_wins_and_takes_what_libpq_takes() -> None:
    config = database_settings(
        f"{URL}?sslmode=verify-full&sslrootcert=/ca.pem&connect_timeout=9",
        application="shop",
        statement_timeout=1.5,
    )

    assert config["CONN_HEALTH_CHECKS"]
    assert config["OPTIONS"]["sslmode"] == "verify-full"
    assert config["OPTIONS"]["sslrootcert"] == "/ca.pem"
    assert config["OPTIONS"]["connect_timeout"] == 9
    assert "statement_timeout=1500" in config["OPTIONS"]["options"]
    assert config["OPTIONS"]["application_name"] == f"shop-{os.getpid()}"


def test_what_a_connection_sets_unless_told_otherwise() -> None:
    config = database_settings(URL, application="shop")

    assert config["CONN_MAX_AGE"] == 600
    assert config["CONN_HEALTH_CHECKS"] is True
    assert not config["DISABLE_SERVER_SIDE_CURSORS"]
    options = {**NETWORK, "application_name": f"shop-{os.getpid()}"}
    assert config["OPTIONS"] == options
    limited = database_settings(URL, application="shop", statement_timeout=30)
    limits = "-c statement_timeout=30000 -c idle_in_transaction_session_timeout=30000"
    assert limited["OPTIONS"] == options | {"options": limits}
    short = database_settings(URL, application="shop", statement_timeout=0.0001)
    assert "-c statement_timeout=1 " in short["OPTIONS"]["options"], "0 would be for ever"


@pytest.mark.parametrize(
    ("url", "given", "used"),
    [
        (URL, "other", "hunter2"),
        (URL, "", "hunter2"),
        ("postgres://ada@db.example/shop", "other", "other"),
        ("postgres:///shop", "", ""),
    ],
)
def test_a_password_of_its_own_is_used_where_the_url_has_none(
    url: str, given: str, used: str
) -> None:
    assert database_settings(url, application="shop", password=given)["PASSWORD"] == used
    assert given or database_settings(url, application="shop")["PASSWORD"] == used


HINT = "Not a valid database URL. Within a password, write / as %2F"
WRONG = {
    "": "Not a valid database URL.",
    "hunter2": "Not a valid database URL.",
    "mysql://a:hunter2@b/c": "Not a database URL of PostgreSQL.",
    "sqlite:///hunter2": "It is SQLite's",
    "postgres://a:hunter2@b": "It names no database.",
    "postgres://a:hunter2@b:x/c": HINT,
    "postgres://a:hunter2@b:99999/c": HINT,
    "postgres://a:hunter2/x@b/c": HINT,
    "postgres://a:hunter2@b:0/c": "Its port is 0",
    "postgres://a:hunter2@b/c#d": "%23",
    "postgres://a:hunter2@b/c#": "%23",
    "postgres://a:hunter 2@b/c": "%20",
    "postgres://a:hunter2@b/c ": "space",
    f"{URL}?nosuch=hunter2": "a parameter that libpq does not know",
    f"{URL}?password=a&hunter2": "a parameter that libpq does not know",
    f"{URL}?sslmode=hunter2": "sslmode",
    f"{URL}?sslmode=require&sslmode=disable": "sslmode twice",
    f"{URL}?port=hunter2": "port",
    f"{URL}?connect_timeout=hunter2": "connect_timeout",
    f"{URL}?connect_timeout=99999999999999999999": "connect_timeout",
    f"{URL}?keepalives=hunter2": "keepalives",
    f"{URL}?prepare_threshold=hunter2": "prepare_threshold",
    f"{URL}?server_side_binding=hunter2": "server_side_binding",
    f"{URL}?target_session_attrs=hunter2": "target_session_attrs",
    f"{URL}?channel_binding=hunter2": "channel_binding",
    f"{URL}?ssl_min_protocol_version=hunter2": "ssl_min_protocol_version",
    f"{URL}?keepalives_idle=hunter2": "keepalives_idle",
    f"{URL}?keepalives_idle=32768": "keepalives_idle",
    f"{URL}?keepalives_interval=32768": "keepalives_interval",
    f"{URL}?keepalives_count=128": "keepalives_count",
    f"{URL}?host=a,b,c&port=1,2": "port",
    f"{URL}?port=1,2": "port",
    f"{URL}?ssl_min_protocol_version=TLSv1.3&ssl_max_protocol_version=TLSv1.2": "for a parameter that",
    f"{URL}?pool=true": "a parameter that libpq does not know",
}


@pytest.mark.parametrize("url", WRONG)
def test_a_wrong_url_is_refused_without_showing_it(url: str) -> None:
    with pytest.raises(ValidationError) as refused:
        database_settings(url, application="shop", statement_timeout=30)
    assert WRONG[url] in str(refused.value)
    assert "hunter2" not in str(refused.value)


def test_a_password_is_spoken_of_only_where_there_may_be_one() -> None:
    with pytest.raises(ValidationError) as refused:
        database_settings("postgres://b:x/c", application="shop")
    assert str(refused.value.args[0]) == "Not a valid database URL."


@pytest.mark.parametrize(
    "query",
    [
        "sslmode=verify-full&sslrootcert=/ca.pem&connect_timeout=2",
        "host=/run/postgresql",
        "host=one,two&port=5432,5433&target_session_attrs=read-write",
        "hostaddr=192.0.2.1",
        "options=-c%20search_path%3Dshop",
        "currentSchema=shop",
        "assume_role=shop&server_side_binding=true",
        "service=shop",
        "user=ada&prepare_threshold=5&connect_timeout=-1",
        "server_side_binding=false",
    ],
)
def test_what_libpq_takes_is_taken(query: str) -> None:
    assert database_settings(f"{URL}?{query}", application="shop")["NAME"] == "shop"


@pytest.mark.parametrize("pooler", ["none", "session", "transaction"])
def test_a_pooler_gets_what_it_takes(pooler: str) -> None:
    config = database_settings(URL, application="shop", statement_timeout=30, pooler=pooler)

    assert config["DISABLE_SERVER_SIDE_CURSORS"] == (pooler == "transaction")
    assert ("options" in config["OPTIONS"]) == (pooler == "none")


@pytest.mark.parametrize("inside", [True, False])
def test_a_program_gets_what_the_url_says_but_for_limits_of_time(
    monkeypatch: pytest.MonkeyPatch, *, inside: bool
) -> None:
    monkeypatch.setattr(postgres_programs, "in_compose", lambda config: inside)
    for query, said in {"": "-c .*", "?options=-crole%3Dtea": "-crole=tea"}.items():
        config = database_settings(f"{URL}{query}", application="shop", statement_timeout=30)
        command, environment = postgres_programs.prepared(config, ["psql"])
        given = "\n".join(command) if inside else f"--env=PGOPTIONS={environment['PGOPTIONS']}"
        limits = "-c statement_timeout=0 -c idle_in_transaction_session_timeout=0"
        assert re.search(rf"^--env=PGOPTIONS={said} {limits}$", given, re.MULTILINE), given


class Connecting:
    """Stands for psycopg.connect: answers with a server of this version, or fails so."""

    def __init__(self, answer: int | Exception) -> None:
        self.answer = answer
        self.asked: dict[str, Any] = {}

    def __call__(self, **asked: Any) -> Any:
        self.asked = asked
        if isinstance(self.answer, Exception):
            raise self.answer
        info = SimpleNamespace(server_version=self.answer)
        return nullcontext(SimpleNamespace(info=info))


(OLDEST, *_) = DatabaseFeatures.minimum_database_version or (0,)
REFUSES_USER = "a PostgreSQL that refuses this user or password"
NONE = "something that is no PostgreSQL"


@pytest.mark.parametrize(
    ("answer", "found"),
    [
        (OLDEST * 10_000, None),
        (OLDEST * 10_000 + 4, None),
        (OLDEST * 10_000 - 1, f"PostgreSQL {OLDEST - 1}, where this version of Django needs {OLDEST} or"),
        (psycopg.OperationalError('FATAL:  password authentication failed for user "a"'), REFUSES_USER),
        (psycopg.OperationalError("fe_sendauth: no password supplied"), REFUSES_USER),
        (psycopg.OperationalError('FATAL:  role "ada" does not exist'), REFUSES_USER),
        (psycopg.OperationalError('FATAL:  database "shop" does not exist'), "a PostgreSQL that has no database"),
        (psycopg.OperationalError("received invalid response to SSL negotiation: H"), NONE),
        (psycopg.OperationalError("server closed the connection unexpectedly"), NONE),
        (psycopg.OperationalError("connection refused"), None),
        (psycopg.ProgrammingError("no such thing"), None),
    ],
)  # fmt: skip
def test_what_answers_at_an_address_is_recognized(
    monkeypatch: pytest.MonkeyPatch, answer: int | Exception, found: str | None
) -> None:
    connecting = Connecting(answer)
    monkeypatch.setattr(psycopg, "connect", connecting)

    said = greet("postgres://ada@db.example:5433/shop?sslmode=disable&server_side_binding=true")

    assert said is None if found is None else str(said).startswith(found)
    assert connecting.asked == {
        **NETWORK,
        "host": "db.example",
        "port": 5433,
        "user": "ada",
        "dbname": "shop",
        "sslmode": "disable",
        "application_name": f"services-{os.getpid()}",
        "connect_timeout": 2,
    }
    assert greet("hunter2") is None
    greet(URL)
    assert connecting.asked["password"] == "hunter2"


@pytest.mark.parametrize(
    ("allowed", "servers", "workers", "found"),
    [(100, 1, 1, 44), (100, 3, 1, 21), (100, 3, 2, 10), (500, 3, 1, 64), (20, 1, 1, 4), (20, 9, 9, 1)],
)  # fmt: skip
def test_threads_fit_into_the_connections_that_there_are(
    allowed: int, servers: int, workers: int, found: int
) -> None:
    assert threads(allowed, servers=servers, workers=workers) == found
    if found > 1:
        assert (servers + 1) * workers * (found + 1) <= allowed - RESERVE
