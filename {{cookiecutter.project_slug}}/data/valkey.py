"""Django's own Redis cache, on Valkey (or Redis: one protocol), for a server that may be gone or refuse.

While it does not answer, reads are misses, writes are dropped, and counters raise ValueError as for a
missing key; this is logged once. One request a second tries it again. When it is back, the keys whose
writes were dropped are deleted first, since their values are out of date.

If a server answers but refuses a write (it is full, say, or a replica), that write alone is lost. The key
is deleted; if that is refused too, the key is remembered, read as a miss, and deleted as soon as possible.
Other keys are read as usual, except sessions: see `Client.get`.

https://docs.djangoproject.com/en/6.1/topics/cache/#redis
"""

import functools
import logging
import re
import time
from collections.abc import Callable, Collection, Mapping
from itertools import batched, count
from threading import Lock
from typing import Any, Literal

from django.contrib.sessions.backends.cached_db import KEY_PREFIX as SESSIONS
from django.core.cache import caches
from django.core.cache.backends.redis import RedisCache
from django.utils.functional import cached_property
from redis import BlockingConnectionPool
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as NoConnection
from redis.exceptions import InvalidResponse, ResponseError
from redis.exceptions import TimeoutError as NoAnswer
from redis.retry import Retry

from data import cache_values
from data.valkey_refusals import LASTING, advice, refusal

logger = logging.getLogger(__name__)

GONE = (NoConnection, NoAnswer, InvalidResponse)

RETRY_AFTER = 1.0  # seconds
REMIND_AFTER = 600.0  # seconds, of a fault that only a person ends
QUIET = 60.0  # seconds during which a server that refuses now and then is logged once

DEFAULTS: dict[str, Any] = {
    "pool_class": BlockingConnectionPool,
    "max_connections": 64,
    "timeout": 1.0,  # seconds to wait for a connection of the pool
    "socket_connect_timeout": 1.0,
    "socket_timeout": 1.0,
    "health_check_interval": 30,
    # A pooled connection whose server was restarted is replaced, and nothing is logged.
    "retry": Retry(NoBackoff(), 1),
}

# More keys than this are not remembered: the whole cache is emptied instead.
DROPPED_MAX = 100_000
ALL = ("*",)  # what `clear` writes

# What a call does: "session" reads what must not be out of date; "store" needs memory on the server.
Kind = Literal["read", "session", "delete", "store"]


class Client(cache_values.Client):
    """The connections to the server: one client for all threads of a process, with one bounded pool.

    All keys of this project begin with `prefix`.
    """

    _serializer: Any

    def __init__(self, servers: list[str], *, prefix: str, **options: Any) -> None:
        super().__init__(servers, **DEFAULTS | options)
        self._prefix = prefix
        self._lock = Lock()
        self._asking = Lock()  # held by the one call that tries the server again
        self._ask_again = 0.0
        self._gone_since: float | None = None
        self._refused_since: float | None = None
        self._told: dict[str | None, float] = {}  # the faults that were logged, and when
        self._gone_told = self._refused_told = False  # whether their end will be logged too
        # Keys whose values on the server may be out of date, each with the number of its last drop.
        self._dropped: dict[str, int] = {}
        self._dropped_all = 0
        self._drops = count(1)
        self._stored = False  # whether the server has ever taken a write of this process
        self._empties_later = False
        self._has_getex = True

    def add(self, key: Any, value: Any, timeout: Any) -> bool:
        # It never replaces a value, so none is out of date if it is refused.
        return self._ask(super().add, (key, value, timeout), False, (), "store")

    def get(self, key: Any, default: Any) -> Any:
        """The value of a key.

        A session is in the database as well, and must not be read from a server that may have refused its
        deletion, perhaps to another process: someone who logged out there would be logged in here. So it is
        read by GETEX, which is a write for the server: it refuses it whenever it refuses a deletion.
        """
        if self._has_getex and SESSIONS in key:
            return self._ask(self._get_session, (key, default), default, [key], "session")
        return self._ask(super().get, (key, default), default, [key], "read")

    def _get_session(self, key: str, default: Any) -> Any:
        try:
            value = self.get_client(key, write=True).getex(key)
        except ResponseError as error:
            if not str(error).startswith("unknown command"):  # as before Redis 6.2
                raise
            self._has_getex = False
            return super().get(key, default)
        loaded = cache_values.UNREADABLE if value is None else self._serializer.loads(value)
        return default if loaded is cache_values.UNREADABLE else loaded

    def set(self, key: Any, value: Any, timeout: Any) -> None:
        self._ask(super().set, (key, value, timeout), None, [key], "store")

    def touch(self, key: Any, timeout: Any) -> bool:
        return self._ask(super().touch, (key, timeout), False, [key], "delete")

    def delete(self, key: Any) -> bool:
        return self._ask(super().delete, (key,), False, [key], "delete")

    def get_many(self, keys: Any) -> dict[Any, Any]:
        wanted = [key for key in keys if not self._is_dropped([key])]
        return self._ask(super().get_many, (wanted,), {}, wanted, "read") if wanted else {}

    def has_key(self, key: Any) -> bool:
        return self._ask(super().has_key, (key,), False, [key], "read")

    def incr(self, key: Any, delta: int) -> Any:
        answer = self._ask(super().incr, (key, delta), None, [key], "store")
        if answer is None:
            raise ValueError(f"Key {key!r} not found.")
        return answer

    def set_many(self, data: Mapping[Any, Any], timeout: Any) -> None:
        self._ask(super().set_many, (data, timeout), None, list(data), "store")

    def delete_many(self, keys: Any) -> None:
        keys = list(keys)
        self._ask(super().delete_many, (keys,), None, keys, "delete")

    def clear(self) -> bool:
        return self._ask(self._empty, (), False, ALL, "delete")

    def _empty(self) -> bool:
        """Deletes everything; if this user may not run FLUSHDB, all keys of this project."""
        server = self.get_client(None, write=True)
        try:
            return bool(server.flushdb())
        except ResponseError as error:
            if refusal(error) != "NOPERM" and not str(error).startswith("unknown command"):
                raise
        pattern = re.sub(r"([\\*?\[\]^-])", r"\\\1", self._prefix) + "*"
        for keys in batched(server.scan_iter(pattern, count=1000), 1000):
            server.delete(*keys)
        return True

    def _ask[A](
        self,
        call: Callable[..., A],
        arguments: tuple[Any, ...],
        otherwise: A,
        keys: Collection[str],
        kind: Kind,
    ) -> A:
        """What the server answers, or `otherwise` if it does not serve or its value is out of date.

        `keys` are those that the call reads, or whose values are out of date if it fails.
        """
        asks = False
        if self._gone_since is not None or self._to_delete:
            asks = self._may_ask()
            if not asks and (self._gone_since is not None or self._waits(keys, kind)):
                self._drop(keys, kind)
                return otherwise
        try:
            if asks and not self._delete_dropped() and self._waits(keys, kind):
                self._drop(keys, kind)
                return otherwise
            answer = call(*arguments)
            while asks and self._gone_since is not None:
                self._back(even_if_dropped=not self._delete_dropped())
        except GONE as error:
            self._gone(error, refusal(error), keys, kind)
            return otherwise
        except ResponseError as error:
            reason = refusal(error)
            if reason is None:
                raise
            self._refused(error, reason, keys, kind)
            return otherwise
        finally:
            if asks:
                self._asking.release()
        if kind == "store":
            self._stored = True
            if self._refused_since is not None:
                self._taken()
        return answer

    @property
    def _to_delete(self) -> bool:
        return bool(self._dropped) or bool(self._dropped_all) or self._empties_later

    def _may_ask(self) -> bool:
        """Whether to try the server again; true for one call at a time, which releases `_asking`."""
        return time.monotonic() >= self._ask_again and self._asking.acquire(blocking=False)

    def _waits(self, keys: Collection[str], kind: Kind) -> bool:
        """Whether a call can't be made until what was dropped is deleted."""
        return kind != "read" or self._is_dropped(keys)

    def _is_dropped(self, keys: Collection[str]) -> bool:
        return bool(self._dropped_all) or any(key in self._dropped for key in keys)

    def _drop(self, keys: Collection[str], kind: Kind) -> None:
        """Remembers what a call that is not made would have written."""
        if kind in {"read", "session"}:
            return
        with self._lock:
            number = next(self._drops)
            if keys is ALL or len(self._dropped) > DROPPED_MAX:
                self._dropped_all = number
            else:
                self._dropped.update(dict.fromkeys(keys, number))

    def _delete_dropped(self) -> bool:
        """Deletes what was dropped until now; false if the server refuses that."""
        with self._lock:
            keys, everything = dict(self._dropped), self._dropped_all
        try:
            if everything or self._empties_later:
                self._empty()
                self._empties_later = False
            elif keys:
                self.get_client(None, write=True).delete(*keys)
        except ResponseError as error:
            self._refused(error, refusal(error), (), "delete")
            return False
        with self._lock:
            if self._dropped_all == everything:
                self._dropped_all = 0
            for key, number in keys.items():
                if self._dropped.get(key) == number:  # else it was dropped again in the meantime
                    del self._dropped[key]
        return True

    def _refused(
        self, error: Exception, reason: str | None, keys: Collection[str], kind: Kind
    ) -> None:
        """Handles a call that the server refused."""
        if kind == "read":
            self._gone(error, reason, keys, kind)
            return
        with self._lock:
            if self._refused_since is None:
                self._refused_since = time.monotonic()
        said = f"refuses writes, which are dropped: {advice(reason, error)}"
        self._refused_told |= self._tell(reason, said)
        if kind == "store" and self._deleted(keys):
            return
        self._drop(keys, kind)
        self._ask_again = time.monotonic() + RETRY_AFTER
        # This process cannot know what was dropped before it began.
        self._empties_later |= not self._stored and reason not in LASTING
        if reason == "READONLY":  # the address may belong to another server by now
            self.get_client(None, write=True).connection_pool.disconnect(inuse_connections=False)

    def _deleted(self, keys: Collection[str]) -> bool:
        """Whether the server deletes the keys that it refused to store; a full one does."""
        try:
            if keys:
                self.get_client(None, write=True).delete(*keys)
        except (*GONE, ResponseError):
            return False
        return True

    def _taken(self) -> None:
        with self._lock:
            since, self._refused_since = self._refused_since, None
            told, self._refused_told = self._refused_told, False
        if since is not None and told:
            logger.warning("the cache takes writes again, after %.1f s", time.monotonic() - since)

    def _gone(
        self, error: Exception, reason: str | None, keys: Collection[str], kind: Kind
    ) -> None:
        self._drop(keys, kind)
        with self._lock:
            now = time.monotonic()
            self._ask_again = now + RETRY_AFTER
            first, self._gone_since = self._gone_since is None, self._gone_since or now
        if reason:
            said = f"does not serve, serving without it: {advice(reason, error)}"
            self._gone_told |= self._tell(reason, said)
        elif first:
            self._gone_told = True
            logger.warning(
                "the cache does not answer, serving without it: %s; start it, or correct CACHE_URL",
                " ".join(str(error).split()),
            )

    def _back(self, *, even_if_dropped: bool) -> None:
        """Uses the server again, unless something must be deleted first."""
        with self._lock:
            if (self._dropped or self._dropped_all) and not even_if_dropped:
                return
            since, self._gone_since = self._gone_since, None
            told, self._gone_told = self._gone_told, False
        if since is not None and told:
            logger.warning("the cache answers again, after %.1f s", time.monotonic() - since)

    def _tell(self, fault: str | None, said: str) -> bool:
        """Logs a fault unless it was logged recently; a lasting one repeatedly, at longer intervals."""
        with self._lock:
            now = time.monotonic()
            pause = REMIND_AFTER if fault in LASTING else QUIET
            if now - self._told.get(fault, -pause) < pause:
                return False
            self._told[fault] = now
        logger.log(logging.ERROR if fault in LASTING else logging.WARNING, "the cache %s", said)
        return True


class ValkeyCache(RedisCache):
    """Shares the process's client with all others.

    Django makes one for each request under ASGI, with a pool of its own; open in 6.1.3:
    https://github.com/django/django/blob/6.1.3/django/core/cache/backends/redis.py#L45

    LOCATION is one URL, even if it contains commas.
    """

    def __init__(self, server: str, params: dict[str, Any]) -> None:
        super().__init__([server], params)
        self.server = server
        self.options = tuple(sorted(params.get("OPTIONS", {}).items()))

    @cached_property
    def _cache(self) -> Client:
        return client(self.server, self.key_prefix, self.options)


@functools.cache
def client(server: str, prefix: str, options: tuple[tuple[str, Any], ...]) -> Client:
    """The process's one client of this server."""
    return Client([server], prefix=prefix, **dict(options))


def report_start() -> None:
    """Writes once, so that a server that refuses writes is logged at the start.

    The connection is closed: most workers and commands may never need one.
    """
    cache = caches["default"]
    cache.set("data.start", 1, 1)
    if isinstance(cache, ValkeyCache):
        cache._cache.get_client(None).connection_pool.disconnect(inuse_connections=False)
