"""A resource that belongs to the event loop which it was opened on, as a client's connections do."""

import asyncio
import logging
import sys
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from serving.tasks import attempt_failed

logger = logging.getLogger(__name__)


class Client:
    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.is_open = True


@asynccontextmanager
async def lifespan() -> AsyncIterator[Mapping[str, Any]]:
    client = Client()

    def hear(**_: object) -> None:
        """As a tracer does, in a thread that other work keeps waiting."""
        if isinstance(sys.exception(), asyncio.CancelledError):
            time.sleep(0.3)
            logger.info("heard of a cut task: open=%s", client.is_open)

    attempt_failed.connect(hear)
    yield {"client": client}
    attempt_failed.disconnect(hear)
    client.is_open = False
