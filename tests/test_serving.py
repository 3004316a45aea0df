"""Runs each module of tests/serving/ inside a generated project, with that project's environment."""

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


def test_what_tests_put_into_projects_is_typed(bake: Bake, run: Run) -> None:
    """Strictly, as a project's own code is, but for what needs packages that a project has not."""
    project = bake()
    put_tests(project)
    others = ("--exclude", "tests/sites/(shop|libraries)/")
    run(project, "mypy", *others, "tests/sites", "tests/serving/client.py")
