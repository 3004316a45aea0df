"""Two guards that end a process which its lifespans would keep from ending.

Granian limits neither startup nor shutdown; open in 2.8.9:
https://github.com/emmett-framework/granian/issues/547
"""

import logging
import os
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from serving.lifespan.resources import Resources

logger = logging.getLogger(__package__)


@contextmanager
def ended_if_blocked(resources: Resources, seconds: float) -> Iterator[None]:
    """Ends the process when the body outlasts its `seconds` by half a second.

    Code that blocks the event loop can't be cancelled, and keeps every timeout on it from firing.
    """
    thread = threading.get_ident()

    def end() -> None:
        stack = "".join(traceback.format_stack(sys._current_frames()[thread]))
        end_process(
            f"{resources.at_work}: blocks the event loop, or ignores its cancellation; the process"
            f" ends. It stands at\n{stack}"
        )

    timer = start_timer(max(seconds, 0) + 0.5, end)
    try:
        yield
    finally:
        timer.cancel()


def end_without_threads(hung: list[str]) -> None:
    """Ends the process, which is to end, when threads keep it alive a second after its lifespan.

    A lifespan that hangs in `asyncio.to_thread` can be cancelled and its thread cannot; Python waits for
    all threads at its end, without a limit.
    """

    def end() -> None:
        main = threading.main_thread()
        if names := [t.name for t in threading.enumerate() if not t.daemon and t is not main]:
            apps, threads = ", ".join(hung), ", ".join(names)
            end_process(f"{apps}: hung, and threads still run: {threads}; the process ends anyway")

    start_timer(1.0, end)


def start_timer(seconds: float, function: Callable[[], None]) -> threading.Timer:
    """Calls a function later, in a thread that does not keep the process alive."""
    timer = threading.Timer(seconds, function)
    timer.daemon = True
    timer.start()
    return timer


def end_process(message: str) -> None:
    logger.critical(message)
    logging.shutdown()
    os._exit(1)
