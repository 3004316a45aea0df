"""What Granian's main process needs of the project: of it, that process only loads config/logging.json.

Its workers and manage.py load this too, by the same file.
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


def spawn_workers() -> None:
    """Has Granian start its workers with a fresh interpreter, and not by a fork, if it counts metrics.

    It counts them in threads of the main process. Where one of them holds a lock at the moment of the
    fork, nobody gives it back in the worker: one worker in 70 never answered. Granian itself does so
    under Python 3.14, and so do other systems than Linux; without metrics there are no such threads, and
    a fork saves memory. What a worker's apps start is not touched.
    https://docs.python.org/3/library/multiprocessing.html#contexts-and-start-methods
    """
    if multiprocessing.parent_process() is None:
        if granian_flags().get("metrics_enabled"):
            multiprocessing.set_start_method("spawn", force=True)
    elif multiprocessing.current_process().name == "granian-worker":
        multiprocessing.set_start_method(None, force=True)


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


spawn_workers()
