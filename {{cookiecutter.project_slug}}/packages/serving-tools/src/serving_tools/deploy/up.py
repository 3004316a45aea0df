"""Starts the containers, migrations first, and waits until they are ready; `make up` calls it.

    python3 -m serving_tools.deploy.up

Compose alone would stop the old server before it knows whether the migrations succeed. One runs at a time, and
none beside a deployment: two would run the same migrations at once.
"""

from __future__ import annotations

import signal
import subprocess
import sys
from contextlib import suppress
from types import FrameType

from serving_tools.deploy.engine import ENGINE, STOP, EngineError, ask, configuration, write_line
from serving_tools.deploy.images import Images
from serving_tools.deploy.lock import Held, lock
from serving_tools.deploy.replace import Failed, check_migrations, containers


def run(*command: str) -> int:
    """The exit status of a command of the engine, which has this process's terminal.

    An order to stop is the command's to obey. A Ctrl-C reaches it by itself, the others are passed on.
    """
    ordered = []
    process = subprocess.Popen([ENGINE, *command])

    def note(number: int, frame: FrameType | None) -> None:
        ordered.append(number)
        if number != signal.SIGINT:
            process.send_signal(number)

    for number in STOP:
        signal.signal(number, note)
    status = process.wait()
    if status < 0:
        return 128 - status
    return status or (128 + ordered[0] if ordered else 0)


def end_migrations(project: str) -> None:
    """Ends those that Compose, told to stop, has left running. They roll their transaction back."""
    for found in containers(project, "migrate", oneoff=True):
        for command in ("kill", "--signal=INT"), ("wait",), ("rm", "--force"):
            with suppress(EngineError):
                ask(*command, found["Id"], timeout=10)


def up() -> int:
    """The exit status. Raises Failed, Held or EngineError where nothing has been started."""
    configured = configuration()
    images = Images(configured)
    with lock():
        check_migrations(configured["name"])
        image = images.id_of(images.tag)  # of none Compose makes it, or fetches it
        if status := run("compose", "run", "--rm", "migrate"):
            end_migrations(configured["name"])
            return status
        if image and images.id_of(images.tag) != image:
            raise Failed(
                f"{images.name} is no longer the image whose migrations have run: a build has ended meanwhile. What runs"
                " stays as it is; `make up` again starts the new one"
            )
        images.note_replaced(next(iter(images.running()), None))
        return run("compose", "up", "--detach", "--wait")


def main() -> int:
    try:
        return up()
    except Held as error:
        write_line(f"up: another one runs ({error}); wait for it")
    except (Failed, EngineError, OSError) as error:
        write_line(f"up: {error}")
    return 1


if __name__ == "__main__":
    sys.exit(main())
