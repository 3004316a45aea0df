"""Ends with an error if what the argument names changes the process: `everything`, or the `log`."""

import importlib
import json
import logging.config
import multiprocessing
import pkgutil
import signal
import sys
import threading
import warnings
from pathlib import Path
from typing import Any

import granian.cli  # noqa: F401  # whose logging is its own


def process() -> dict[str, Any]:
    root = logging.getLogger()
    return {
        "start method": multiprocessing.get_start_method(allow_none=True),
        "signals": [signal.getsignal(number) for number in signal.valid_signals()],
        "wakeup": signal.set_wakeup_fd(-1),
        "hooks": [sys.excepthook, sys.unraisablehook, threading.excepthook, warnings.showwarning],
        "log": [
            root.handlers,
            root.level,
            logging.getLoggerClass(),
            logging.getLogRecordFactory(),
            [*root.filters],
            logging.getLogger("_granian").handlers,
            logging.raiseExceptions,
        ],
        "threads": threading.enumerate(),
        "argv": [*sys.argv],
    }


def everything() -> None:
    """Imports each module of the package."""
    import serving

    for module in pkgutil.walk_packages(serving.__path__, "serving."):
        # An app that is not installed here, and an extra's packages.
        if not module.name.startswith(("serving.tasks.", "serving.media.s3")):
            importlib.import_module(module.name)
    assert "serving.http.handler" in sys.modules
    assert "serving.__main__" in sys.modules


def log() -> None:
    """Configures logging, as Granian's main process does, which then starts workers."""
    root = logging.getLogger()
    level = root.level
    logging.config.dictConfig(json.loads(Path("config/logging.json").read_bytes()))
    root.handlers.clear()
    root.setLevel(level)


before = process()
{"everything": everything, "log": log}[sys.argv[1]]()
after = process()
different = [name for name in before if before[name] != after[name]]
assert not different, [(name, before[name], after[name]) for name in different]
