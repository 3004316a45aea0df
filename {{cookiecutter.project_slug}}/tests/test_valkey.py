"""The cache, while its server is gone; the template's own tests have seen it come back."""

import logging
import socket

import pytest
from environs import ValidationError

from serving.valkey import Client, location


@pytest.fixture
def gone() -> Client:
    """A client of a port that nobody listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    return Client([f"redis://:hunter2@127.0.0.1:{port}/0"])


def test_reads_are_misses_and_writes_are_dropped(gone: Client) -> None:
    gone.set("tea", "oolong", 60)
    gone.set_many({"tea": "oolong"}, 60)
    gone.delete_many(["tea"])

    assert gone.get("tea", "none") == "none"
    assert gone.get_many(["tea"]) == {}
    assert not gone.add("tea", "oolong", 60)
    assert not gone.has_key("tea")
    assert not gone.delete("tea")
    assert not gone.touch("tea", 60)
    assert not gone.clear()
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
    for wrong in ("", "hunter2", "http://:hunter2@cache", "redis://", "redis://cache:x"):
        with pytest.raises(ValidationError) as refused:
            location(wrong)
        assert "hunter2" not in str(refused.value)
