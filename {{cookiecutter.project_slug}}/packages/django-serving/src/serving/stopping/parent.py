"""Ends a worker whose main process is gone: killed by the kernel, say, when memory ran out.

Granian's go on serving the old code, beside whatever is started next; open in 2.8.9:
https://github.com/emmett-framework/granian/blob/v2.8.9/granian/server/mp.py#L97-L100
"""

import logging
import multiprocessing
import os
import signal
import time
from multiprocessing.process import BaseProcess
from threading import Thread

from serving.process.flags import granian_flags
from serving.stopping.signals import stopping

logger = logging.getLogger(__package__)

INTERVAL = 1.0  # seconds between two looks
KILL_TIMEOUT = 25.0  # seconds, under a server without a flag for it


def stop_without_parent() -> None:
    """Starts a thread that stops this process, as SIGTERM does, once its parent process is gone.

    Only where multiprocessing started it, as Granian and uvicorn start workers: a shell may well end first.
    """
    if parent := multiprocessing.parent_process():
        Thread(target=watch, args=(parent,), name="parent", daemon=True).start()


def watch(parent: BaseProcess) -> None:
    """Waits until the parent is gone, then does what the parent does to a worker that is to stop.

    A process gets another parent when its own dies: on every system, and whichever thread of the parent
    had started it, which matters to Linux's PR_SET_PDEATHSIG. The pipe that multiprocessing has for this
    stays open as long as a forked sibling lives. https://man7.org/linux/man-pages/man2/getppid.2.html
    """
    timeout = granian_flags().get("workers_kill_timeout") or KILL_TIMEOUT
    # Else it is gone already, or there is a fork server between.
    is_own = os.getppid() == parent.pid
    while os.getppid() == parent.pid if is_own else parent.is_alive():
        time.sleep(INTERVAL)
    logger.error("the server's main process is gone (was it killed?), so this worker stops")
    if not stopping.is_set():  # else the parent has told it before
        os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(timeout)
    logger.critical("this worker did not stop in %g s, and is killed", timeout)
    logging.shutdown()
    os._exit(1)
