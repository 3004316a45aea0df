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


class Runner:
    """Runs commands of the engine, which have this process's terminal, one after the other until one fails.

    An order to stop is theirs to obey. A Ctrl-C reaches them by itself, the others are passed on.
    """

    def __init__(self) -> None:
        self.ordered = 0
        self.process: subprocess.Popen[bytes] | None = None
        for number in STOP:
            signal.signal(number, self._note)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.ordered = self.ordered or number
        if self.process and number != signal.SIGINT:
            self.process.send_signal(number)

    def run(self, *command: str) -> int:
        """The exit status; after an order to stop nothing is started, and it is the signal's."""
        if not self.ordered:
            self.process = subprocess.Popen([ENGINE, *command])
            if status := self.process.wait():
                return status if status > 0 else 128 - status
        return 128 + self.ordered if self.ordered else 0


def end_migrations(project: str) -> None:
    """Ends those that Compose, told to stop, has left running. They roll their transaction back."""
    for found in containers(project, "migrate", oneoff=True):
        for command in ("kill", "--signal=INT"), ("wait",), ("rm", "--force"):
            with suppress(EngineError):
                ask(*command, found["Id"], timeout=10)


def up() -> int:
    """The exit status. Raises Failed, Held or EngineError where nothing has been started."""
    runner = Runner()
    configured = configuration()
    images = Images(configured)
    with lock():
        check_migrations(configured["name"])
        image = images.id_of(images.tag)  # of none Compose makes it, or fetches it
        if status := runner.run("compose", "run", "--rm", "migrate"):
            end_migrations(configured["name"])
            return status
        if image and images.id_of(images.tag) != image:
            raise Failed(
                f"{images.name} is no longer the image whose migrations have run: a build has ended meanwhile. What runs"
                " stays as it is; `make up` again starts the new one"
            )
        images.note_replaced(next(iter(images.running()), None))
        return runner.run("compose", "up", "--detach", "--wait")


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
