"""Tasks that show what a worker gives them, and some that misbehave."""

import asyncio
import logging
import sys
import threading
import time
from importlib import import_module
from pathlib import Path

from django.contrib.auth import get_user_model
from django.tasks import task
from django.urls import reverse
from serving.lifespan import current_state
from serving.log.context import request_id

logger = logging.getLogger(__name__)


def append(file: str, line: str) -> None:
    with Path(file).open("a") as opened:
        opened.write(f"{line}\n")


@task
def look() -> bool:
    """Says what it finds in a thread, with a password that the log must hide."""
    users = get_user_model().objects.count()
    is_open = bool(current_state().client.is_open)
    logger.info("sync: open=%s, users=%d, postgres://ada:hunter2@db/shop", is_open, users)
    return is_open


@task
async def look_async() -> bool:
    """The same on an event loop: the one that the client was opened on."""
    client = current_state().client
    users = await get_user_model().objects.acount()
    mine = client.loop is asyncio.get_running_loop()
    logger.info("async: open=%s, users=%d, own loop=%s", client.is_open, users, mine)
    return bool(mine)


@task
def note(file: str, line: str) -> None:
    append(file, line)


@task
def link(file: str) -> None:
    append(file, reverse("enqueue", args=["look"]))


@task
async def link_async(file: str) -> None:
    append(file, reverse("enqueue", args=["look"]))


@task
def hold(begun: str, release: str) -> None:
    """Says that it has begun, and ends when a file is there."""
    append(begun, "begun")
    while not Path(release).exists():
        time.sleep(0.01)
    append(begun, "ended")


@task
def hold_deaf(begun: str) -> None:
    """Can't be interrupted, as a call that does not return."""
    append(begun, "begun")
    time.sleep(600)


@task
async def hold_async(begun: str) -> None:
    """Says that it has begun, and how it ends."""
    append(begun, "begun")
    try:
        await asyncio.Event().wait()
    finally:
        append(begun, f"open={current_state().client.is_open}")


@task
async def block(begun: str) -> None:
    """Keeps the event loop from all else."""
    append(begun, "begun")
    time.sleep(600)  # noqa: ASYNC251


@task
async def wait_in_a_thread(begun: str) -> None:
    """Waits for a thread, which can't be cancelled."""
    append(begun, "begun")
    await asyncio.to_thread(time.sleep, 600)


@task
def fail_twice(file: str) -> str:
    """Fails the first two times."""
    append(file, str(time.monotonic()))
    if len(Path(file).read_text().splitlines()) < 3:
        raise ConnectionError("smtp://ada:hunter2@mail refuses")
    return "done"


@task
def fail_once(file: str) -> None:
    """Tells a tracker for whom it works, and fails the first time."""
    if "sentry_sdk" in sys.modules:
        import_module("sentry_sdk").set_user({"id": "ada"})
    append(file, "attempt")
    if len(lines := Path(file).read_text().splitlines()) < 2:
        raise ConnectionError(f"refused once, postgres://ada:hunter2@db/shop {len(lines)}")


@task
def fail() -> None:
    raise ConnectionError("refused")


@task
def spin(file: str) -> None:
    """Never ends by itself."""
    try:
        while True:
            time.sleep(0.01)
    finally:
        append(file, "interrupted")


@task
def leave() -> None:
    """Would end the process."""
    sys.exit(3)


@task
def give() -> object:
    """Returns what JSON can't hold."""
    return {1}


@task
def shadow() -> None:
    """Changes what the next task would find."""
    request_id.set("another's")
    threading.current_thread().name = "renamed"
    raise BaseExceptionGroup("many", [KeyboardInterrupt(), ValueError("tea")])
