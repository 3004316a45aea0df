"""What the workers run. Each run leaves lines in the file RUNS, which neither a database nor a kill undoes."""

import os
import random
import time

from django.tasks import task

RUNS = os.environ["RUNS"]


def note(*what: object) -> None:
    """Appends one line, whole, whoever else appends."""
    line = " ".join(map(str, (f"{time.time():.6f}", os.getpid(), *what)))
    file = os.open(RUNS, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.write(file, f"{line}\n".encode())
    os.close(file)


@task
def work(number: int) -> None:
    """A task that says when it begins and when it is done; one of 200 takes longer than LEASE."""
    note(number, "begin")
    longer = number % 200 == 100
    time.sleep(1.5 * float(os.environ["LEASE"]) if longer else random.uniform(0.005, 0.08))
    note(number, "end")


@task
def empty() -> None:
    """What a task costs by itself."""


@task
def arrive(enqueued: float) -> None:
    """Notes the seconds since a moment."""
    note(time.time() - enqueued)
