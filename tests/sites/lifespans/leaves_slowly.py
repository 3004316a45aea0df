"""A lifespan that takes a second to be left."""

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, Protocol

logger = logging.getLogger(__name__)


class HomeState(Protocol):
    started_at: datetime


@asynccontextmanager
async def lifespan() -> AsyncIterator[Mapping[str, Any]]:
    yield {"started_at": datetime.now(UTC)}
    await asyncio.sleep(1)
    logger.info("home: left")
