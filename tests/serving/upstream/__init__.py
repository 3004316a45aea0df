"""Faults of other libraries that this package works around: a test fails when its workaround can go.

Each test shows a fault in a library alone; none runs code of ours.
"""

import platform
from collections.abc import Callable
from functools import wraps
from importlib.metadata import version
from typing import Any

import pytest

REPOSITORIES = {
    "asgiref": "django/asgiref",
    "django": "django/django",
    "granian": "emmett-framework/granian",
    "python": "python/cpython",
    "redis": "redis/redis-py",
    "rloop": "gi0baro/rloop",
    "servestatic": "Archmonger/ServeStatic",
    "uvloop": "MagicStack/uvloop",
}

Test = Callable[..., None]
Decorate = Callable[[Test], Test]


def works_around(package: str, place: str, workaround: str) -> Decorate:
    """Decorates a test of a fault: where that is gone, the test fails and says what can be deleted.

    `place`: the number of an issue, or where none is known the lines at fault, behind their tag.
    """

    def decorate(test: Test) -> Test:
        @wraps(test)
        def run(**fixtures: Any) -> None:
            try:
                test(**fixtures)
            except (AssertionError, AttributeError, pytest.fail.Exception) as error:
                fault = f"{package} {installed(package)} no longer has the fault at {link(package, place)}"
                advice = f"if it is fixed, delete {workaround}; then delete this test"
                pytest.fail(f"{fault}: {advice}. {error!r}")

        return run

    return decorate


def installed(package: str) -> str:
    return platform.python_version() if package == "python" else version(package)


def link(package: str, place: str) -> str:
    """The address of an issue or of lines."""
    if not place.startswith("#"):
        return f"https://github.com/{REPOSITORIES[package]}/blob/{place}"
    if package == "django":
        return f"https://code.djangoproject.com/ticket/{place[1:]}"
    return f"https://github.com/{REPOSITORIES[package]}/issues/{place[1:]}"
