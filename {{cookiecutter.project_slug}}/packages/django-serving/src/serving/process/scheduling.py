"""How the kernel shares a core between the threads of a worker: the setting SCHED_BATCH."""

import os
import sys
from contextlib import suppress


def wait_for_turns() -> None:
    """Has this thread, and each that it starts from now on, wait for its turn, and take no core when it is woken.

    A request passes through Granian's thread for the sockets, the event loop, and a thread of the pool; each wakes
    the next, and still holds the interpreter lock then. By default the kernel runs the woken one at once: where they
    share a core, as under full load, each request costs one or two changes of thread more, and they come one by one
    instead of in batches. docs/performance.md of the template has the figures, and the price: where other programs
    compute on the same core, a turn comes after some milliseconds.

    SCHED_BATCH needs no right: https://man7.org/linux/man-pages/man7/sched.7.html. A policy other than the default
    one is kept: somebody has chosen it. Programs that a view starts inherit it. Other systems than Linux have none.
    """
    if sys.platform == "linux":
        with suppress(OSError):  # a sandbox may not allow it
            if os.sched_getscheduler(0) == os.SCHED_OTHER:
                os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
