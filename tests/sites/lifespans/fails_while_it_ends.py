"""A lifespan that ends, once there is a file `die`, and fails meanwhile."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol


class HomeState(Protocol):
    started_at: datetime


async def work() -> None:
    while not Path("die").exists():
        await asyncio.sleep(0.02)
    raise ConnectionError("cannot reach amqp://shop:hunter2@10.9.8.7")


@asynccontextmanager
async def lifespan() -> AsyncIterator[Mapping[str, Any]]:
    async with asyncio.timeout(None) as timeout:
        task = asyncio.create_task(work())
        task.add_done_callback(lambda _: timeout.reschedule(0))
        try:
            yield {"started_at": datetime.now(UTC)}
        finally:
            raise PermissionError("cannot reach amqp://shop:hunter2@10.9.8.7")
