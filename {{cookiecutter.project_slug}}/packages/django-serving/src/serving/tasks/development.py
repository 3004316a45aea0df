"""`make dev` runs the tasks too: each worker of the server, which an edit replaces, has one beside it."""

import atexit
import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from django_ox.supervisor import SUPERVISOR_PID_ENV

from serving.conf import conf

MANAGE = Path("manage.py")


def run_worker_beside() -> None:
    """Starts `manage.py worker` as this process's child, which ends with it."""
    if not MANAGE.exists():
        return
    worker = subprocess.Popen(  # noqa: S603 - this project
        [sys.executable, MANAGE, "worker", "--worker-index=0"],
        # By which it sees that this process has gone, even by SIGKILL.
        env=os.environ | {SUPERVISOR_PID_ENV: str(os.getpid())},
        stdin=subprocess.DEVNULL,
        # Else it has Ctrl-C as well as `end`, and the second signal ends it in the middle of a task.
        process_group=0,
    )
    atexit.register(end, worker)


def end(worker: subprocess.Popen[bytes]) -> None:
    """Lets it end what it has in hand: it takes this process's own end for a second order."""
    seconds = conf.DRAIN_TIMEOUT() + conf.LIFESPAN_SHUTDOWN_TIMEOUT()
    with suppress(ProcessLookupError, subprocess.TimeoutExpired):
        worker.terminate()
        worker.wait(seconds)
