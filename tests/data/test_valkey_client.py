"""The cache's client against a server that is gone, refuses, and comes back, at a clock that the tests turn."""

import logging
from collections.abc import Callable, Iterator
from contextlib import suppress
from types import SimpleNamespace
from typing import Any, Self

import pytest
from data import valkey
from data.valkey import Client, ValkeyCache, report_start
from data.valkey_address import greet
from data.valkey_refusals import advice, refusal
from django.conf import settings
from django.contrib.sessions.backends.cached_db import KEY_PREFIX as SESSIONS
from redis import Redis
from redis.exceptions import (
    AuthenticationError,
    InvalidResponse,
    OutOfMemoryError,
    ReadOnlyError,
    ResponseError,
)
from redis.exceptions import ConnectionError as NoConnection

GONE = NoConnection("Connection refused")
FULL = OutOfMemoryError("command not allowed when used memory > 'maxmemory'.", status_code="OOM")
DENIED = ResponseError("NOPERM this user has no permissions to run the 'flushdb' command")
REPLICA = ReadOnlyError("You can't write against a read only replica.", status_code="READONLY")


SESSION = f"shop:{SESSIONS}ada"


class Server:
    """Keeps keys as a server does. `refuses` says what it answers to a command, if not its result."""

    def __init__(self) -> None:
        self.kept: dict[str, Any] = {}
        self.lives: dict[str, int | None] = {}
        self.asked: list[str] = []
        self.refuses: Callable[[str], Exception | None] = lambda command: None
        self.disconnected = 0
        self.is_for_writes = True  # or a replica of it, where there are several
        self.connection_pool = SimpleNamespace(disconnect=self._disconnect)

    def _disconnect(self, *, inuse_connections: bool) -> None:
        assert inuse_connections is False
        assert self.is_for_writes
        self.disconnected += 1

    def ask(self, command: str) -> None:
        assert self.is_for_writes or command in {"get", "mget", "exists"}
        self.asked.append(command)
        if error := self.refuses(command):
            raise error

    def get(self, key: str) -> Any:
        self.ask("get")
        return self.kept.get(key)

    def getex(self, key: str) -> Any:
        self.ask("getex")
        return self.kept.get(key)

    def mget(self, keys: list[str]) -> list[Any]:
        assert keys, "a server takes no MGET of nothing"
        self.ask("mget")
        return [self.kept.get(key) for key in keys]

    def exists(self, key: str) -> int:
        self.ask("exists")
        return int(key in self.kept)

    def set(self, key: str, value: Any, *, ex: int | None = None, nx: bool = False) -> bool:
        self.ask("set")
        if nx and key in self.kept:
            return False
        self.kept[key], self.lives[key] = value, ex
        return True

    def incr(self, key: str, delta: int) -> int:
        self.ask("incr")
        self.kept[key] = int(self.kept[key]) + delta
        return int(self.kept[key])

    def expire(self, key: str, seconds: int) -> bool:
        self.ask("expire")
        self.lives[key] = seconds
        return key in self.kept

    def delete(self, *keys: str) -> int:
        self.ask("delete")
        return sum(self.kept.pop(key, None) is not None for key in keys)

    def flushdb(self) -> bool:
        self.ask("flushdb")
        self.kept.clear()
        return True

    def scan_iter(self, pattern: str, count: int) -> Iterator[str]:
        self.ask(f"scan {pattern}")
        return iter(list(self.kept))

    def pipeline(self) -> Self:
        return self

    def mset(self, data: dict[str, Any]) -> None:
        self.ask("mset")
        self.kept.update(data)

    def execute(self) -> None:
        self.ask("execute")


class Clock:
    now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(valkey, "time", made)
    return made


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
def cache(server: Server, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Client:
    made = Client(["redis://cache/0"], prefix="shop[1]:")

    def get_client(key: str | None, write: bool = False) -> Server:
        server.is_for_writes = write
        return server

    monkeypatch.setattr(made, "get_client", get_client)
    return made


def fails(server: Server, error: Exception, *commands: str) -> None:
    """Has a server refuse these commands, or all."""
    server.refuses = lambda asked: error if not commands or asked in commands else None


def works(server: Server) -> None:
    server.refuses = lambda command: None


def test_a_server_that_works_is_asked_for_everything(cache: Client, server: Server) -> None:
    cache.set("tea", "oolong", 60)
    assert (cache.get("tea", "none"), cache.get("cups", "none")) == ("oolong", "none")
    assert server.lives["tea"] == 60
    assert not cache.add("tea", "green", 60)
    assert cache.add("cups", 2, 60)
    assert cache.incr("cups", 3) == 5
    assert cache.has_key("tea")
    assert not cache.has_key("milk")
    cache.set_many({"milk": "no", "sugar": "yes"}, 60)
    assert cache.get_many(["tea", "milk", "rum"]) == {"tea": "oolong", "milk": "no"}
    assert cache.touch("tea", 90)
    assert server.lives["tea"] == 90
    assert cache.delete("tea")
    assert not cache.delete("tea")
    cache.delete_many(["milk"])
    assert cache.get_many(["milk", "sugar"]) == {"sugar": "yes"}
    assert cache.clear()
    assert server.kept == {}


def test_a_mistake_in_a_call_is_raised(cache: Client, server: Server) -> None:
    fails(server, ResponseError("WRONGTYPE Operation against a key"))
    with pytest.raises(ResponseError, match="WRONGTYPE"):
        cache.get("tea", None)
    works(server)
    cache.set("tea", "oolong", 60)
    assert cache.get("tea", None) == "oolong"


def test_one_that_is_gone_is_asked_once_a_second(
    cache: Client, server: Server, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    fails(server, GONE)
    for _ in range(5):
        assert cache.get("tea", "none") == "none"
    assert server.asked == ["get"]
    clock.now += 0.9
    assert cache.get_many(["tea"]) == {}
    assert server.asked == ["get"]
    clock.now += 0.1
    assert not cache.has_key("tea")
    assert not cache.touch("tea", 60)
    assert server.asked == ["get", "exists"]
    with pytest.raises(ValueError, match="Key 'cups' not found"):
        cache.incr("cups", 1)
    works(server)
    assert cache.get("milk", "none") == "none"
    assert len(caplog.messages) == 1
    clock.now += 2.5
    assert cache.get("milk", "none") == "none"
    first, second = caplog.messages
    assert first == (
        "the cache does not answer, serving without it: Connection refused; start it, or correct"
        " CACHE_URL"
    )
    assert second == "the cache answers again, after 3.5 s"


WRITES: dict[str, Callable[[Client], Any]] = {
    "set": lambda cache: cache.set("tea", "green", 60),
    "set_many": lambda cache: cache.set_many({"tea": "green"}, 60),
    "delete": lambda cache: cache.delete("tea"),
    "delete_many": lambda cache: cache.delete_many(key for key in ["tea"]),
    "touch": lambda cache: cache.touch("tea", 60),
    "clear": lambda cache: cache.clear(),
}


@pytest.mark.parametrize("write", WRITES)
def test_what_was_changed_while_it_was_gone_is_not_served_later(
    cache: Client, server: Server, clock: Clock, write: str
) -> None:
    cache.set("tea", "oolong", 60)
    cache.set("milk", "no", 60)
    fails(server, GONE)
    lost = False if write in {"delete", "touch", "clear"} else None
    assert WRITES[write](cache) is lost
    works(server)
    assert cache.get("milk", "none") == "none", "it is not asked yet"
    clock.now += 1
    assert cache.get("tea", "none") == "none"
    assert "tea" not in server.kept
    assert cache.get("milk", "none") == ("none" if write == "clear" else "no")
    cache.set("tea", "black", 60)
    assert cache.get("tea", "none") == "black", "it is forgotten that it was dropped"
    WRITES[write](cache)
    fails(server, GONE)
    WRITES[write](cache)
    works(server)
    clock.now += 1
    cache.set("tea", "black", 60)
    assert cache.get("tea", "none") == "black", "the first call that is made again counts"
    asked = len(server.asked)
    assert cache.get("tea", "none") == "black"
    assert server.asked[asked:] == ["get"]


def test_an_add_and_a_read_that_are_lost_leave_nothing_to_delete(
    cache: Client, server: Server, clock: Clock
) -> None:
    cache.set("tea", "oolong", 60)
    fails(server, GONE)
    assert not cache.add("tea", "green", 60)
    assert cache.get("tea", "none") == "none"
    works(server)
    clock.now += 1
    assert cache.get("tea", "none") == "oolong"
    assert "delete" not in server.asked


@pytest.mark.parametrize("error", [DENIED, FULL])
@pytest.mark.parametrize("write", ["set", "delete"])
def test_what_it_refuses_to_delete_is_remembered_and_is_a_miss(
    cache: Client,
    server: Server,
    clock: Clock,
    caplog: pytest.LogCaptureFixture,
    write: str,
    error: Exception,
) -> None:
    """Someone who logged out would be logged in again otherwise."""
    cache.set("tea", "oolong", 60)
    cache.set("milk", "no", 60)
    fails(server, error, "set", "delete")
    WRITES[write](cache)
    for _ in range(3):
        assert cache.get("tea", "none") == "none"
        assert cache.get_many(["tea", "milk"]) == {"milk": "no"}
        assert cache.get_many(["tea"]) == {}
        assert not cache.has_key("tea")
        asked = server.asked.count("delete")
        cache.get("milk", None)
        assert server.asked.count("delete") == asked, "once a second"
        clock.now += 1.0
    assert server.kept["tea"], "it is still there"
    (said,) = caplog.messages
    assert said == f"the cache refuses writes, which are dropped: {advice(refusal(error), error)}"
    works(server)
    clock.now += 1.0
    assert cache.get("milk", "none") == "no"
    assert "tea" not in server.kept
    cache.set("tea", "black", 60)
    assert cache.get("tea", "none") == "black"


def test_what_is_written_while_it_refuses_to_delete_is_remembered_too(
    cache: Client, server: Server, clock: Clock
) -> None:
    for key in ("tea", "milk", SESSION):
        cache.set(key, "old", 60)
    fails(server, FULL, "set", "delete")
    cache.delete("tea")
    clock.now += 1
    cache.set("milk", "new", 60)
    clock.now += 1
    assert cache.get(SESSION, "none") == "none", "one that was ended elsewhere might be read"
    works(server)
    clock.now += 1
    assert cache.get("milk", "none") == "none"
    assert cache.get("tea", "none") == "none"
    assert cache.get(SESSION, "none") == "old", "reading has dropped nothing"
    assert server.kept.keys() == {SESSION}


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (FULL, advice("OOM", FULL)),
        (ResponseError("NOPERM No permissions to run the 'del' command"), "(DEL)"),
        (ResponseError("ERR something new"), "something new"),
    ],
)
def test_one_that_comes_back_and_refuses_to_delete_serves_the_rest(
    cache: Client,
    server: Server,
    clock: Clock,
    caplog: pytest.LogCaptureFixture,
    error: Exception,
    said: str,
) -> None:
    cache.set("milk", "no", 60)
    cache.set("tea", "oolong", 60)
    fails(server, GONE)
    cache.delete("tea")
    fails(server, error, "delete")
    clock.now += 1
    assert cache.get("milk", "none") == "no"
    assert cache.get("milk", "none") == "no"
    assert cache.get("tea", "none") == "none"
    gone, refuses, back = caplog.messages
    assert gone.startswith("the cache does not answer")
    assert refuses.startswith("the cache refuses writes, which are dropped: ")
    assert refuses.endswith(said)
    assert back == "the cache answers again, after 1.0 s"


def test_a_key_that_is_dropped_again_while_it_is_deleted_is_deleted_again(
    cache: Client, server: Server, clock: Clock
) -> None:
    cache.set("tea", "oolong", 60)
    fails(server, GONE)
    cache.delete("tea")
    clock.now += 1

    def drops_again(command: str) -> None:
        if command == "delete":
            works(server)
            cache.set("tea", "late", 60)

    server.refuses = drops_again
    cache.get("milk", None)
    assert server.asked == ["set", "delete", "delete", "get", "delete"]


STORES: dict[str, Callable[[Client], Any]] = {
    "set": WRITES["set"],
    "mset": WRITES["set_many"],
    "incr": lambda cache: cache.incr("tea", 1),
}


@pytest.mark.parametrize("store", STORES)
def test_a_key_that_it_refuses_to_store_is_deleted_at_once(
    cache: Client, server: Server, caplog: pytest.LogCaptureFixture, clock: Clock, store: str
) -> None:
    cache.set("tea", 1, 60)
    fails(server, FULL, "set", "mset", "incr")
    with suppress(ValueError):
        STORES[store](cache)
    assert "tea" not in server.kept
    assert not cache.add("cups", 2, 60)
    assert cache.get("tea", "none") == "none"
    deletes = server.asked.count("delete")
    works(server)
    clock.now += 1.5
    cache.set("tea", "black", 60)
    assert cache.get("tea", "none") == "black"
    assert server.asked.count("delete") == deletes, "nothing is left to delete"
    cache.set("tea", "green", 60)
    first, second = caplog.messages
    assert first.startswith("the cache refuses writes, which are dropped: it is full: raise its")
    assert second == "the cache takes writes again, after 1.5 s"
    caplog.clear()
    clock.now += 10
    fails(server, FULL, "set")
    cache.set("tea", 1, 60)
    works(server)
    cache.set("tea", 1, 60)
    assert caplog.messages == [], "neither that it refused again so soon, nor its end"


def test_a_process_that_knows_nothing_of_what_was_there_empties_it(
    cache: Client, server: Server, clock: Clock
) -> None:
    """Its first write was refused, so what others dropped before it began may be out of date."""
    server.kept["tea"] = "oolong of another process"
    fails(server, FULL, "set", "delete", "flushdb")
    cache.set("cups", 2, 60)
    fails(server, DENIED, "set", "delete", "flushdb")
    clock.now += 1
    cache.set("cups", 2, 60)
    works(server)
    clock.now += 1
    cache.get("milk", None)
    assert server.kept == {}
    server.kept["milk"] = 1
    clock.now += 1
    cache.set("tea", "black", 60)
    assert set(server.kept) == {"tea", "milk"}, "once is enough"


def test_an_add_that_is_refused_empties_nothing(
    cache: Client, server: Server, clock: Clock
) -> None:
    server.kept["tea"] = 1
    fails(server, FULL, "set")
    assert cache.add("cups", 2, 60) is False
    works(server)
    clock.now += 1
    assert cache.get("tea", None) == 1
    assert server.asked == ["set", "get"]


def test_a_lasting_refusal_empties_nothing(cache: Client, server: Server, clock: Clock) -> None:
    server.kept["tea"] = 1
    fails(server, DENIED, "set", "delete")
    cache.set("cups", 2, 60)
    works(server)
    clock.now += 1
    assert cache.get("tea", None) == 1
    assert "flushdb" not in server.asked


def test_a_user_who_may_not_empty_it_deletes_what_is_the_projects(
    cache: Client, server: Server
) -> None:
    for refused in (DENIED, ResponseError("unknown command 'FLUSHDB', with args")):
        server.kept = {f"shop[1]:{number}": 1 for number in range(2500)}
        fails(server, refused, "flushdb")
        assert cache.clear()
        assert server.kept == {}
    assert server.asked[:2] == ["flushdb", r"scan shop\[1\]:*"]
    assert server.asked.count("delete") == 6
    fails(server, FULL, "flushdb")
    assert not cache.clear()


def test_more_keys_than_are_remembered_empty_it(
    cache: Client, server: Server, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(valkey, "DROPPED_MAX", 2)
    cache.set_many({"tea": 1, "milk": 1}, 60)
    fails(server, GONE)
    for key in "abcd":
        cache.delete(key)
    works(server)
    assert cache.get("tea", "none") == "none"
    clock.now += 1
    assert cache.get("tea", "none") == "none"
    assert server.kept == {}


def test_a_session_is_read_only_where_its_deletion_would_be_taken(
    cache: Client, server: Server, clock: Clock
) -> None:
    cache.set(SESSION, {"user": "ada"}, 60)
    assert cache.get(SESSION, None) == {"user": "ada"}
    assert cache.get(f"{SESSION}2", "none") == "none"
    assert server.asked[-1] == "getex"
    fails(server, REPLICA, "getex", "delete")
    assert cache.get(SESSION, "none") == "none"
    assert server.disconnected == 1, "the address may be another server's by now"
    works(server)
    clock.now += 1
    assert cache.get(SESSION, "none") == {"user": "ada"}, "reading has dropped nothing"


def test_a_server_that_lacks_getex_is_asked_without_from_then_on(
    cache: Client, server: Server
) -> None:
    cache.set(SESSION, {"user": "ada"}, 60)
    fails(server, ResponseError("unknown command 'GETEX', with args"), "getex")
    for _ in range(2):
        assert cache.get(SESSION, "none") == {"user": "ada"}
    assert server.asked == ["set", "getex", "get", "get"]


@pytest.mark.parametrize(
    ("error", "level", "pause"), [(FULL, logging.WARNING, 60), (DENIED, logging.ERROR, 600)]
)
def test_a_fault_is_logged_again_after_a_while(
    cache: Client,
    server: Server,
    clock: Clock,
    caplog: pytest.LogCaptureFixture,
    error: Exception,
    level: int,
    pause: int,
) -> None:
    cache.set("tea", "oolong", 60)
    fails(server, error, "set")
    for _ in range(3):
        cache.set("tea", "green", 60)
        clock.now += pause / 4
    assert len(caplog.records) == 1
    clock.now += pause / 4
    cache.set("tea", "green", 60)
    assert [record.levelno for record in caplog.records] == [level] * 2
    said = f"the cache refuses writes, which are dropped: {advice(refusal(error), error)}"
    assert caplog.messages == [said] * 2


PROTOCOL = InvalidResponse('Protocol error, got "<" as reply type byte')
UNKNOWN = AuthenticationError("Authentication required.", status_code="NOAUTH")
MAY_NOT_READ = ResponseError("NOPERM this user has no permissions to run the 'get' command")


@pytest.mark.parametrize("error", [PROTOCOL, UNKNOWN, MAY_NOT_READ])
def test_one_that_will_not_serve_is_an_error_and_says_what_to_do(
    cache: Client, server: Server, caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    fails(server, error)
    for _ in range(3):
        assert cache.get("tea", "none") == "none"
    said = f"the cache does not serve, serving without it: {advice(refusal(error), error)}"
    assert caplog.record_tuples == [("data.valkey", logging.ERROR, said)]


def test_a_server_that_refuses_to_read_does_not_serve(
    cache: Client, server: Server, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    cache.set("tea", "oolong", 60)
    loading = ResponseError("LOADING Valkey is loading the dataset in memory")
    fails(server, loading)
    assert cache.get("tea", "none") == "none"
    assert cache.get("tea", "none") == "none"
    assert server.asked == ["set", "get"]
    clock.now += 1
    assert cache.get("tea", "none") == "none"
    works(server)
    clock.now += 1
    assert cache.get("tea", "none") == "oolong"
    cache.get("tea", None)
    first, second = caplog.messages
    assert first == "the cache does not serve, serving without it: it loads its data: wait for it"
    assert second == "the cache answers again, after 2.0 s"
    caplog.clear()
    fails(server, loading)
    assert cache.get("tea", "none") == "none"
    works(server)
    clock.now += 1
    assert cache.get("tea", "none") == "oolong"
    assert caplog.messages == [], "neither that it did so again so soon, nor its end"


def test_a_process_has_one_client_of_a_server() -> None:
    """Django makes a cache for each request."""
    options = {"KEY_PREFIX": "shop", "OPTIONS": {"max_connections": 3, "socket_timeout": 2.0}}
    one, same = (ValkeyCache("redis://a,b/0", options) for _ in range(2))
    other = ValkeyCache("redis://a,b/0", {**options, "OPTIONS": {}})
    assert one._cache is same._cache
    assert one._cache is not other._cache
    assert one._cache._servers == ["redis://a,b/0"]
    assert one._cache._prefix == "shop"
    pool = one._cache.get_client(None).connection_pool
    assert (pool.max_connections, pool.connection_kwargs["socket_timeout"]) == (3, 2.0)
    assert one.make_key("tea").startswith("shop:")


def test_the_start_writes_once_and_keeps_no_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server()
    made = ValkeyCache("redis://start/0", {})
    monkeypatch.setattr(made._cache, "get_client", lambda *_, **__: server)
    monkeypatch.setattr(valkey, "caches", {"default": made})
    report_start()
    assert server.asked == ["set"]
    assert server.kept == {":1:data.start": 1}
    assert list(server.lives.values()) == [1]
    assert server.disconnected == 1


@pytest.mark.parametrize(
    ("error", "reason", "says"),
    [
        (AuthenticationError("Authentication required.", status_code="NOAUTH"), "NOAUTH", "it asks for a password"),
        (AuthenticationError("invalid username-password pair"), "WRONGPASS", "it refuses the user"),
        (DENIED, "NOPERM", "(FLUSHDB)"),
        (ResponseError("Command # 1 (GET) of pipeline caused error: tea"), None, "tea"),
    ],
)  # fmt: skip
def test_what_a_server_refuses_is_told_with_the_fix(
    error: Exception, reason: str | None, says: str
) -> None:
    assert refusal(error) == reason
    assert says in advice(reason, error)


KEPT_BY_OTHERS = "a Valkey in which other programs keep keys"


@pytest.mark.parametrize(
    ("keys", "found"),
    [
        ([], None),
        ([b"my-project:1:tea"] * 3, None),
        ([b"my-project:1:tea", b"other:tea"], KEPT_BY_OTHERS),
        ([b"my-project:1:tea"] * 1000 + [b"other:tea"], None),  # it is not searched to its end
        ([b"my-project:1:tea"] * 999 + [b"other:tea"], KEPT_BY_OTHERS),
        (InvalidResponse("Protocol error"), "something that is no Valkey"),
        (GONE, None),
        (ResponseError("LOADING the dataset"), None),
        (ResponseError("NOAUTH Authentication required."), "a Valkey, and it asks for a password"),
    ],
)
def test_what_answers_at_an_address_is_recognized(
    monkeypatch: pytest.MonkeyPatch, keys: Any, found: str | None
) -> None:
    class Found(Server):
        def scan_iter(self, *, count: int) -> Iterator[bytes]:
            if isinstance(keys, Exception):
                raise keys
            return iter(keys)

        def __enter__(self) -> Self:
            return self

        def __exit__(self, *_: object) -> None: ...

    def connect(url: str, **limits: float) -> Found:
        assert url == "redis://cache/0"
        assert limits == {"socket_timeout": 1, "socket_connect_timeout": 1}
        return Found()

    monkeypatch.setattr(Redis, "from_url", connect)
    monkeypatch.setitem(settings.CACHES["default"], "KEY_PREFIX", "my-project")
    answer = greet("valkey://cache/0")
    assert (answer is None) == (found is None), answer
    assert (found or "") in (answer or "")
    assert greet("hunter2") is None
