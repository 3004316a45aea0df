"""Cached values that this code cannot read are misses.

During a deployment two versions of the code share one cache. A class that one of them lacks, or has
elsewhere, can't be unpickled by it: without this, a page that reads such a value fails until the value
expires. The value is not deleted, since the other version can read it.

Django raises for a value that it can't unpickle; open in 6.1.3:
https://github.com/django/django/blob/6.1.3/django/core/cache/backends/redis.py#L25-L29
https://docs.python.org/3/library/pickle.html#what-can-be-pickled-and-unpickled
"""

import logging
from typing import Any

from django.core.cache.backends.redis import RedisCacheClient, RedisSerializer

logger = logging.getLogger(__name__)

UNREADABLE = object()

# The messages of these name modules and classes only; those of others may quote the value.
NAMES = (AttributeError, ImportError)

TOLD_MAX = 100  # reasons that are remembered, so that each is logged once


class Serializer(RedisSerializer):
    """Django's own, whose `loads` gives UNREADABLE and one warning for each reason."""

    def __init__(self) -> None:
        super().__init__()
        self._told: set[str] = set()

    def loads(self, data: Any) -> Any:
        try:
            return super().loads(data)
        # A class's own __setstate__ may raise anything, and so may bytes that are not a pickle.
        except Exception as error:
            reason = type(error).__name__ + (f": {error}" if isinstance(error, NAMES) else "")
            if reason not in self._told and len(self._told) < TOLD_MAX:
                self._told.add(reason)
                logger.warning(
                    "a cached value cannot be read, and is treated as a miss: %s; change the VERSION in"
                    " CACHES when a cached class changes",
                    reason,
                )
            return UNREADABLE


class Client(RedisCacheClient):
    """Django's own, for which an unreadable value is a miss."""

    def __init__(self, servers: list[str], serializer: Any = Serializer, **options: Any) -> None:
        super().__init__(servers, serializer, **options)

    def get(self, key: Any, default: Any) -> Any:
        value = super().get(key, default)
        return default if value is UNREADABLE else value

    def get_many(self, keys: Any) -> dict[Any, Any]:
        found = super().get_many(keys)
        return {key: value for key, value in found.items() if value is not UNREADABLE}
