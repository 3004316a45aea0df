"""Refuses ways to start the server that would serve errors only, and warns of those that may.

Each worker calls this before it imports Django: with plain `granian`, no code of the project runs sooner.
"""

import logging
import multiprocessing
import os
import resource
from importlib.util import find_spec

from django.core.exceptions import ImproperlyConfigured

from serving.log.filters import MORE_FILES
from serving.process.flags import granian_flags

logger = logging.getLogger(__name__)

CONNECTIONS = 1024  # that Granian admits with one worker: --backlog
TARGET = "config.asgi:application"
COMMAND = f"python -m serving --interface asgi {TARGET}"


def refuse_wrong_start() -> None:
    """Raises ImproperlyConfigured, with what to type instead, unless the server can serve this."""
    check_settings_module(os.environ["DJANGO_SETTINGS_MODULE"])
    flags = granian_flags()
    if not flags:  # another server than Granian, or a test
        return
    if flags["interface"] not in ("asgi", "asginl"):
        raise ImproperlyConfigured(
            f"Granian's interface is {flags['interface']}, which would answer every request with an"
            f" error: use `make run`, GRANIAN_INTERFACE=asgi, or `{COMMAND}`"
        )
    module, _, name = flags["app"].partition(":")
    ours = module in ("config.asgi", "config/asgi.py")  # or one that wraps it
    if ours and (flags["factory"] or name != "application"):
        given = f"{flags['app']} with --factory" if flags["factory"] else flags["app"]
        raise ImproperlyConfigured(
            f"Granian was told to serve {given}: use `{COMMAND}`, without --factory"
        )
    if flags["workers_kill_timeout"] is None:
        logger.warning(
            "GRANIAN_WORKERS_KILL_TIMEOUT is not set: a response that never ends delays a stop without limit,"
            " and nobody has checked whether another server has the port; use `make run`, or"
            " `python -m serving` in the place of `granian`"
        )
    if flags["metrics_enabled"] and multiprocessing.get_start_method() == "fork":
        logger.warning(
            "with metrics, a worker that `granian` forks may hang from its start; use `make run`, or"
            " `python -m serving` in the place of `granian`"
        )
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if files < CONNECTIONS:
        logger.warning(
            "this process may open %d files, and each connection is one: %s", files, MORE_FILES
        )


def reset_start_method() -> None:
    """Undoes, in a worker, what `serving.__main__.spawn_workers` set: the apps choose for themselves."""
    if multiprocessing.current_process().name == "granian-worker":
        multiprocessing.set_start_method(None, force=True)


def check_settings_module(name: str) -> None:
    """Raises ImproperlyConfigured unless the settings are a module that can be found."""
    try:
        found = find_spec(name)
    except (ImportError, ValueError):
        found = None
    if found is None:
        raise ImproperlyConfigured(
            f"DJANGO_SETTINGS_MODULE={name!r} is no module that can be imported from {os.getcwd()};"
            " unset it, and config.settings is used"
        )
    if name != "config.settings":
        logger.info("the settings are those of DJANGO_SETTINGS_MODULE=%s", name)
