"""Says when it is entered and left, and does what a test puts in the place of the marked lines."""

import asyncio  # noqa: F401  # for those lines, as the next two
import logging
import sys  # noqa: F401
import time  # noqa: F401
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any


@asynccontextmanager
async def lifespan() -> AsyncIterator[Mapping[str, Any]]:
    log = logging.getLogger(__name__)
    log.info("enters")
    # entering
    try:
        yield {}
    finally:
        log.info("leaves")
        # leaving
