"""Tests of serving/ that need more than a project's own: run inside a generated project."""

import re
import shutil

import pytest

from tests.conftest import ROOT, Bake, Run

INSIDE = ROOT / "tests" / "inside"


@pytest.mark.parametrize("name", sorted(path.name for path in INSIDE.glob("test_*.py")))
def test_inside_a_project(bake: Bake, run: Run, name: str) -> None:
    project = bake()
    shutil.copytree(INSIDE, project / "tests" / "inside")
    # Django's own handler leaves its connections to the garbage collector, which says so at any time.
    ignored = "-Wignore::pytest.PytestUnraisableExceptionWarning"
    done = run(project, "pytest", "-p", "no:cacheprovider", ignored, f"tests/inside/{name}")
    assert re.search(r"\d+ passed", done.stdout)
