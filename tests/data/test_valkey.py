"""The cache: its address, what a server refuses, and what happens while it is gone."""

import logging
import socket

import pytest
from data.valkey import Client
from data.valkey_address import location
from data.valkey_refusals import refusal
from environs import ValidationError
from redis.exceptions import InvalidResponse, OutOfMemoryError, ResponseError


@pytest.fixture
def gone() -> Client:
    """A client of a port that nobody listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    return Client([f"redis://:hunter2@127.0.0.1:{port}/0"], prefix="")


def test_reads_are_misses_and_writes_are_dropped(gone: Client) -> None:
    gone.set("tea", "oolong", 60)
    gone.set_many({"tea": "oolong"}, 60)
    gone.delete_many(["tea"])

    assert gone.get("tea", "none") == "none"
    assert gone.get_many(["tea"]) == {}
    assert gone.add("tea", "oolong", 60) is False
    assert gone.has_key("tea") is False
    assert gone.delete("tea") is False
    assert gone.touch("tea", 60) is False
    assert gone.clear() is False
    with pytest.raises(ValueError, match="not found"):
        gone.incr("cups", 1)


def test_the_log_says_so_once_and_shows_no_secret(
    gone: Client, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        for _ in range(5):
            gone.get("tea", None)

    (record,) = caplog.records
    assert "correct CACHE_URL" in record.getMessage()
    assert "hunter2" not in record.getMessage()


class Found:
    """A server that is back, and a cache of which another thread drops a write at that moment."""

    def __init__(self, cache: Client) -> None:
        self.cache = cache
        self.deleted: list[str] = []

    def get(self, key: str) -> None:
        if key == "first":
            self.cache.set("late", "oolong", 60)

    def delete(self, *keys: str) -> None:
        self.deleted += sorted(keys)

    def flushdb(self) -> bool:
        self.deleted.append("everything")
        return True


@pytest.mark.parametrize(
    ("drop", "deleted"), [("set", ["early", "late"]), ("clear", ["everything", "late"])]
)
def test_what_was_dropped_is_deleted_before_it_is_used_again(
    gone: Client, monkeypatch: pytest.MonkeyPatch, drop: str, deleted: list[str]
) -> None:
    """A session that was ended while the server was gone would go on otherwise."""
    gone.get("tea", None)
    if drop == "set":
        gone.set("early", "oolong", 60)
    else:
        gone.clear()
    found = Found(gone)
    monkeypatch.setattr(gone, "get_client", lambda *_, **__: found)
    monkeypatch.setattr(gone, "_ask_again", 0.0)

    gone.get("first", None)

    assert found.deleted == deleted
    gone.get("second", None)
    assert found.deleted == deleted


def test_urls() -> None:
    assert location("valkey://cache/0") == "redis://cache/0"
    assert location("valkeys://cache/0") == "rediss://cache/0"
    assert location("redis://:hunter2@cache:6380/1") == "redis://:hunter2@cache:6380/1"
    for right in (
        "redis://cache",
        "redis://cache/",
        "redis://[::1]:6379/0?socket_timeout=0.5&protocol=2&client_name=shop",
        "redis://ada:hunter2,with;commas@cache/0",
        "rediss://cache/0?ssl_cert_reqs=required&ssl_ca_certs=/ca.pem",
        "unix://:hunter2@/run/valkey.sock?db=1",
    ):
        assert location(right) == right
        client = Client([right], prefix="").get_client(None)
        assert client.connection_pool.make_connection(), "the client takes it, too"


WRONG = {
    "": "server.",
    "redis://a..b:6379/0": "its host can't be a name",
    f"redis://{'a' * 64}/0": "its host can't be a name",
    "redis://cache/9999999999": "its path must be the number of a database",
    "redis://cache?db=9999999999": "the db in its query can't be used",
    "redis://cache?socket_timeout=99999999999999999999": "the socket_timeout in its query",
    "redis://cache?max_connections=9999999": "the max_connections in its query",
    "hunter2": "server.",
    "http://:hunter2@cache": "write / as %2F, ? as %3F, # as %23",
    "redis://": "server.",
    "redis://cache:x": "server.",
    "redis://cache:99999": "server.",
    "redis://cache:0": "server.",
    "valkeyhunter2://cache": "server.",
    "unix://": "server.",
    "redis://:hunter2#tail@cache/0": "write / as %2F, ? as %3F, # as %23",
    "redis://cache/0#hunter2": "server: write a # as %23.",
    "redis://cache/0#": "server: write a # as %23.",
    "redis://:hun ter2@cache/0": "%20",
    " redis://:hunter2@cache/0": "space",
    "redis://:hunter2%@cache/0": "%25",
    "redis://:hunter2%zz@cache/0": "%25",
    "redis://:hunter2%ff@cache/0": "UTF-8",
    "redis://cache/%ff": "UTF-8",
    "redis://cache/0?password=%ff": "UTF-8",
    "redis://cache/hunter2": "number of a database",
    "redis://cache/0/1": "number of a database",
    "redis://cache/-1": "number of a database",
    "redis://one/0,redis://:hunter2@two/0": "number of a database",
    "redis://cache/0?hunter2=1": "no other parameters than db, ",
    "redis://cache/0?password=a&hunter2": "no other parameters than db, ",
    "redis://cache/0?db=hunter2": "the db in its query",
    "redis://cache/0?db=1&db=2": "db twice",
    "redis://cache/0?socket_timeout=hunter2": "the socket_timeout in its query",
    "redis://cache/0?socket_timeout=0": "the socket_timeout in its query",
    "redis://cache/0?socket_timeout=nan": "the socket_timeout in its query",
    "redis://cache/0?socket_timeout=": "the socket_timeout in its query",
    "redis://cache/0?max_connections=0": "the max_connections in its query",
    "redis://cache/0?health_check_interval=-1": "the health_check_interval in its query",
    "redis://cache/0?socket_keepalive=maybe": "the socket_keepalive in its query",
    "redis://cache/0?protocol=4": "the protocol in its query",
    "redis://cache/0?decode_responses=true": "no other parameters than db, ",
    "redis://cache/0?ssl_cert_reqs=none": "needs TLS",
    "rediss://cache/0?ssl_cert_reqs=hunter2": "the ssl_cert_reqs in its query",
}


@pytest.mark.parametrize("url", WRONG)
def test_a_url_that_the_client_refuses_or_mistakes_stops_the_start(url: str) -> None:
    with pytest.raises(ValidationError) as refused:
        location(url)
    assert WRONG[url] in str(refused.value)
    assert "hunter2" not in str(refused.value)
    assert "tail" not in str(refused.value)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (OutOfMemoryError("command not allowed", status_code="OOM"), "OOM"),
        (ResponseError("MISCONF Valkey is configured to save RDB snapshots"), "MISCONF"),
        (
            ResponseError("Command # 1 (SET OOM of pipeline caused error: OOM) of pipeline caused error:"
            " NOREPLICAS Not enough good replicas to write."),
            "NOREPLICAS",
        ),
        (ResponseError("DB index is out of range", status_code="ERR"), "ERR DB"),
        (ResponseError("unknown command 'SET', with args", status_code="ERR"), "ERR command"),
        (ResponseError("invalid DB index", status_code="ERR"), "ERR DB"),
        (ResponseError("SELECT is not allowed in cluster mode", status_code="ERR"), "ERR DB"),
        (ResponseError("max number of clients reached", status_code="ERR"), "ERR clients"),
        (ResponseError("max daily request limit exceeded. Limit: 10000"), "ERR limit"),
        (ResponseError("DENIED Running in protected mode because"), "DENIED"),
        (ResponseError("NOPROTO unsupported protocol version"), "NOPROTO"),
        (InvalidResponse('Protocol error, got "<" as reply type byte'), "PROTOCOL"),
        (ResponseError("WRONGTYPE Operation against a key"), None),
        (ResponseError("value is not an integer or out of range", status_code="ERR"), None),
        (ResponseError("Command # 1 (SET OOM) of pipeline caused error: wrong number"), None),
    ],
)  # fmt: skip
def test_what_a_server_refuses_is_told_from_a_mistake(error: Exception, reason: str | None) -> None:
    assert refusal(error) == reason
