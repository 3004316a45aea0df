"""Levels of the log: GRANIAN_LOG_LEVEL and LOG_LEVELS."""

import os
import re
from collections.abc import Container
from importlib.machinery import PathFinder
from importlib.util import find_spec

LEVELS = ("critical", "error", "warning", "info", "debug")

LEVEL = (os.environ.get("GRANIAN_LOG_LEVEL") or "info").upper()  # config/logging.json takes it


def parse_levels(text: str, known: Container[str]) -> dict[str, str]:
    """LOG_LEVELS as levels by logger: "home=debug" gives {"home": "DEBUG"}.

    Raises ValueError, which says what is wrong; see `is_logger`.
    """
    found = {}
    for item in filter(None, map(str.strip, text.split(","))):
        name, equals, level = map(str.strip, item.partition("="))
        if not equals or not re.fullmatch(r"[\w-]+(\.[\w-]+)*", name):
            raise ValueError(f"{item!r} is not logger=level, as home=debug is.")
        if level.lower() not in LEVELS:
            raise ValueError(f"{level!r} in {item!r} is no level; use {', '.join(LEVELS)}.")
        if not is_logger(name, known):
            raise ValueError(
                f"{name!r} in {item!r} is no logger: no module has that name. One with a name"
                " of its own must stand in config/logging.json."
            )
        if name in found:
            raise ValueError(f"{name!r} in {item!r} has a level already.")
        found[name] = level.upper()
    return found


def is_logger(name: str, known: Container[str]) -> bool:
    """Whether a logger is known, named after a module, or below one that is. Imports nothing."""
    above, *parts = name.split(".")
    # Those of Django's that are no modules stand in the file; others' may have any name below their own.
    if name in known or (above in known and above != "django"):
        return True
    spec = None if above == "__main__" else find_spec(above)
    if not spec:
        return False
    for part in parts:
        folders = spec.submodule_search_locations
        if folders is None:
            return True  # a module may have a logger for each of its classes
        above = f"{above}.{part}"
        if above in known:
            return True
        try:
            spec = PathFinder.find_spec(above, folders)
        except KeyError:
            return True  # a namespace within one: only an import could look into it
        if not spec:
            return False
    return spec.origin is not None  # or it is a folder that holds no package
