"""`make dev` runs the tasks too: each worker of the server, which an edit replaces, has one beside it."""

import atexit
import os
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path

from django_ox.supervisor import SUPERVISOR_PID_ENV
from django_ox.timeouts import RECYCLE_EXIT_CODE

from serving.conf import conf

MANAGE = Path("manage.py")


def run_worker_beside() -> None:
    """Keeps `manage.py worker` running as this process's child, which ends with it."""
    if not MANAGE.exists():
        return
    workers = [start()]

    def replace() -> None:
        # By that status it says that a task keeps it from all others, so that it has ended.
        while workers[-1].wait() == RECYCLE_EXIT_CODE:
            workers.append(start())

    threading.Thread(target=replace, daemon=True, name="worker").start()
    atexit.register(lambda: end(workers[-1]))


def start() -> subprocess.Popen[bytes]:
    return subprocess.Popen(  # noqa: S603 - this project
        [sys.executable, MANAGE, "worker", "--worker-index=0"],
        # By which it sees that this process has gone, even by SIGKILL.
        env=os.environ | {SUPERVISOR_PID_ENV: str(os.getpid())},
        stdin=subprocess.DEVNULL,
        # Else it has Ctrl-C as well as `end`, and a second order ends it in the middle of a task.
        process_group=0,
    )


def end(worker: subprocess.Popen[bytes]) -> None:
    """Lets it end what it has in hand: it takes this process's own end for a second order."""
    seconds = conf.DRAIN_TIMEOUT() + conf.LIFESPAN_SHUTDOWN_TIMEOUT()
    with suppress(ProcessLookupError, subprocess.TimeoutExpired):
        worker.terminate()
        worker.wait(seconds)
