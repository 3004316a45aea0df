"""Projects that exist take over what is new in the template, and keep what is their own."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.conftest import ROOT, Run
from tests.support.answers import files
from tests.support.command import PROGRAMS, generate, git, home, template_repository

ANSWERS = {
    "project_name": "Café {1}",
    "description": "\"double\" 'single' \\n $(id) `id` {x} }} %} #} & <b> 👩‍💻",
    "workers": "3",
}
FOLDER = "{{cookiecutter.project_slug}}"
PROBES = "packages/django-serving/src/serving/probes/probes.py"


def cruft(folder: Path, *arguments: str, status: int = 0) -> str:
    """Runs cruft in a folder; gives what it prints."""
    done = subprocess.run(
        [PROGRAMS / "cruft", *arguments],
        cwd=folder, env=home(folder.parent), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == status, f"{done.stdout}\n{done.stderr}"
    return done.stdout + done.stderr


def replace(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text, f"{path.name} has changed: no {old!r}"
    path.write_text(text.replace(old, new))


def make_older(template: Path) -> None:
    """Makes the template one that lacks what the present one has, one thing of each kind."""
    project = template / FOLDER
    # A line that reads otherwise, in a file that users edit too.
    replace(project / "config" / "granian.env", "RESPAWN_INTERVAL=5", "RESPAWN_INTERVAL=3")
    # A file that is not there yet, and one that has gone since.
    (project / "home" / "static" / "home" / "icon.svg").unlink()
    (project / "config" / "gone.py").write_text('"""Not needed any more."""\n')
    # A file that is copied as it is.
    replace(project / PROBES, "livez", "alivez")
    # A question that is not asked yet, a rule that is narrower, a filter that does not exist.
    questions = json.loads((template / "cookiecutter.json").read_text())
    del questions["log_format"]
    (template / "cookiecutter.json").write_text(json.dumps(questions, indent=2))
    replace(project / "config" / "granian.env", "{{ cookiecutter.log_format }}", "json")
    replace(template / "template_rules.py", "WORKERS_MAX = 64", "WORKERS_MAX = 8")
    replace(template / "template_rules.py", '    "markdown": markdown,\n', "")
    replace(project / "README.md", " | markdown", "")


@pytest.fixture
def template(tmp_path: Path) -> Path:
    """A repository whose newest commit is an older template; `renew` commits the present one."""
    folder = tmp_path / "cookiecutter-django-granian"
    folder.mkdir()
    template_repository(folder)
    make_older(folder)
    git(folder, "checkout", "--quiet", "--orphan", "releases")
    git(folder, "add", "--all", "--force")
    git(folder, "commit", "--quiet", "--message", "An older version")
    return folder


def renew(template: Path) -> None:
    """Releases the present template."""
    git(template, "checkout", "--quiet", "main", "--", ".")
    git(template, "rm", "--quiet", f"{FOLDER}/config/gone.py")
    git(template, "commit", "--quiet", "--message", "A newer version")


@pytest.fixture
def project(tmp_path: Path, template: Path) -> Path:
    """A project of the older version, as a user commits it first."""
    cruft(tmp_path, "create", str(template), "--no-input", "--extra-context", json.dumps(ANSWERS))
    made = tmp_path / "cafe-1"
    commit_all(made)
    return made


def commit_all(project: Path) -> None:
    if not (project / ".git").exists():
        git(project, "init", "--quiet")
    git(project, "add", "--all")
    git(project, "commit", "--quiet", "--message", "Work")


def contents(project: Path) -> dict[str, bytes]:
    own = (".git/", ".cruft.json")
    return {name: path.read_bytes() for name, path in files(project) if not name.startswith(own)}


def test_an_update_gives_what_the_newest_template_would(
    tmp_path: Path, template: Path, project: Path
) -> None:
    cruft(project, "check")
    renew(template)
    cruft(project, "check", status=1)

    cruft(project, "update", "--skip-apply-ask")

    cruft(project, "check")
    fresh = tmp_path / "fresh"
    fresh.mkdir()
    answers = [f"{key}={value}" for key, value in ANSWERS.items()]
    assert generate(fresh, *answers, template=template).returncode == 0
    assert contents(project) == contents(fresh / "cafe-1")
    commit_all(project)
    cruft(project, "diff", "--exit-code")


def test_an_update_keeps_what_users_changed(template: Path, project: Path, run: Run) -> None:
    replace(project / "config" / "granian.env", "GRANIAN_WORKERS=3", "GRANIAN_WORKERS=5")
    replace(
        project / "config" / "settings.py", '    "accounts",\n', '    "accounts",\n    "shop",\n'
    )
    replace(project / "README.md", "## What is where", "## Our own words\n\n## What is where")
    (project / "shop").mkdir()
    (project / "shop" / "__init__.py").write_text("")
    shutil.rmtree(project / "home" / "templates")
    (project / "home" / "views.py").write_text('"""Ours."""\n')
    commit_all(project)
    renew(template)
    assert "GRANIAN_WORKERS=5" in cruft(project, "diff")

    cruft(project, "update", "--skip-apply-ask")

    flags = (project / "config" / "granian.env").read_text()
    assert "GRANIAN_WORKERS=5" in flags, "a line of the user's"
    assert "RESPAWN_INTERVAL=5" in flags, "a line of the template's, in the same file"
    assert '    "shop",\n' in (project / "config" / "settings.py").read_text()
    assert "## Our own words" in (project / "README.md").read_text()
    assert (project / "shop" / "__init__.py").exists()
    assert (project / "home" / "views.py").read_text() == '"""Ours."""\n'
    assert not (project / "home" / "templates").exists(), "what the user removed stays away"
    assert (project / "home" / "static" / "home" / "icon.svg").exists(), "a file that is new"
    assert not (project / "config" / "gone.py").exists(), "a file that has gone"
    assert "/livez" in (project / PROBES).read_text(), "a file copied as it is"
    state = json.loads((project / ".cruft.json").read_text())
    assert state["context"]["cookiecutter"]["log_format"] == "json", "a question that is new"
    assert not list(project.rglob("*.rej"))
    assert "<<<<<<<" not in "".join(path.read_text() for _, path in files(project / "config"))
    run(project, "ruff", "check", "--no-cache", "config", "data")


def test_lines_that_both_changed_are_left_to_the_user(template: Path, project: Path) -> None:
    replace(project / "config" / "granian.env", "RESPAWN_INTERVAL=3", "RESPAWN_INTERVAL=9")
    commit_all(project)
    renew(template)

    cruft(project, "update", "--skip-apply-ask")

    flags = (project / "config" / "granian.env").read_text()
    assert re.search("<<<.*RESPAWN_INTERVAL=9.*===.*RESPAWN_INTERVAL=5.*>>>", flags, re.DOTALL)
    assert not (project / "config" / "gone.py").exists(), "the rest of the update is applied"


def test_an_update_judges_by_the_newest_rules(template: Path, project: Path) -> None:
    renew(template)
    answers = json.dumps({"workers": "64", "log_format": "console"})

    cruft(project, "update", "--skip-apply-ask", "--variables-to-update", answers)

    flags = (project / "config" / "granian.env").read_text()
    assert "GRANIAN_WORKERS=64" in flags, "the older version's rule said 8 at most"
    assert "LOG_FORMAT=console" in flags


def test_a_project_made_by_cookiecutter_is_linked_first(tmp_path: Path, template: Path) -> None:
    answers = [f"{key}={value}" for key, value in ANSWERS.items()]
    assert generate(tmp_path, *answers, template=template).returncode == 0
    project = tmp_path / "cafe-1"
    (project / "own.txt").write_text("own")
    commit_all(project)
    made_from = git(template, "rev-parse", "HEAD").strip()
    renew(template)

    cruft(project, "link", str(template), "--no-input", "--checkout", made_from,
          "--extra-context", json.dumps(ANSWERS))  # fmt: skip
    commit_all(project)
    cruft(project, "update", "--skip-apply-ask")

    assert "RESPAWN_INTERVAL=5" in (project / "config" / "granian.env").read_text()
    assert not (project / "config" / "gone.py").exists()
    assert (project / "own.txt").read_text() == "own"


def test_the_changelog_says_what_each_release_means_for_projects() -> None:
    releases = (ROOT / "CHANGELOG.md").read_text().split("\n## ")[1:]
    assert releases
    for release in releases:
        assert "*For projects already generated:*" in release, release.splitlines()[0]
