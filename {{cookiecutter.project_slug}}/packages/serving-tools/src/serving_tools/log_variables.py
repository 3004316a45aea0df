"""The variables of the log: LOG_LEVELS, and the format of the access log."""

import re
from collections.abc import Container
from importlib.machinery import PathFinder
from importlib.util import find_spec

from serving.log.access import HEADER

LEVELS = ("critical", "error", "warning", "info", "debug")


def parse_levels(text: str, known: Container[str]) -> dict[str, str]:
    """LOG_LEVELS as levels by logger: "home=debug" gives {"home": "DEBUG"}.

    Raises ValueError with what is wrong; see `is_logger`.
    """
    found: dict[str, str] = {}
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
    parts = name.split(".")
    names = [".".join(parts[: number + 1]) for number in range(len(parts))]
    # Of Django's, those that no module has stand in the file; others' may have any name below their own.
    if name in known or any(above in known and above != "django" for above in names):
        return True
    spec = None if names[0] == "__main__" else find_spec(names[0])
    for below in names[1:]:
        if not spec or spec.submodule_search_locations is None:
            break  # a module may have a logger for each of its classes
        try:
            spec = PathFinder.find_spec(below, spec.submodule_search_locations)
        except KeyError:
            return True  # a namespace within one: only an import could look into it
    return bool(spec and spec.origin)  # a folder without an __init__.py has no origin


def check_format(format_: str) -> None:
    """Raises ValueError if a format (GRANIAN_LOG_ACCESS_FMT) asks for what Granian does not give."""
    texts = dict.fromkeys(
        ("addr", "method", "path", "protocol", "query_string", "scheme", "time"), ""
    )
    try:
        _ = HEADER.sub("", format_) % {**texts, "status": 200, "dt_ms": 1.5}
    except KeyError as error:
        raise ValueError(f"{error.args[0]!r} is nothing that Granian knows of a request.") from None
    except TypeError as error:
        raise ValueError(f"{error}.") from None
