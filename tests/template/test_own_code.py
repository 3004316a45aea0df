"""The template's own code: programs stand in files, where linters read them."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT

OF_A_PROJECT = re.compile(
    r"^\s*(?:from|import) (?:django|serving|serving_tools|config|data|accounts|home|shop)\b",
    re.MULTILINE,
)
LINES = 3  # of which an import is one


def texts(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """The strings of a module, each with its line; not those that are put together as the test runs."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.lineno, node.value


def is_program(text: str) -> bool:
    """Whether a string is some lines of Python that use Django or the project."""
    if text.strip().count("\n") + 1 < LINES or not OF_A_PROJECT.search(text):
        return False
    try:
        ast.parse(text)
    except SyntaxError:
        return False
    return True


def test_what_is_looked_for_is_found() -> None:
    program = "import os\nfrom django.conf import settings\nprint(settings.DEBUG)\n"
    assert is_program(program)
    assert not is_program("from django.conf import settings; print(settings.DEBUG)")
    assert not is_program("These lines tell\nof what stands here\nand import django\n")


@pytest.mark.quick
@pytest.mark.parametrize("folder", ["benchmarks", "tests"])
def test_no_program_for_django_stands_in_a_string(folder: str) -> None:
    found = [
        f"{path.relative_to(ROOT)}:{line}"
        for path in sorted(Path(ROOT / folder).rglob("*.py"))
        for line, text in texts(ast.parse(path.read_text()))
        if path != Path(__file__) and is_program(text)
    ]
    assert found == []
