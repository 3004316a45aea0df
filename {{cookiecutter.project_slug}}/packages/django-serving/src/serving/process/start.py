"""Refuses ways to start the server that would serve errors only, and warns of those that may.

Each worker calls this before it imports Django: with plain `granian`, no code of the project runs sooner.
"""

import logging
import multiprocessing
import os
import re
import resource
import sys
from importlib.util import find_spec
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured

from serving.log.filters import MORE_FILES
from serving.process.flags import granian_flags

logger = logging.getLogger(__name__)

CONNECTIONS = 1024  # that Granian admits with one worker: --backlog
BETTER = "use `python -m serving` in the place of `granian` (in a generated project, `make run`)"


class WrongStart(ImproperlyConfigured):
    """A way to start the server in which it could not serve even an error."""


def refuse_wrong_start() -> None:
    """Raises WrongStart, with what to type instead, unless the server can serve this.

    And ImproperlyConfigured where the settings are not there.
    """
    flags = granian_flags()  # none under another server than Granian, and in a test
    module, _, name = flags.get("app", "").partition(":")
    if "/" in module:  # a file, as Granian takes one, too
        module = os.path.relpath(module).removesuffix(".py").replace("/", ".")
    if settings := os.environ.get("DJANGO_SETTINGS_MODULE"):  # or Django says that it is missing
        check_settings_module(settings, f"{module.rpartition('.')[0]}.settings")
    if not flags:
        return
    command = f"`python -m serving --interface asgi {module}:application`"
    if flags["interface"] not in ("asgi", "asginl"):
        raise WrongStart(
            f"Granian's interface is {flags['interface']}, which would answer every request with an"
            f" error: use {command}, or GRANIAN_INTERFACE=asgi (in a generated project, `make run`)"
        )
    is_factory = flags["factory"] and name == "application"
    if is_factory or not is_named_in(module, name or "app"):  # the name that Granian takes then
        given = f"{flags['app']} with --factory" if flags["factory"] else flags["app"]
        raise WrongStart(f"Granian was told to serve {given}: use {command}, without --factory")
    if flags["workers_kill_timeout"] is None:
        logger.warning(
            "GRANIAN_WORKERS_KILL_TIMEOUT is not set: a response that never ends delays a stop without limit,"
            " and nobody has checked whether another server has the port; %s",
            BETTER,
        )
    if flags["metrics_enabled"] and multiprocessing.get_start_method() == "fork":
        logger.warning(
            "with metrics, a worker that `granian` forks may hang from its start; %s", BETTER
        )
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if files < CONNECTIONS:
        logger.warning(
            "this process may open %d files, and each connection is one: %s", files, MORE_FILES
        )


def check_settings_module(name: str, usual: str) -> None:
    """Raises ImproperlyConfigured unless the settings are a module that can be found."""
    try:
        found = find_spec(name)
    except (ImportError, ValueError):
        found = None
    if found is None:
        raise ImproperlyConfigured(
            f"DJANGO_SETTINGS_MODULE={name!r} is not a module that can be imported from {os.getcwd()};"
            " correct it, or unset it, and the one that asgi.py names is used"
        )
    if name != usual:
        logger.info("the settings are those of DJANGO_SETTINGS_MODULE=%s", name)


def is_named_in(module: str, name: str) -> bool:
    """Whether a module that is being imported may define a name: its text has it."""
    file = getattr(sys.modules.get(module), "__file__", None)
    text = Path(file).read_text(errors="replace") if file else name
    return bool(re.search(rf"\b{name.split('.')[0]}\b", text))


def reset_start_method() -> None:
    """Undoes, in a worker, what `serving.__main__.choose_start_method` set: the apps choose for themselves."""
    if multiprocessing.current_process().name == "granian-worker":
        multiprocessing.set_start_method(None, force=True)
