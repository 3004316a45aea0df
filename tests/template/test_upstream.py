"""Workarounds of other libraries' faults: each links its fault, and tests/serving/upstream/ watches each link."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.conftest import ROOT, TEMPLATE, package_sources
from tests.serving.upstream import link

UPSTREAM = ROOT / "tests" / "serving" / "upstream"
FAULT = re.compile(
    r"https://(?:github\.com/[^/\s]+/[^/\s]+/(?:blob|issues)|code\.djangoproject\.com/ticket)/[^\s)]+"
)
VERSION = re.compile(r"\b\d+\.\d+\.\d+\b|\bPython 3\.\d+\b|\bSince \d+\.\d+\b")
# Words of a text that are no names in the code.
PLAIN = {"Granian", "If", "Range"}


class Workaround(NamedTuple):
    """What a test of a fault is decorated with."""

    package: str
    place: str
    what: str


def workarounds() -> Iterator[Workaround]:
    for path in sorted(UPSTREAM.glob("test_*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "works_around":
                yield Workaround(*map(ast.literal_eval, node.args))


def sources() -> Iterator[Path]:
    """The files that work around something: the packages', and those of a project that have its own."""
    for folder in (*package_sources(TEMPLATE), TEMPLATE / "config", TEMPLATE / "data"):
        yield from (path for path in folder.rglob("*") if path.suffix in {".env", ".py"})


def links() -> Iterator[tuple[str, str]]:
    """The links of those files to faults, each with the words in front of it."""
    for path in sources():
        lines = path.read_text().splitlines()
        for number, line in enumerate(lines):
            for found in FAULT.findall(line):
                yield (
                    found,
                    re.sub(r"https://\S+", "", " ".join(lines[max(number - 4, 0) : number + 1])),
                )


@pytest.mark.quick
def test_each_link_to_a_fault_has_a_test_that_watches_it() -> None:
    watched = {link(one.package, one.place) for one in workarounds()}
    assert len(watched) > 30
    assert {found for found, _ in links()} == watched


@pytest.mark.quick
def test_each_link_to_a_fault_names_the_version_that_has_it() -> None:
    assert [found for found, words in links() if not VERSION.search(words)] == []


@pytest.mark.quick
def test_what_can_be_deleted_one_day_is_there() -> None:
    code = "\n".join(path.read_text() for path in sources())
    for one in workarounds():
        names = set(re.findall(r"\b\w*(?:[a-z]_|_[a-z]|[A-Z])\w*", one.what)) - PLAIN
        assert [name for name in names if not re.search(rf"\b{name}\b", code)] == [], one.what
