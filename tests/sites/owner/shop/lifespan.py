"""What the shop opens: its price list."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Protocol


class ShopState(Protocol):
    prices: dict[str, int]


@asynccontextmanager
async def lifespan() -> AsyncIterator[Mapping[str, Any]]:
    yield {"prices": {"tea": 3}}
