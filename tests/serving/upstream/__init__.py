"""Faults of other libraries that this package works around: a test fails when its workaround can go.

Each test shows a fault in a library alone; none runs code of ours.
"""

from functools import wraps
from importlib.metadata import version

import pytest

REPOSITORIES = {
    "asgiref": "django/asgiref",
    "django": "django/django",
    "granian": "emmett-framework/granian",
    "redis": "redis/redis-py",
    "rloop": "gi0baro/rloop",
    "servestatic": "Archmonger/ServeStatic",
    "uvloop": "MagicStack/uvloop",
}


def works_around(package, place, workaround):
    """Decorates a test of a fault: where that is gone, the test fails and says what can be deleted.

    `place`: the number of an issue, or where none is known the lines at fault, behind their tag.
    """

    def decorate(test):
        @wraps(test)
        def run(**fixtures):
            try:
                test(**fixtures)
            except (AssertionError, AttributeError, pytest.fail.Exception) as error:
                fault = f"{package} {version(package)} no longer has the fault at {link(package, place)}"
                advice = f"if it is fixed, delete {workaround}; then delete this test"
                pytest.fail(f"{fault}: {advice}. {error!r}")

        return run

    return decorate


def link(package, place):
    """The address of an issue or of lines."""
    if not place.startswith("#"):
        return f"https://github.com/{REPOSITORIES[package]}/blob/{place}"
    if package == "django":
        return f"https://code.djangoproject.com/ticket/{place[1:]}"
    return f"https://github.com/{REPOSITORIES[package]}/issues/{place[1:]}"
