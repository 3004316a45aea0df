"""PostgreSQL as its address and its connections are set up."""

import os

import pytest
from data.connections import RESERVE, threads
from data.postgres import database_settings
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


WRONG = {
    "": "",
    "hunter2": "",
    "mysql://a:hunter2@b/c": "",
    "postgres://a:hunter2@b": "",
    "postgres://a:hunter2@b:x/c": "",
    "postgres://a:hunter2@b:99999/c": "",
    "postgres://a:hunter2@b:0/c": "port",
    "postgres://a:hunter2@b/c#d": "%23",
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
    f"{URL}?pool=true": "a parameter that libpq does not know",
}


@pytest.mark.parametrize("url", WRONG)
def test_a_wrong_url_is_refused_without_showing_it(url: str) -> None:
    with pytest.raises(ValidationError) as refused:
        database_settings(url, application="shop", statement_timeout=30)
    assert WRONG[url] in str(refused.value)
    assert "hunter2" not in str(refused.value)


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
    ],
)
def test_what_libpq_takes_is_taken(query: str) -> None:
    assert database_settings(f"{URL}?{query}", application="shop")["NAME"] == "shop"


@pytest.mark.parametrize("pooler", ["none", "session", "transaction"])
def test_a_pooler_gets_what_it_takes(pooler: str) -> None:
    config = database_settings(URL, application="shop", statement_timeout=30, pooler=pooler)

    assert config["DISABLE_SERVER_SIDE_CURSORS"] == (pooler == "transaction")
    assert ("options" in config["OPTIONS"]) == (pooler == "none")


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
