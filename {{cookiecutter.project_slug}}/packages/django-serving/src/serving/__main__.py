"""The front door of Granian's main process: `python -m serving config.asgi:application`.

It takes Granian's options and variables, and has other defaults for a few. Before Granian starts it refuses
an address that is taken, and chooses how workers are started. `granian` by itself serves as well, without
these three.
"""

import logging
import multiprocessing
import os
import sys
from typing import Any

from granian.cli import cli, entrypoint

from serving.log.config import CONFIGURATION
from serving.log.formats import formatter
from serving.log.stdout import Stdout
from serving.process.address import AddressError, check_addresses

DEFAULTS = {
    "GRANIAN_INTERFACE": "asgi",  # Granian's own is RSGI, which Django does not speak
    "GRANIAN_LOG_CONFIG": str(CONFIGURATION),
    # Seconds. Without it a response that never ends holds up a stop for ever.
    "GRANIAN_WORKERS_KILL_TIMEOUT": "25",
    "GRANIAN_WEBSOCKETS": "false",  # Django has none: an upgrade would be an error with a traceback
}


def main() -> None:
    """Runs Granian with this process's arguments."""
    for variable, value in DEFAULTS.items():
        os.environ.setdefault(variable, value)
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
    entrypoint()  # type: ignore[no-untyped-call]


def log(message: str) -> None:
    """Logs a message before Granian configures logging."""
    handler = Stdout()
    handler.setFormatter(formatter())
    record = logging.LogRecord("serving", logging.CRITICAL, __file__, 0, message, None, None)
    handler.handle(record)
    handler.flush()


def spawn_workers() -> None:
    """Makes Granian start each worker with a fresh interpreter instead of a fork.

    It counts metrics in threads of the main process. A lock that one of them holds at the moment of the
    fork stays locked in the worker: one worker in 70 never answered. Python 3.14 and other systems than
    Linux spawn anyway; without metrics, a fork saves memory. Open in Granian 2.8.9:
    https://github.com/emmett-framework/granian/blob/v2.8.9/granian/server/common.py#L494-L500
    """
    multiprocessing.set_start_method("spawn", force=True)


if __name__ == "__main__":
    main()
