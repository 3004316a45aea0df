"""The front door of Granian's main process: `python -m serving config.asgi:application`.

It takes Granian's options and variables. Before Granian starts it refuses an address that is taken, and
chooses how workers are started. `granian` by itself serves as well, without these two.
"""

import logging
import multiprocessing
import sys
from typing import Any

from granian.cli import cli, entrypoint

from serving.log.formats import formatter
from serving.log.stdout import Stdout
from serving.process.address import AddressError, check_addresses


def main() -> None:
    """Runs Granian with this process's arguments."""
    sys.argv[0] = "granian"  # for its messages, and for `granian_flags` in the workers
    serve: Any = cli.callback

    def check_and_serve(**flags: Any) -> None:
        try:
            check_addresses(flags)
        except AddressError as error:
            log(str(error))
            sys.exit(1)
        if flags["metrics_enabled"]:
            spawn_workers()
        serve(**flags)

    cli.callback = check_and_serve
    entrypoint()


def log(message: str) -> None:
    """Logs a message before Granian configures logging."""
    handler = Stdout()
    handler.setFormatter(formatter())
    record = logging.LogRecord(__name__, logging.CRITICAL, __file__, 0, message, None, None)
    handler.handle(record)
    handler.flush()


def spawn_workers() -> None:
    """Makes Granian start each worker with a fresh interpreter instead of a fork.

    Granian counts metrics in threads of the main process. Where one of them holds a lock at the moment of
    the fork, nobody releases it in the worker: one worker in 70 never answered. Python 3.14 and other
    systems than Linux do without forks anyway; without metrics, a fork saves memory.
    https://docs.python.org/3/library/multiprocessing.html#contexts-and-start-methods
    """
    multiprocessing.set_start_method("spawn", force=True)


if __name__ == "__main__":
    main()
