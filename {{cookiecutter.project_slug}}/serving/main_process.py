"""What Granian's main process needs of the project: of it, that process only loads config/logging.json.

Its workers and manage.py load this too, by the same file. What happens on import stands in one place,
`prepare()`, at the end.
"""

import logging
import multiprocessing
import os
import sys
from collections.abc import Mapping
from contextlib import suppress
from enum import Enum
from pathlib import Path
from typing import Any

from serving.address import AddressError, check_addresses
from serving.logs import parse_levels


def granian_flags() -> Mapping[str, Any]:
    """The flags as Granian resolves them, from its command line, variables and defaults.

    Empty under another program: a worker has the command line of its main process.
    """
    program = Path(sys.argv[0])
    as_module = program.parent.name == "granian" and program.name == "__main__.py"
    if program.stem != "granian" and not as_module:
        return {}
    from granian.cli import cli

    resolved = cli.make_context("granian", sys.argv[1:], auto_envvar_prefix="GRANIAN").params
    return {
        name: value.value if isinstance(value, Enum) else value for name, value in resolved.items()
    }


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


class GranianLevelFilter:
    """Holds LOG_LEVELS for Granian's own logger in its main process, which has no settings.

    Granian sets that logger's level itself, after it has read the configuration.
    """

    def __init__(self) -> None:
        self.level = 0
        items = os.environ.get("LOG_LEVELS", "").split(",")
        own = ",".join(item for item in items if item.partition("=")[0].strip() == "_granian")
        with suppress(ValueError):  # the worker's settings say what is wrong
            levels = parse_levels(own, known=("_granian",))
            self.level = logging.getLevelNamesMapping()[levels.get("_granian", "NOTSET")]

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is shown."""
        return record.levelno >= self.level


def prepare() -> None:
    """Runs when this module is imported; it acts in Granian's main process and its workers alone.

    The main process imports it while it reads config/logging.json: before it binds a socket, and
    before a worker imports Django.
    """
    if multiprocessing.parent_process() is None:
        if flags := granian_flags():
            refuse_taken_addresses(flags)
            spawn_workers(flags)
    elif multiprocessing.current_process().name == "granian-worker":
        # What a worker's apps start is not touched.
        multiprocessing.set_start_method(None, force=True)


def refuse_taken_addresses(flags: Mapping[str, Any]) -> None:
    """Ends the main process with status 1, and one line, where it could not listen.

    Granian binds its port so that any process of the same user may bind it too: two servers would
    answer by turns. For other faults it has a traceback, which does not name the address.
    """
    try:
        check_addresses(flags)
    except AddressError as error:
        from serving.access_log import Stdout  # which imports the formats; they are not set up yet
        from serving.logs import formatter

        handler = Stdout()
        handler.setFormatter(formatter())
        handler.handle(
            logging.LogRecord(__name__, logging.CRITICAL, __file__, 0, str(error), None, None)
        )
        handler.flush()
        raise SystemExit(1) from None


prepare()
