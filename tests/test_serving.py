"""Runs each module of tests/serving/ inside a generated project, with that project's environment."""

import re

import pytest

from tests.conftest import ROOT, Bake, Run
from tests.support.sites import put_tests

INSIDE = ROOT / "tests" / "serving"
MODULES = sorted([*INSIDE.glob("test_*.py"), *INSIDE.glob("*/test_*.py")])
NAMES = [str(path.relative_to(INSIDE)) for path in MODULES]
SLOW = ("http/test_handler.py", "lifespan/test_protocol.py", "upstream/")  # 15 s and more
QUICK = [pytest.param(name, marks=pytest.mark.quick) for name in NAMES if not name.startswith(SLOW)]


@pytest.mark.parametrize("name", [*QUICK, *(name for name in NAMES if name.startswith(SLOW))])
def test_inside_a_project(bake: Bake, run: Run, name: str) -> None:
    project = bake()
    put_tests(project)
    # Django's own handler leaves its connections to the garbage collector, which says so at any time.
    ignored = "-Wignore::pytest.PytestUnraisableExceptionWarning"
    done = run(project, "pytest", "-p", "no:cacheprovider", ignored, f"tests/serving/{name}")
    assert re.search(r"\d+ passed", done.stdout)


@pytest.mark.quick
def test_what_tests_put_into_projects_is_typed(bake: Bake, run: Run) -> None:
    """Strictly, as a project's own code is, but for what needs packages that a project has not."""
    project = bake()
    put_tests(project)
    others = ("--exclude", "tests/sites/(bare|documented|libraries|owner|shop)/")
    run(project, "mypy", "--strict", *others, "tests/sites", "tests/serving/client.py")
