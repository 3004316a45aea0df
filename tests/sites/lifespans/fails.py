"""A lifespan that fails at startup."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any, Protocol


class HomeState(Protocol):
    started_at: datetime


@asynccontextmanager
async def lifespan() -> AsyncIterator[Mapping[str, Any]]:
    raise ConnectionError("no tea today")
    yield {}
