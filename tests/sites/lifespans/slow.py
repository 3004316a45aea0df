"""A lifespan that starts slowly, or ends its process, as the environment says."""

import asyncio
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, Protocol


class HomeState(Protocol):
    started_at: datetime


@asynccontextmanager
async def lifespan() -> AsyncIterator[Mapping[str, Any]]:
    if os.environ.get("EXIT_AT_START"):
        print("no tea today", flush=True)
        os._exit(3)
    await asyncio.sleep(float(os.environ.get("SLOW_START", "0")))
    yield {"started_at": datetime.now(UTC)}
