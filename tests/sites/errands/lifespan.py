"""A resource that belongs to the event loop which it was opened on, as a client's connections do."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any


class Client:
    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.is_open = True


@asynccontextmanager
async def lifespan() -> AsyncIterator[Mapping[str, Any]]:
    client = Client()
    yield {"client": client}
    client.is_open = False
