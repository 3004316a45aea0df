"""No import of the package has a side effect: whoever reads config/logging.json imports some of it."""

import os
import subprocess
import sys

LOOK = """
import importlib, json, logging.config, multiprocessing, pkgutil, signal, sys, threading, warnings
from pathlib import Path

def process():
    return {
        "start method": multiprocessing.get_start_method(allow_none=True),
        "signals": [signal.getsignal(number) for number in signal.valid_signals()],
        "wakeup": signal.set_wakeup_fd(-1),
        "hooks": [sys.excepthook, sys.unraisablehook, threading.excepthook, warnings.showwarning],
        "log": [logging.getLogger().handlers, logging.getLogger().level, logging.getLoggerClass(),
                logging.getLogRecordFactory(), [*logging.Logger.manager.root.filters],
                logging.getLogger("_granian").handlers, logging.raiseExceptions],
        "threads": threading.enumerate(),
        "argv": [*sys.argv],
    }

import granian.cli  # whose logging is its own
before = process()
{import_}
after = process()
different = [name for name in before if before[name] != after[name]]
assert not different, [(name, before[name], after[name]) for name in different]
"""

EVERYTHING = """
import serving
for module in pkgutil.walk_packages(serving.__path__, "serving."):
    importlib.import_module(module.name)
assert "serving.http.handler" in sys.modules and "serving.__main__" in sys.modules
"""

# As Granian's main process does, which then starts workers.
LOG = """
config = json.loads(Path("config/logging.json").read_bytes())
logging.config.dictConfig(config)
logging.getLogger().handlers.clear()
logging.getLogger().setLevel(before["log"][1])
"""


def look(import_: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", LOOK.replace("{import_}", import_)],
        capture_output=True,
        text=True,
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "tests.settings"},
    )
    assert done.returncode == 0, done.stderr


def test_importing_every_module_changes_nothing_of_the_process() -> None:
    look(EVERYTHING)


def test_reading_the_log_s_configuration_changes_nothing_but_the_log() -> None:
    look(LOG)
