"""Which requests lead to an async view, guessed from the path alone.

Only a guess, so it runs no code of a project (no path converter), and ignores a `urlconf` that middleware
will set.
"""

import re
from collections.abc import Iterator
from contextlib import suppress
from functools import lru_cache
from inspect import iscoroutinefunction
from typing import Any

from django.conf import settings
from django.urls import URLPattern, URLResolver, get_resolver
from django.urls.resolvers import LocalePrefixPattern

NOTHING = "(?!)"


def leads_to_async_view(path: str) -> bool:
    """Whether a path (`request.path_info`) leads to a view that is a coroutine function."""
    try:
        routes = async_routes(get_resolver())
    except Exception:  # the URLconf is broken, as the request will show
        return False
    return routes.match(path) is not None


@lru_cache(maxsize=8)
def async_routes(resolver: URLResolver) -> re.Pattern[str]:
    """What matches the path of every async view, from the root of the URLconf."""
    found = []
    for route in routes(resolver):
        with suppress(re.error):  # a flag or a reference, wrong in the middle of an expression
            re.compile(route)
            found.append(f"(?:{route})")
    return re.compile("|".join(found) or NOTHING)


def routes(node: URLResolver | URLPattern) -> Iterator[str]:
    """The regular expressions of the async views below a node of the URLconf."""
    if isinstance(node, URLPattern):
        if iscoroutinefunction(node.callback):
            yield regex(node.pattern)
        return
    for child in node.url_patterns:
        for route in routes(child):
            yield regex(node.pattern) + route.removeprefix("^")


def regex(pattern: Any) -> str:
    """What a pattern matches, without the names of its groups; a translated one in one language.

    `regex` is not documented by Django; tests/serving/http/test_request_path.py fails if it changes.
    """
    if isinstance(pattern, LocalePrefixPattern):  # what `i18n_patterns` puts before a path
        codes = "|".join(re.escape(code) for code, _ in settings.LANGUAGES)
        return f"(?:{codes})/" if pattern.prefix_default_language else f"(?:(?:{codes})/)?"
    return re.sub(r"\(\?P<\w+>", "(?:", pattern.regex.pattern)
