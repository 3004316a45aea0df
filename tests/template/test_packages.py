"""What a generated project has under packages/: copied verbatim, typed, and described."""

import ast
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.conftest import TEMPLATE, Bake, Run

PACKAGES = TEMPLATE / "packages"
NAMES = {"django-serving": "serving", "serving-tools": "serving_tools"}


def tracked() -> dict[str, bytes]:
    """The packages' files that git has or would take, by their paths below packages/."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=PACKAGES, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    names = [name for name in listed.split("\0") if name and (PACKAGES / name).exists()]
    return {name: (PACKAGES / name).read_bytes() for name in names}


def test_a_project_has_them_as_they_are(bake: Bake) -> None:
    project = bake(database="postgres", cache="valkey", lifespan_mode="disabled", workers="3")
    copied = {
        str(file.relative_to(project / "packages")): file.read_bytes()
        for file in (project / "packages").rglob("*")
        if file.is_file() and "__pycache__" not in file.parts
    }
    assert copied == tracked()


@pytest.mark.parametrize("name", NAMES)
def test_they_are_typed(default_project: Path, run: Run, name: str) -> None:
    config = f"packages/{name}/pyproject.toml"
    cache = f"--cache-dir={PACKAGES.parent.parent / 'build' / 'mypy-packages' / name}"
    done = run(default_project, "mypy", "--config-file", config, cache, "-p", NAMES[name])
    modules = len(list((PACKAGES / name / "src" / NAMES[name]).rglob("*.py")))
    assert f"no issues found in {modules} source files" in done.stdout


@pytest.mark.parametrize("name", NAMES)
def test_its_owner_checks_and_tests_none_of_it(default_project: Path, run: Run, name: str) -> None:
    """Nor does he read what is in it: the project's own tools stay outside."""
    shown = run(default_project, "ruff", "check", "--show-files").stdout
    assert "config/settings.py" in shown
    assert "packages" not in shown
    collected = run(default_project, "pytest", "--collect-only", "-q", "-p", "no:cacheprovider")
    assert "packages" not in collected.stdout


def test_every_tool_is_in_the_readme() -> None:
    tools = PACKAGES / "serving-tools" / "src" / "serving_tools"
    runnable = [
        ".".join(file.relative_to(tools).with_suffix("").parts)
        for file in tools.rglob("*.py")
        if '__name__ == "__main__"' in file.read_text()
    ]
    listed = re.findall(
        r"^\| `([\w.]+)", (tools.parents[1] / "README.md").read_text(), re.MULTILINE
    )
    assert runnable
    assert set(runnable) <= set(listed)


@pytest.mark.parametrize("project", ["default_project", "widest_project"])
def test_what_a_project_imports_of_them_is_public(
    project: str, request: pytest.FixtureRequest
) -> None:
    folder: Path = request.getfixturevalue(project)
    public = {
        name
        for package in NAMES
        for name in re.findall(r"`([\w.]+)`", (PACKAGES / package / "README.md").read_text())
    }
    imported = {
        name
        for file in folder.rglob("*.py")
        if file.relative_to(folder).parts[0] != "packages"
        for name in imports(file.read_text())
        if name.partition(".")[0] in NAMES.values()
    }
    assert "serving.application.get_application" in imported
    assert imported - public == set()


def imports(source: str) -> set[str]:
    """The dotted names that a module imports."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def test_serving_tools_takes_the_versions_of_django_serving_that_it_was_made_for() -> None:
    """It imports names that are not public."""
    own, tools = [
        tomllib.loads((PACKAGES / name / "pyproject.toml").read_text())["project"] for name in NAMES
    ]
    major, minor, _ = map(int, own["version"].split("."))
    assert f"django-serving>={major}.{minor},<{major}.{minor + 1}" in tools["dependencies"]


@pytest.mark.parametrize(
    ("package", "module", "line"),
    [
        ("django-serving", "serving/http/body.py", "from serving.http import streams"),
        ("django-serving", "serving/http/thread_pool.py", "from serving.http import request_id"),
        ("django-serving", "serving/log/output.py", "from django.conf import settings"),
        ("django-serving", "serving/stopping/signals.py", "from serving.lifespan import state"),
        ("serving-tools", "serving_tools/env_file.py", "import environs"),
        ("serving-tools", "serving_tools/ports.py", "from serving.rules import PORT_MAX"),
    ],
)
def test_make_lint_finds_an_import_that_is_not_allowed(
    tmp_path: Path, package: str, module: str, line: str
) -> None:
    own = shutil.copytree(PACKAGES / package, tmp_path / package)
    program = Path(sys.executable).with_name("lint-imports")
    env = os.environ | {"PYTHONPATH": "src"}

    def lint() -> str:
        command = [str(program), "--no-cache"]
        done = subprocess.run(
            command, cwd=own, env=env, capture_output=True, text=True, check=False
        )
        return str(done.stdout)

    assert "0 broken" in lint()
    file = own / "src" / module
    file.write_text(f"{file.read_text()}\n{line}\n")
    assert re.search(r"[1-9] broken", lint())


def test_the_packages_own_log_is_configured_as_a_projects() -> None:
    own = PACKAGES / "django-serving" / "src" / "serving" / "log" / "logging.json"
    assert own.read_bytes() == (TEMPLATE / "config" / "logging.json").read_bytes()
