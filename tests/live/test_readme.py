"""The commands that the template's README and docs/getting-started.md show, run as they are typed by a stranger.

https://github.com/org/cookiecutter-django-granian is this working tree then, by git's `insteadOf`.
"""

import os
import re
import shutil
import signal
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from tests.conftest import ROOT, clean_environment
from tests.support import readme
from tests.support.command import PROGRAMS, UV, git, template_repository
from tests.support.server import PATIENCE, free_port
from tests.template.test_make_targets import targets

README = ROOT / "README.md"
STARTED = ROOT / "docs" / "getting-started.md"
NAME = "org/cookiecutter-django-granian"

# pipx installs pip by the interpreter that runs it, of which Debian's has a pip that fits.
PIPX = f'#!/bin/sh\nexec {PROGRAMS / "uvx"} --quiet --python /usr/bin/python3 pipx "$@"\n'


def commands(page: Path) -> dict[str, list[str]]:
    """The lines below each heading, without what is said of them."""
    found: dict[str, list[str]] = {}
    for heading, text in readme.blocks("sh", page):
        lines = [re.sub(r"\s+# .*", "", line) for line in text.splitlines()]
        found.setdefault(heading, []).extend(lines)
    return found


@dataclass
class Stranger:
    """Somebody with uv, pipx, make and git, in a folder."""

    folder: Path
    variables: dict[str, str]

    def type(self, command: str, status: int = 0) -> str:
        """Types a command, and Enter at each question; gives what is printed."""
        if command.startswith("cd "):
            self.folder /= command.removeprefix("cd ")
            return ""
        done = subprocess.run(
            ["/bin/sh", "-c", command], cwd=self.folder, env=self.variables | {"PWD": str(self.folder)},
            input="\n" * 40, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == status, f"{command}\n{done.stdout}"
        return done.stdout

    def serve(self, command: str) -> httpx.Response:
        """Types a command that serves, and Ctrl-C once it has; gives its first page."""
        port = free_port()
        server = subprocess.Popen(
            ["/bin/sh", "-c", f"exec {command} PORT={port}"], cwd=self.folder, env=self.variables,
            start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            while server.poll() is None:
                if page := asked(port):
                    return page
                time.sleep(0.2)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(server.pid, signal.SIGINT)
            server.wait(PATIENCE)
        raise AssertionError(f"{command} ended with {server.returncode}")


def asked(port: int) -> httpx.Response | None:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/", timeout=PATIENCE)
    except httpx.TransportError:
        return None


@pytest.fixture
def stranger(tmp_path: Path) -> Stranger:
    """His programs are those of this machine, and his git finds this template on the web."""
    web = tmp_path / "web" / NAME
    web.mkdir(parents=True)
    template_repository(web)
    web.with_name(f"{web.name}.git").symlink_to(web)
    config = tmp_path / "gitconfig"
    config.write_text(
        f'[url "file://{tmp_path / "web"}/"]\n\tinsteadOf = https://github.com/\n'
        '[user]\n\tname = Ada\n\temail = ada@example.com\n[protocol "file"]\n\tallow = always\n'
        "[init]\n\tdefaultBranch = main\n"
    )
    answers = tmp_path / "cookiecutter.yaml"
    answers.write_text(
        f"cookiecutters_dir: {tmp_path / 'clones'}\nreplay_dir: {tmp_path / 'replay'}\n"
    )
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "uv").symlink_to(UV)
    (programs / "uvx").symlink_to(PROGRAMS / "uvx")
    (programs / "pipx").write_text(PIPX)
    (programs / "pipx").chmod(0o755)
    folder = tmp_path / "work"
    folder.mkdir()
    variables = clean_environment() | {
        "PATH": f"{programs}:/usr/local/bin:/usr/bin:/bin",
        "GIT_CONFIG_GLOBAL": str(config),
        "COOKIECUTTER_CONFIG": str(answers),
        "PIPX_HOME": str(tmp_path / "pipx"),
        "PIPX_BIN_DIR": str(tmp_path / "pipx" / "bin"),
    }
    return Stranger(folder, variables)


FIRST = "cookiecutter-django-granian"
RUN_HERE = {FIRST, "Update a project"}


def test_every_command_of_the_readme_is_run_by_a_test() -> None:
    shown = commands(README)
    assert len(shown) == 3
    for heading, lines in shown.items():
        if heading not in RUN_HERE:  # tests/template/test_make_targets.py: by a test, or by .ci/run
            assert {line.removeprefix("make ") for line in lines} <= targets(ROOT / "Makefile")
    inline = re.findall(
        r"`((?:make|uvx|pipx|cruft|python -m|granian)(?: [^`]+)?)`", README.read_text()
    )
    known = targets(ROOT / "Makefile") | targets(
        ROOT / "{{cookiecutter.project_slug}}" / "Makefile"
    )
    for line in inline:
        words = [word for word in line.split()[1:] if "=" not in word]
        if line.startswith("make"):
            assert set(words) <= known, line
        else:
            assert line in {"cruft create", "cruft link"}, (
                f"{line!r}: put it into a block, which is run"
            )


def test_the_first_commands_give_a_project_that_serves(stranger: Stranger) -> None:
    uvx, pipx, cd, make = commands(README)[FIRST]
    assert "cd my-project" in stranger.type(pipx)
    shutil.rmtree(stranger.folder / "my-project")
    assert "cd my-project" in stranger.type(uvx)
    stranger.type(cd)
    assert make == "make setup run"
    assert stranger.serve(make).status_code == 200


def test_getting_started_leads_to_a_page_of_ones_own(stranger: Stranger) -> None:
    shown = commands(STARTED)
    uvx, cd, make = shown["Make the project"][:3]
    stranger.type(uvx)
    stranger.type(cd)
    stranger.type(make.removesuffix(" run"))
    for line in shown["Make the project"][3:]:
        stranger.type(line)
    assert stranger.type("git status --porcelain") == ""
    superuser, dev, app, lint = shown["Work on it"]
    stranger.type(superuser)  # which asks nothing where nobody could answer
    stranger.type(app)
    assert "passed" in stranger.type(lint)
    assert stranger.serve(dev).status_code == 200


def test_an_update_merges_what_the_template_has_changed(stranger: Stranger) -> None:
    check, update = commands(README)["Update a project"]
    stranger.type(f"uvx cruft create --no-input https://github.com/{NAME}")
    stranger.type("cd my-project")
    for line in ("git init --quiet", "git add --all", "git commit --quiet --message Mine"):
        stranger.type(line)
    stranger.type(check)
    template = stranger.folder.parents[1] / "web" / NAME
    page = template / "{{cookiecutter.project_slug}}" / ".editorconfig"
    page.write_text(page.read_text() + "\n[*.toml]\nindent_size = 4\n")
    git(template, "commit", "--quiet", "--all", "--message", "Indent")
    stranger.type(check, status=1)
    stranger.type(update)
    assert "[*.toml]" in (stranger.folder / ".editorconfig").read_text()
