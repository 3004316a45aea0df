"""Runs each module of tests/serving/ inside a generated project, in that project's environment."""

import re

import pytest

from tests.conftest import ROOT, Bake, Run
from tests.support.sites import put_tests

INSIDE = ROOT / "tests" / "serving"


@pytest.mark.parametrize(
    "name", sorted(str(path.relative_to(INSIDE)) for path in INSIDE.glob("*/test_*.py"))
)
def test_inside_a_project(bake: Bake, run: Run, name: str) -> None:
    project = bake()
    put_tests(project)
    # Django's own handler leaves its connections to the garbage collector, which says so at any time.
    ignored = "-Wignore::pytest.PytestUnraisableExceptionWarning"
    done = run(project, "pytest", "-p", "no:cacheprovider", ignored, f"tests/serving/{name}")
    assert re.search(r"\d+ passed", done.stdout)
