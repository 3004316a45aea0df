"""A plugin as it may be installed: it warns wherever a plugin runs code."""

import threading
import warnings
from collections.abc import Iterator

import pytest


def warn(where: str) -> None:
    warnings.warn(f"the plugin's, {where}", DeprecationWarning, stacklevel=1)
    warnings.warn(f"another of the plugin's, {where}", pytest.PytestDeprecationWarning)  # noqa: B028


warn("import")


def pytest_load_initial_conftests() -> None:
    warn("conftests")


def pytest_configure() -> None:
    warn("configure")


def pytest_collection_modifyitems() -> None:
    warn("collection")


def pytest_runtest_setup() -> None:
    warn("setup")


@pytest.fixture(autouse=True)
def everywhere() -> Iterator[None]:
    warn("fixture")
    thread = threading.Thread(target=warn, args=["thread"])
    thread.start()
    thread.join()
    yield
    warn("teardown")


class Odd:
    def __del__(self) -> None:
        raise ValueError("the plugin's, in __del__")


def pytest_runtest_call() -> None:
    Odd()
    thread = threading.Thread(target=lambda: 1 / 0)
    thread.start()
    thread.join()


def pytest_sessionfinish() -> None:
    warn("finish")
