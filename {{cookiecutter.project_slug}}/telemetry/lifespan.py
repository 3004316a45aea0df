"""Opens what errors and traces go to, once for each worker or command, and sends the last of them."""

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from threading import Thread
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from serving_tools.secret_files import from_file

from telemetry.{{ "sentry" if cookiecutter.telemetry == "sentry" else "opentelemetry" }} import VARIABLE, open_tracker
from telemetry.watching import Tracker, watched_by

logger = logging.getLogger(__name__)


@asynccontextmanager
async def lifespan() -> AsyncIterator[Mapping[str, Any]]:
    """Yields nothing: the library itself finds what is open."""
    address = from_file(VARIABLE) or os.environ.get(VARIABLE)
    if not address:
        logger.info("off, since %s is not set", VARIABLE)
        yield {}
        return
    tracker = open_tracker(address)
    logger.info("on, sends to %s", urlsplit(address).hostname)
    try:
        with watched_by(tracker):
            yield {}
    finally:
        await close(tracker, settings.LIFESPAN_SHUTDOWN_TIMEOUT / 2)


async def close(tracker: Tracker, seconds: float) -> None:
    """Closes a tracker in a thread that nobody waits for longer than this: its server may hang."""
    loop = asyncio.get_running_loop()
    closed = asyncio.Event()

    def run() -> None:
        try:
            tracker.close(seconds)
        finally:
            if not loop.is_closed():
                loop.call_soon_threadsafe(closed.set)

    Thread(target=run, daemon=True, name="telemetry").start()
    try:
        async with asyncio.timeout(seconds):
            await closed.wait()
    except TimeoutError:
        logger.warning("not all was sent within %g s: is what %s names up?", seconds, VARIABLE)
