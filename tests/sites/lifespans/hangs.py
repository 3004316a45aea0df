"""A lifespan that enters once the file `hang` is gone, and leaves a file `left`."""

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol


class HomeState(Protocol):
    started_at: datetime


@asynccontextmanager
async def lifespan() -> AsyncIterator[Mapping[str, Any]]:
    logging.getLogger("home").info("enters")
    while Path("hang").exists():
        await asyncio.sleep(0.01)
    yield {"started_at": datetime.now(UTC)}
    Path("left").touch()
