"""Every Make target is run by a test, or by .ci/run: of a generated project, and of the template."""

import ast
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT

# What runs `make` with the words that it is given: functions of the tests, and lists that start so.
RUNNERS = ("make", "run_make", "typed_make", "template_make")


def words_given_to_make(path: Path) -> Iterator[str]:
    """The words of the commands that a module of tests runs; of a dry run, none."""
    for node in ast.walk(ast.parse(path.read_text())):
        items: list[ast.expr] = []
        if isinstance(node, ast.Call):
            called = node.func
            name = called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")
            items = node.args if name in RUNNERS else []
        elif isinstance(node, ast.List):
            items = node.elts
        words = [item.value for item in items if isinstance(item, ast.Constant)]
        command = isinstance(node, ast.Call) or words[:1] == ["make"] or "-o" in words
        if command and "--dry-run" not in words:
            yield from (word for word in words if isinstance(word, str))


def targets(makefile: Path) -> set[str]:
    """What `make` lists, but for `help`: that is the bare command, which tests/template/test_project.py runs."""
    return set(re.findall(r"^([a-z0-9-]+):.*##", makefile.read_text(), re.MULTILINE)) - {"help"}


@pytest.fixture(scope="module")
def run_by_tests() -> set[str]:
    modules = (ROOT / "tests").rglob("test_*.py")
    return {word for path in modules for word in words_given_to_make(path)}


def test_every_target_of_a_project_is_run(
    default_project: Path, kubernetes_project: Path, run_by_tests: set[str]
) -> None:
    own = (default_project / "Makefile", kubernetes_project / "Makefile")
    offered = set[str]().union(*map(targets, (*own, *kubernetes_project.glob("deploy/*/*.mk"))))
    assert "k8s-deploy" in offered
    assert len(offered) > 20
    missing = sorted(offered - run_by_tests)
    assert not missing, f"no test runs make {', make '.join(missing)}"


def test_every_target_of_the_template_is_run(run_by_tests: set[str]) -> None:
    in_ci = re.findall(
        r"^(?:stage|further) make ([a-z-]+)(?: [A-Z]+=\S+)*$",
        (ROOT / ".ci" / "run").read_text(),
        re.MULTILINE,
    )
    missing = sorted(targets(ROOT / "Makefile") - run_by_tests - set(in_ci))
    assert not missing, f"neither a test nor .ci/run runs make {', make '.join(missing)}"


def test_ci_names_in_one_line_what_it_lacks(tmp_path: Path) -> None:
    (tmp_path / "template" / ".ci").mkdir(parents=True)
    ci = shutil.copy(ROOT / ".ci" / "run", tmp_path / "template" / ".ci")
    programs = tmp_path / "programs"
    programs.mkdir()
    for name in ("bash", "dirname", "git", "make", "openssl"):
        (programs / name).symlink_to(shutil.which(name) or name)
    done = subprocess.run(
        [ci], env={"PATH": str(programs)}, capture_output=True, text=True, check=False
    )  # fmt: skip

    assert done.returncode == 1
    line = done.stderr.splitlines()[-1]
    assert line.startswith(".ci/run needs, and does not find: ")
    for name in ("caddy", "redis-server", "a container engine", "docker compose", "python3.14"):
        assert name in line
    assert "openssl" not in line
    assert "make" not in line
