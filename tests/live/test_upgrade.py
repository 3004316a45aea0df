"""`make upgrade`, as an owner runs it once a month."""

import re
import subprocess
import tomllib
from pathlib import Path

import pytest

from tests.conftest import Bake, clean_environment
from tests.support.command import UV, git

OLDER = "0.5.2"  # of sqlparse, which Django takes as well as any newer


class Owner:
    """A project whose lock file holds an older package."""

    def __init__(self, project: Path) -> None:
        self.project = project
        self.does(str(UV), "lock", "--quiet")
        self.does(str(UV), "lock", "--quiet", "--upgrade-package", f"sqlparse=={OLDER}")
        git(project, "init", "--quiet")
        git(project, "add", "--all")
        git(project, "commit", "--quiet", "--message", "Work")

    def does(self, *command: str, check: bool = True) -> str:
        done = subprocess.run(
            command, cwd=self.project, env=clean_environment(), stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, check=False,
        )  # fmt: skip
        assert not check or done.returncode == 0, done.stdout
        return done.stdout

    def make(self, *arguments: str, check: bool = True) -> str:
        return self.does("make", "--no-print-directory", f"UV={UV}", *arguments, check=check)

    def locked(self, name: str) -> str:
        packages = tomllib.loads((self.project / "uv.lock").read_text())["package"]
        (version,) = [str(package["version"]) for package in packages if package["name"] == name]
        return version

    def installed(self, name: str) -> str:
        said = self.does(str(UV), "pip", "show", "--python", ".venv", name)
        found = re.search("^Version: (.*)$", said, re.MULTILINE)
        assert found
        return found[1]


@pytest.fixture
def owner(bake: Bake) -> Owner:
    return Owner(bake())


def test_what_is_locked_is_upgraded_installed_and_tested_and_can_be_taken_back(
    owner: Owner,
) -> None:
    said = owner.make("upgrade", "PACKAGE=sqlparse")

    newer = owner.locked("sqlparse")
    assert newer != OLDER
    assert owner.installed("sqlparse") == newer
    assert f"Updated sqlparse v{OLDER} -> v{newer}" in said
    assert re.search(r"\d+ passed", said)
    assert git(owner.project, "diff", "--name-only").split() == ["uv.lock"]
    git(owner.project, "checkout", "--", "uv.lock")

    (owner.project / "tests" / "test_tea.py").write_text("def test_tea() -> None:\n    assert 0\n")
    said = owner.make("upgrade", check=False)

    assert owner.locked("sqlparse") == newer, "without a name, all"
    (line,) = re.findall("^upgrade: (.*)$", said, re.MULTILINE)
    way_back = re.search("`(git .*) && make setup` goes back$", line)
    assert way_back
    git(owner.project, *way_back[1].removeprefix("git ").split())
    owner.make("setup")
    assert owner.installed("sqlparse") == OLDER
