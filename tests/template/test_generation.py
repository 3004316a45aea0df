"""What comes out: the exact files, finished, the same every time."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT, TEMPLATE, Bake, Run, clean_environment, questions
from tests.support.command import generate, working_tree

pytestmark = pytest.mark.quick

DEFAULT_TREE = """
.dockerignore
.editorconfig
.env.example
.gitattributes
.github/dependabot.yml
.github/workflows/ci.yml
.github/workflows/publish.yml
.github/workflows/template.yml
.gitignore
.pre-commit-config.yaml
.python-version
AGENTS.md
Dockerfile
LICENSE
Makefile
README.md
accounts/__init__.py
accounts/admin.py
accounts/apps.py
accounts/logins.py
accounts/migrations/0001_initial.py
accounts/migrations/__init__.py
accounts/models.py
accounts/templates/accounts/page.html
accounts/templates/registration/login.html
accounts/templates/registration/password_change_done.html
accounts/templates/registration/password_change_form.html
accounts/templates/registration/password_reset_complete.html
accounts/templates/registration/password_reset_confirm.html
accounts/templates/registration/password_reset_done.html
accounts/templates/registration/password_reset_email.html
accounts/templates/registration/password_reset_form.html
accounts/templates/registration/password_reset_subject.txt
compose.override.yaml
compose.proxy.yaml
compose.yaml
config/__init__.py
config/asgi.py
config/granian.env
config/logging.json
config/settings.py
config/urls.py
conftest.py
data/__init__.py
data/history.py
data/management/__init__.py
data/management/commands/__init__.py
data/management/commands/backup.py
data/management/commands/dbshell.py
data/management/commands/restore.py
data/sqlite.py
data/sqlite_backups.py
deploy/Caddyfile
home/__init__.py
home/apps.py
home/facts.py
home/lifespan.py
home/static/home/live.js
home/templates/home/index.html
home/tests.py
home/urls.py
home/views.py
manage.py
pyproject.toml
static/icon.svg
static/site.css
templates/400.html
templates/403.html
templates/403_csrf.html
templates/404.html
templates/500.html
templates/admin/base_site.html
templates/base.html
templates/error.html
tests/__init__.py
tests/own_warnings.py
tests/settings.py
tests/test_accounts.py
tests/test_serving.py
tests/test_settings.py
tests/test_sqlite.py
""".split()


def files(project: Path) -> dict[str, bytes]:
    """A project's files, by path."""
    return {
        path.relative_to(project).as_posix(): path.read_bytes()
        for path in project.rglob("*")
        if path.is_file()
    }


def test_the_default_project_is_exactly_this_tree(default_project: Path) -> None:
    own = [path for path in sorted(files(default_project)) if not path.startswith("packages/")]
    assert own == DEFAULT_TREE
    assert os.access(default_project / "manage.py", os.X_OK)


def test_the_packages_are_the_templates_own(default_project: Path) -> None:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "packages"],
        cwd=TEMPLATE, capture_output=True, text=True, check=True,
    ).stdout.splitlines()  # fmt: skip
    found = {
        path: content
        for path, content in files(default_project).items()
        if path.startswith("packages/")
    }
    assert sorted(found) == sorted(listed)
    for path, content in found.items():
        assert content == (TEMPLATE / path).read_bytes(), path


def test_what_python_leaves_in_a_checkout_is_not_generated(tmp_path: Path) -> None:
    template = tmp_path / "template"
    template.mkdir()
    working_tree(template)
    left = (
        template / TEMPLATE.name / "packages" / "django-serving" / "src" / "serving" / "__pycache__"
    )
    left.mkdir()
    (left / "conf.cpython-313.pyc").write_bytes(b"")

    assert generate(tmp_path, template=template).returncode == 0

    assert (tmp_path / "my-project" / "packages").is_dir()
    assert not list(tmp_path.glob("my-project/**/__pycache__"))


def test_nothing_is_left_unrendered(default_project: Path) -> None:
    for path, content in files(default_project).items():
        if "templates/" in path:
            continue  # Django's own templates
        text = content.decode()
        assert not re.search(r"cookiecutter\.(?!json)", text), path
        if not path.startswith("packages/"):  # which are copied as they are
            assert "{%" not in text, path
            assert not re.search(r"(?<!\$)\{\{", text), path  # ${{ }} is GitHub's
        assert "\r" not in text, path
        assert text.endswith("\n") or not text, path
        assert not text.endswith("\n\n"), path


def test_it_is_formatted_linted_and_typed_as_it_comes_out(default_project: Path, run: Run) -> None:
    run(default_project, "ruff", "check", "--no-cache")
    run(default_project, "ruff", "format", "--check", "--no-cache")
    # Stricter than `make lint`. Its Django plugin imports the settings, which must not leave bytecode
    # among the files.
    strict = ("--strict", "--cache-dir", os.devnull)
    run(default_project, "mypy", *strict, ".", PYTHONDONTWRITEBYTECODE="1")


def test_the_same_answers_give_the_same_bytes(default_project: Path, bake: Bake) -> None:
    assert files(bake()) == files(default_project)


@pytest.mark.parametrize("license", questions()["license"])
def test_every_license_names_the_author(bake: Bake, license: str) -> None:  # noqa: A002
    project = bake(license=license, author_name="Zoë <O'Brien>")

    text = (project / "LICENSE").read_text()
    if license not in ("Apache-2.0", "GPL-3.0-or-later"):  # texts that name nobody
        assert "Copyright (c) Zoë <O'Brien>" in text
    declared = "LicenseRef-Proprietary" if license == "Proprietary" else license
    assert f'license = "{declared}"' in (project / "pyproject.toml").read_text()


def test_generation_calls_no_network_and_starts_nothing_but_the_hooks(tmp_path: Path) -> None:
    """An audit hook in every Python process notes connections and processes."""
    notes = tmp_path / "notes"
    (tmp_path / "sitecustomize.py").write_text(
        "import os, sys\n"
        "def note(event, args):\n"
        "    if event in ('socket.connect', 'socket.getaddrinfo', 'subprocess.Popen', 'os.system',\n"
        "                 'os.posix_spawn', 'os.exec'):\n"
        f"        fd = os.open({str(notes)!r}, os.O_CREAT | os.O_APPEND | os.O_WRONLY)\n"
        "        os.write(fd, f'{event} {args}\\n'.encode())\n"
        "        os.close(fd)\n"
        "sys.addaudithook(note)\n"
    )
    subprocess.run(
        [sys.executable, "-m", "cookiecutter", ROOT, "--no-input", "--default-config", "-o", tmp_path],
        env=clean_environment() | {"PYTHONPATH": str(tmp_path)},
        check=True,
        capture_output=True,
    )  # fmt: skip

    seen = notes.read_text().splitlines()
    hooks = [line for line in seen if line.startswith("subprocess.Popen") and ".py" in line]
    assert len(hooks) == 2
    assert [
        line for line in seen if line not in hooks and not line.startswith("os.posix_spawn")
    ] == []
