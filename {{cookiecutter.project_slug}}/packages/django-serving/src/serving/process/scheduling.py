"""How the kernel shares a core between the threads of a worker."""

import os
import sys
from contextlib import suppress


def wait_for_turns() -> None:
    """Has what this process runs from now on wait for its turn, and not take a core away when it is woken.

    A request passes through Granian's thread for the sockets, the event loop, and a thread of the pool; each wakes
    the next, and still holds the interpreter lock then. By default the kernel runs the woken one at once: where they
    share a core, as under full load, each request costs two changes of thread more, and they come one by one instead
    of in batches. docs/performance.md of the template has the figures, and the price: where other programs compute
    on the same core, a turn comes after some milliseconds.

    SCHED_BATCH needs no right: https://man7.org/linux/man-pages/man7/sched.7.html. A policy that somebody has chosen
    for the process is kept, and other systems than Linux have none to choose.
    """
    if sys.platform == "linux":
        with suppress(OSError):  # a sandbox may not allow it
            if os.sched_getscheduler(0) == os.SCHED_OTHER:
                os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
