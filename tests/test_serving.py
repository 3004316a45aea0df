"""Runs each module of tests/serving/ inside a generated project, in that project's environment."""

import re
import shutil

import pytest

from tests.conftest import ROOT, Bake, Run

INSIDE = ROOT / "tests" / "serving"


MODULES = [*INSIDE.glob("test_*.py"), *INSIDE.glob("*/test_*.py")]


@pytest.mark.parametrize("name", sorted(str(path.relative_to(INSIDE)) for path in MODULES))
def test_inside_a_project(bake: Bake, run: Run, name: str) -> None:
    project = bake()
    shutil.copytree(INSIDE, project / "tests" / "serving")
    # Django's own handler leaves its connections to the garbage collector, which says so at any time.
    ignored = "-Wignore::pytest.PytestUnraisableExceptionWarning"
    done = run(project, "pytest", "-p", "no:cacheprovider", ignored, f"tests/serving/{name}")
    assert re.search(r"\d+ passed", done.stdout)
