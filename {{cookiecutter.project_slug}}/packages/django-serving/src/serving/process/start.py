"""Refuses ways to start the server that would serve errors only, and warns of those that may.

Asked in each worker, before it imports Django: by hand, nothing of the project runs any sooner.
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

CONNECTIONS = 1024  # Granian's own bound, with one worker: --backlog
TARGET = "config.asgi:application"


def refuse_wrong_start() -> None:
    """Raises ImproperlyConfigured, with what to type instead, unless the server can serve this."""
    check_settings_module(os.environ["DJANGO_SETTINGS_MODULE"])
    flags = granian_flags()
    if not flags:  # another server than Granian, or a test
        return
    if flags["interface"] not in ("asgi", "asginl"):
        raise ImproperlyConfigured(
            f"Granian's interface is {flags['interface']}, which could answer nothing but errors here:"
            f" start it by `make run`, or with GRANIAN_INTERFACE=asgi, or `granian --interface asgi"
            f" {TARGET}`"
        )
    module, _, name = flags["app"].partition(":")
    ours = module in ("config.asgi", "config/asgi.py")  # or one that wraps it
    if ours and (flags["factory"] or name != "application"):
        given = f"{flags['app']} with --factory" if flags["factory"] else flags["app"]
        raise ImproperlyConfigured(
            f"Granian was told to serve {given}: write `granian {TARGET}`, without --factory"
        )
    if flags["workers_kill_timeout"] is None:
        logger.warning(
            "GRANIAN_WORKERS_KILL_TIMEOUT is not set, so a response that never ends holds up a stop for"
            " ever, and nobody has looked whether another server has the port: start it by `python -m"
            " serving` (`make run`)"
        )
    check_open_files()


def start_as_ever() -> None:
    """Lets what the apps start choose how, in a worker that Granian's main process started by "spawn".

    See `serving.__main__.spawn_workers`.
    """
    if multiprocessing.current_process().name == "granian-worker":
        multiprocessing.set_start_method(None, force=True)


def check_open_files() -> None:
    """Warns of a limit that is less than the connections that Granian admits, each of which is a file."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < CONNECTIONS:
        logger.warning(
            "this process may open %d files, and each connection is one: %s", soft, MORE_FILES
        )


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
