"""The front door of Granian's main process: `python -m serving config.asgi:application`.

It takes Granian's options and variables. Before Granian starts it refuses an address that is taken, and
chooses how workers are started. `granian` by itself serves as well, without these two.
"""

import logging
import multiprocessing
import sys
from collections.abc import Mapping
from typing import Any

from granian.cli import entrypoint

from serving.log.formats import formatter
from serving.log.output import Stdout
from serving.process.address import AddressError, check_addresses
from serving.process.flags import granian_flags


def main() -> None:
    """Runs Granian with this process's arguments."""
    sys.argv[0] = "granian"  # for its messages, and for `granian_flags` in the workers
    flags = granian_flags()
    refuse_taken_addresses(flags)
    spawn_workers(flags)
    entrypoint()


def refuse_taken_addresses(flags: Mapping[str, Any]) -> None:
    """Ends the process with status 1, and one line, where it could not listen.

    Granian binds its port so that any process of the same user may bind it too: two servers would
    answer by turns. For other faults it has a traceback, which does not name the address.
    """
    try:
        check_addresses(flags)
    except AddressError as error:
        handler = Stdout()
        handler.setFormatter(formatter())
        handler.handle(
            logging.LogRecord(__name__, logging.CRITICAL, __file__, 0, str(error), None, None)
        )
        handler.flush()
        raise SystemExit(1) from None


def spawn_workers(flags: Mapping[str, Any]) -> None:
    """Has Granian start its workers with a fresh interpreter, and not by a fork, if it counts metrics.

    It counts them in threads of the main process. Where one of them holds a lock at the moment of the
    fork, nobody gives it back in the worker: one worker in 70 never answered. Granian itself does so
    under Python 3.14, and so do other systems than Linux; without metrics there are no such threads, and
    a fork saves memory.
    https://docs.python.org/3/library/multiprocessing.html#contexts-and-start-methods
    """
    if flags["metrics_enabled"]:
        multiprocessing.set_start_method("spawn", force=True)


if __name__ == "__main__":
    main()
