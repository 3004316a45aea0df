"""What this app opens before the first request, and closes after the last: an example.

A real one opens what requests share: an HTTP client, a pool, a model read from disk.
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, Protocol


class HomeState(Protocol):
    """What `request.state` holds of this app; views name it to have it checked and completed."""

    started_at: datetime


@asynccontextmanager
async def lifespan() -> AsyncIterator[Mapping[str, Any]]:
    """Notes when this worker started. What stands behind `yield` would run at its end."""
    yield {"started_at": datetime.now(UTC)}
