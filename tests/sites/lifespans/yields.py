from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any


@asynccontextmanager
async def lifespan() -> AsyncIterator[Mapping[str, Any]]:
    yield {"client": "c", "app": "a", "zebra": "z"}
