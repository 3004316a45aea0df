"""A resource that may be used on the event loop alone that it was opened on, as pools and clients are."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

opened: list[asyncio.Task[Any]] = []  # by which task, as long as it is open


class Stock:
    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.sold = 0

    async def sell(self) -> int:
        assert asyncio.get_running_loop() is self.loop, "used on another event loop"
        self.sold += 1
        return self.sold


@asynccontextmanager
async def lifespan() -> AsyncIterator[Mapping[str, Any]]:
    task = asyncio.current_task()
    assert task is not None
    stock = Stock()
    opened.append(task)
    async with asyncio.TaskGroup():  # it refuses to be left by another task
        yield {"stock": stock}
    assert asyncio.current_task() is task
    opened.remove(task)
