"""The two guards that end a process which its lifespans would keep from ending."""

import logging
import os
import sys
import threading
import traceback
from collections.abc import Iterator
from contextlib import (
    contextmanager,
)

from serving.lifespan.resources import Resources

logger = logging.getLogger(__package__)


@contextmanager
def ended_if_blocked(resources: Resources, seconds: float) -> Iterator[None]:
    """Ends the process, status 1, when the body outlasts its `seconds` by half a second.

    Code that blocks the event loop can't be cancelled, and keeps every timeout on it from firing.
    """
    thread = threading.get_ident()

    def end() -> None:
        stack = traceback.format_stack(sys._current_frames()[thread])
        logger.critical(
            f"{resources.at_work}: blocks the event loop, or ignores its cancellation; the process"
            f" ends. It stands at\n{''.join(stack)}"
        )
        logging.shutdown()
        os._exit(1)

    timer = threading.Timer(max(seconds, 0) + 0.5, end)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def end_without_threads(hung: list[str]) -> None:
    """Ends the process, status 1, when threads keep it alive a second after its lifespan.

    A lifespan that hangs in `asyncio.to_thread` can be cancelled and its thread cannot; at the end
    Python waits for all threads, for ever if need be. Only to be called where the process is to end.
    """

    def end() -> None:
        names = [
            thread.name
            for thread in threading.enumerate()
            if not thread.daemon and thread is not threading.main_thread()
        ]
        if names:
            logger.critical(
                "%s: hung, and threads still run: %s; the process ends without them",
                ", ".join(hung),
                ", ".join(names),
            )
            logging.shutdown()
            os._exit(1)

    timer = threading.Timer(1.0, end)
    timer.daemon = True
    timer.start()
