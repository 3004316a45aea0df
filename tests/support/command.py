"""cookiecutter as a user runs it: a process of its own, with a home folder of its own."""

import os
import subprocess
import sys
from pathlib import Path

import pexpect
import pytest

from tests.conftest import ROOT, clean_environment, questions
from tests.support.server import PATIENCE

PROGRAMS = Path(sys.executable).parent
UV = PROGRAMS / "uv"


def home(folder: Path) -> dict[str, str]:
    """Variables for a user whose home is this folder, and who commits under a name."""
    return clean_environment() | {
        "HOME": str(folder),
        "PWD": str(folder),
        "PYTHONUTF8": "1",
        "PATH": f"{PROGRAMS}{os.pathsep}{os.environ['PATH']}",
        "COLUMNS": "300",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_AUTHOR_NAME": "Ada", "GIT_AUTHOR_EMAIL": "ada@example.com",
        "GIT_COMMITTER_NAME": "Ada", "GIT_COMMITTER_EMAIL": "ada@example.com",
    }  # fmt: skip


def generate(
    folder: Path,
    *arguments: str,
    template: Path | str = ROOT,
    program: Path = PROGRAMS / "cookiecutter",
    no_input: bool = True,
    unknown: bool = False,
) -> subprocess.CompletedProcess[str]:
    """Runs `cookiecutter <template> --no-input <arguments>` in a folder, which is home as well.

    A key that is no question is a mistake of the test, unless it says that it means one.
    """
    keys = {argument.partition("=")[0] for argument in arguments if "=" in argument}
    assert unknown or keys <= questions().keys(), f"no such question: {keys - questions().keys()}"
    return subprocess.run(
        [program, template, *(["--no-input"] if no_input else []), *arguments],
        cwd=folder,
        env=home(folder),
        capture_output=True,
        text=True,
        check=False,
    )


def typed_make(project: Path, *arguments: str, **variables: str) -> "pexpect.spawn[str]":
    """A Make target of a project in a terminal."""
    return pexpect.spawn(
        "make", ["--no-print-directory", f"UV={UV}", *arguments], cwd=project,
        env={**clean_environment(), **variables}, encoding="utf-8", timeout=PATIENCE,
    )  # fmt: skip


def template_make(folder: Path, *arguments: str, **variables: str) -> str:
    """Runs a Make target of the template, in the folder of this one or of a copy; gives what it prints."""
    done = subprocess.run(
        ["make", "--no-print-directory", "-o", ".venv/.synced", *arguments], cwd=folder,
        env={**clean_environment(), **variables}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    return done.stdout


def interpreter(version: str) -> str:
    """The path of a Python of this version; the test is skipped where there is none.

    .python-version, which pyenv goes by, names another one.
    """
    found = subprocess.run(
        [UV, "python", "find", version],
        env=clean_environment() | {"PYENV_VERSION": version},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if found.returncode:
        pytest.skip(f"no Python {version} on this machine")
    return found.stdout.strip()


def git(folder: Path, *arguments: str) -> str:
    """Runs git in a folder; gives what it prints."""
    done = subprocess.run(
        ["git", "-c", "init.defaultBranch=main", "-c", "protocol.file.allow=always", *arguments],
        cwd=folder, env=home(folder), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


def template_repository(folder: Path) -> Path:
    """The template as it stands in this working tree, committed to a repository of the test's own."""
    working_tree(folder)
    git(folder, "init", "--quiet")
    git(folder, "add", "--all", "--force")
    git(folder, "commit", "--quiet", "--message", "The template")
    return folder


def working_tree(folder: Path) -> None:
    """Copies what makes the template, as it stands in this working tree, into a folder."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    for name in filter(None, listed.split("\0")):
        if name.startswith(("tests/", ".")) and name != ".gitattributes":
            continue
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes((ROOT / name).read_bytes())
            (folder / name).chmod((ROOT / name).stat().st_mode)
