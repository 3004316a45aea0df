"""Django's own Redis cache, on Valkey (or Redis: one protocol), for a server that may be gone.

While it does not answer, reads are misses, writes are dropped and counters raise ValueError, as for
a key that is missing; the log says so once. It is asked again every second, by one request. When it
is back, the keys whose writes were dropped are deleted first: what it kept of them is out of date.

https://docs.djangoproject.com/en/6.1/topics/cache/#redis
"""

import functools
import logging
import time
from collections.abc import Callable, Mapping
from threading import Lock
from typing import Any
from urllib.parse import urlsplit

from django.core.cache.backends.redis import RedisCache
from django.utils.functional import cached_property
from environs import ValidationError
from redis import BlockingConnectionPool
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as NoConnection
from redis.exceptions import ReadOnlyError
from redis.exceptions import TimeoutError as NoAnswer
from redis.retry import Retry

from serving import cache_values

logger = logging.getLogger(__name__)

GONE = (NoConnection, NoAnswer, ReadOnlyError)

RETRY_AFTER = 1.0  # seconds

# More keys than this are not remembered: the whole cache is emptied instead.
DROPPED_MAX = 100_000
ALL: list[str] = []  # what `clear` writes


def location(url: str) -> str:
    """The URL as the client knows it: "valkey://" is "redis://", "valkeys://" "rediss://" (TLS).

    Raises ValidationError, whose text shows nothing of the URL.
    """
    url = url.replace("valkey", "redis", 1) if url.startswith("valkey") else url
    try:
        parts = urlsplit(url)
        usable = parts.scheme in {"redis", "rediss"} and parts.hostname and parts.port != 0
    except ValueError:
        usable = False
    if not (usable or (url.startswith("unix:///"))):
        raise ValidationError("Not a URL of a Valkey or Redis server.")
    return url


class Client(cache_values.Client):
    """Talks to the servers; one for all threads of a process, with one bounded pool."""

    def __init__(self, servers: list[str], **options: Any) -> None:
        defaults: dict[str, Any] = {
            "pool_class": BlockingConnectionPool,
            "max_connections": 64,
            "timeout": 1.0,  # seconds to wait for a connection of the pool
            "socket_connect_timeout": 1.0,
            "socket_timeout": 1.0,
            "health_check_interval": 30,
            # A pooled connection whose server was restarted is replaced without a word.
            "retry": Retry(NoBackoff(), 1),
        }
        super().__init__(servers, **defaults | options)
        self._lock = Lock()
        self._gone_since: float | None = None
        self._ask_again = 0.0
        self._dropped: set[str] = set()
        self._dropped_all = False

    def add(self, key: Any, value: Any, timeout: Any) -> bool:
        return self._ask(super().add, (key, value, timeout), False)

    def get(self, key: Any, default: Any) -> Any:
        return self._ask(super().get, (key, default), default)

    def set(self, key: Any, value: Any, timeout: Any) -> None:
        self._ask(super().set, (key, value, timeout), None, writes=[key])

    def touch(self, key: Any, timeout: Any) -> bool:
        return self._ask(super().touch, (key, timeout), False, writes=[key])

    def delete(self, key: Any) -> bool:
        return self._ask(super().delete, (key,), False, writes=[key])

    def get_many(self, keys: Any) -> dict[Any, Any]:
        return self._ask(super().get_many, (list(keys),), {})

    def has_key(self, key: Any) -> bool:
        return self._ask(super().has_key, (key,), False)

    def incr(self, key: Any, delta: int) -> Any:
        answer = self._ask(super().incr, (key, delta), None, writes=[key])
        if answer is None:
            raise ValueError(f"Key {key!r} not found.")
        return answer

    def set_many(self, data: Mapping[Any, Any], timeout: Any) -> None:
        self._ask(super().set_many, (data, timeout), None, writes=list(data))

    def delete_many(self, keys: Any) -> None:
        self._ask(super().delete_many, (keys,), None, writes=list(keys))

    def clear(self) -> bool:
        return self._ask(super().clear, (), False, writes=ALL)

    def _ask[A](
        self,
        call: Callable[..., A],
        arguments: tuple[Any, ...],
        otherwise: A,
        *,
        writes: list[str] | None = None,
    ) -> A:
        """What the server answers, or `otherwise` while it is gone."""
        if self._gone_since is not None and not self._may_ask(writes):
            return otherwise
        try:
            if self._gone_since is not None:
                self._delete_dropped()
            answer = call(*arguments)
            while self._gone_since is not None and not self._back():
                self._delete_dropped()  # what others dropped meanwhile
        except GONE as error:
            self._gone(error, writes)
            return otherwise
        return answer

    def _may_ask(self, writes: list[str] | None) -> bool:
        """Whether it is time to ask again, true for one thread each time; else the writes are dropped."""
        with self._lock:
            if self._gone_since is None:  # another thread has just found it back
                return True
            now = time.monotonic()
            if now < self._ask_again:
                self._drop(writes)
                return False
            self._ask_again = now + RETRY_AFTER
            return True

    def _drop(self, keys: list[str] | None) -> None:
        """With the lock held."""
        if keys is ALL or len(self._dropped) > DROPPED_MAX:
            self._dropped_all = True
            self._dropped.clear()
        elif keys:
            self._dropped.update(keys)

    def _delete_dropped(self) -> None:
        with self._lock:
            keys, everything = self._dropped, self._dropped_all
            self._dropped, self._dropped_all = set(), False
        client = self.get_client(None, write=True)
        try:
            if everything:
                client.flushdb()
            elif keys:
                client.delete(*keys)
        except BaseException:
            with self._lock:
                self._dropped |= keys
                self._dropped_all |= everything
            raise

    def _gone(self, error: Exception, writes: list[str] | None) -> None:
        with self._lock:
            self._drop(writes)
            self._ask_again = time.monotonic() + RETRY_AFTER
            if self._gone_since is not None:
                return
            self._gone_since = time.monotonic()
        logger.warning(
            "the cache does not answer, serving without it: %s; start it, or correct CACHE_URL",
            " ".join(str(error).split()),
        )

    def _back(self) -> bool:
        """Uses the server again; false while there is something to delete first."""
        with self._lock:
            if self._dropped or self._dropped_all:
                return False
            since, self._gone_since = self._gone_since, None
        if since is not None:
            logger.warning("the cache answers again, after %.1f s", time.monotonic() - since)
        return True


class ValkeyCache(RedisCache):
    """Django makes one for each request under ASGI; all of them share the process's client."""

    def __init__(self, server: str, params: dict[str, Any]) -> None:
        super().__init__(server, params)
        self.servers = tuple(server.split(","))
        self.options = tuple(sorted(params.get("OPTIONS", {}).items()))

    @cached_property
    def _cache(self) -> Client:
        return client(self.servers, self.options)


@functools.cache
def client(servers: tuple[str, ...], options: tuple[tuple[str, Any], ...]) -> Client:
    """The process's one client of these servers."""
    return Client(list(servers), **dict(options))
