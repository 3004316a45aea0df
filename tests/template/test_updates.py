"""Projects that exist take over what is new in the template, and keep what is their own."""

import ast
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pexpect
import pytest

from tests.conftest import BUILD, ROOT, TEMPLATE, Run, Serve, clean_environment, questions
from tests.support.answers import files
from tests.support.command import (
    PROGRAMS,
    UV,
    generate,
    git,
    home,
    template_repository,
    working_tree,
)
from tests.support.names import is_there, parameters
from tests.support.server import PATIENCE, server_environment
from tests.support.sites import SITES
from tests.template.test_matrix import check_types

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


def by_git(
    project: Path, *, tool: list[str] | None = None, status: int = 0, **variables: str
) -> str:
    """Runs `make update` in a project, or the tool that it runs; gives what it prints."""
    variables = {"UV": str(UV), "UV_CACHE_DIR": str(BUILD / "uv-of-updates"), **variables}
    given = [f"{key}={value}" for key, value in variables.items()]
    done = subprocess.run(
        tool or ["make", "--no-print-directory", "update", *given],
        cwd=project, env=home(project.parent) | variables, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == status, done.stdout
    return done.stdout


# What `make update` runs, for a project that has no such target yet.
TOOL = [sys.executable, "-IB", str(TEMPLATE / "packages/serving-tools/src"), "update"]

Update = Callable[..., str]


@pytest.fixture(params=["cruft", "git"])
def update(request: pytest.FixtureRequest) -> Update:
    """Updates a project by one of the two ways: `update(project, log_format="console")`."""

    def by_cruft(project: Path, *, conflicts: bool = False, **answers: str) -> str:
        changed = ["--variables-to-update", json.dumps(answers)] if answers else []
        return cruft(project, "update", "-y", *changed)

    def by_make(project: Path, *, conflicts: bool = False, **answers: str) -> str:
        words = " ".join(f"{key}={value}" for key, value in answers.items())
        return by_git(project, status=2 * conflicts, ANSWERS=words)

    return by_cruft if request.param == "cruft" else by_make


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
    (project / "static" / "icon.svg").unlink()
    (project / "config" / "gone.py").write_text('"""Not needed any more."""\n')
    # A file that is copied as it is.
    replace(project / PROBES, "livez", "alivez")
    # A question that is not asked yet, a rule that is narrower, a filter that does not exist.
    questions = json.loads((template / "cookiecutter.json").read_text())
    del questions["log_format"]
    (template / "cookiecutter.json").write_text(json.dumps(questions, indent=2))
    for name in ("config/granian.env", "deploy/kubernetes/base/server.env"):
        replace(project / name, "{{ cookiecutter.log_format }}", "json")
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
    return {
        name: path.read_bytes()
        for name, path in files(project)
        if not name.startswith(own) and "__pycache__" not in name
    }


def test_an_update_gives_what_the_newest_template_would(
    tmp_path: Path, template: Path, project: Path, update: Update
) -> None:
    cruft(project, "check")
    renew(template)
    cruft(project, "check", status=1)

    update(project)

    cruft(project, "check")
    fresh = tmp_path / "fresh"
    fresh.mkdir()
    answers = [f"{key}={value}" for key, value in ANSWERS.items()]
    assert generate(fresh, *answers, template=template).returncode == 0
    assert contents(project) == contents(fresh / "cafe-1")
    commit_all(project)
    cruft(project, "diff", "--exit-code")


def test_an_update_keeps_what_users_changed(
    template: Path, project: Path, run: Run, update: Update
) -> None:
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

    update(project)

    flags = (project / "config" / "granian.env").read_text()
    assert "GRANIAN_WORKERS=5" in flags, "a line of the user's"
    assert "RESPAWN_INTERVAL=5" in flags, "a line of the template's, in the same file"
    assert '    "shop",\n' in (project / "config" / "settings.py").read_text()
    assert "## Our own words" in (project / "README.md").read_text()
    assert (project / "shop" / "__init__.py").exists()
    assert (project / "home" / "views.py").read_text() == '"""Ours."""\n'
    assert not (project / "home" / "templates").exists(), "what the user removed stays away"
    assert (project / "static" / "icon.svg").exists(), "a file that is new"
    assert not (project / "config" / "gone.py").exists(), "a file that has gone"
    assert "/livez" in (project / PROBES).read_text(), "a file copied as it is"
    state = json.loads((project / ".cruft.json").read_text())
    assert state["context"]["cookiecutter"]["log_format"] == "json", "a question that is new"
    assert not list(project.rglob("*.rej"))
    assert "<<<<<<<" not in "".join(path.read_text() for _, path in files(project / "config"))
    run(project, "ruff", "check", "--no-cache", "config", "data")


def test_lines_that_both_changed_are_left_to_the_user(
    template: Path, project: Path, update: Update
) -> None:
    replace(project / "config" / "granian.env", "RESPAWN_INTERVAL=3", "RESPAWN_INTERVAL=9")
    commit_all(project)
    renew(template)

    update(project, conflicts=True)

    flags = (project / "config" / "granian.env").read_text()
    assert re.search("<<<.*RESPAWN_INTERVAL=9.*===.*RESPAWN_INTERVAL=5.*>>>", flags, re.DOTALL)
    assert not (project / "config" / "gone.py").exists(), "the rest of the update is applied"
    unmerged = git(project, "diff", "--name-only", "--diff-filter=U").split()
    assert unmerged == ["config/granian.env"], "git knows of the conflict, too"


def test_an_update_judges_by_the_newest_rules(
    template: Path, project: Path, update: Update
) -> None:
    renew(template)

    update(project, workers="64", log_format="console")

    flags = (project / "config" / "granian.env").read_text()
    assert "GRANIAN_WORKERS=64" in flags, "the older version's rule said 8 at most"
    assert "LOG_FORMAT=console" in flags


def test_every_command_in_a_text_skips_the_question_that_crashes() -> None:
    """cruft 2.16 with typer 0.29 ends in a traceback where its question is answered "y"."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "*.md"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    texts = {name: (ROOT / name).read_text() for name in listed.split("\0") if name}
    said = [
        (name, command)
        for name, text in texts.items()
        for command in re.findall(r"cruft update[^`\n]*", text)
        # The template's own pages name the command in their sentences, too.
        if command != "cruft update" or name.startswith(FOLDER)
    ]
    assert len(said) >= 8
    assert [each for each in said if not each[1].startswith("cruft update -y")] == []


def test_the_question_of_cruft_answered_yes_works_or_can_be_taken_back_as_the_page_says(
    template: Path, project: Path
) -> None:
    renew(template)
    child: Any = pexpect.spawn(
        str(PROGRAMS / "cruft"), ["update"], cwd=str(project), encoding="utf-8", timeout=PATIENCE,
        env=home(project.parent) | {"TERM": "dumb"}, dimensions=(50, 300),
    )  # fmt: skip
    child.expect_exact("Apply diff and update? [y]: ")
    child.sendline("y")
    child.expect(pexpect.EOF)
    child.close()
    changed = git(project, "diff", "HEAD", "--name-only").split()
    if child.exitstatus == 0:
        assert "config/granian.env" in changed
    git(project, "reset", "--hard", "--quiet")
    assert git(project, "status", "--porcelain") == ""

    cruft(project, "update", "-y")

    cruft(project, "check")
    assert "RESPAWN_INTERVAL=5" in (project / "config" / "granian.env").read_text()


# `make update`: what differs from cruft's way, and what it refuses.


def keep_nothing(project: Path) -> tuple[str, str, str]:
    """What a refused update must leave as it was: the commit, its branches, and the working tree."""
    shown = (["rev-parse", "HEAD"], ["for-each-ref"], ["status", "--porcelain", "--ignored"])
    head, refs, tree = (git(project, *arguments) for arguments in shown)
    return head, refs, tree


def spoil(project: Path, old: str, new: str) -> None:
    """Changes .cruft.json, and commits it."""
    kept = project / ".cruft.json"
    text, found = re.subn(old, new, kept.read_text())
    assert found, old
    kept.write_text(text)
    commit_all(project)


def forget_the_answers(project: Path) -> None:
    (project / ".cruft.json").unlink()
    commit_all(project)


def ignore_tracked(project: Path, name: str) -> None:
    """Takes a file out of git, and leaves it where it is."""
    (project / ".git" / "info" / "exclude").write_text(f"{name}\n")
    git(project, "rm", "--quiet", "--cached", name)
    git(project, "commit", "--quiet", "--message", "My own")


REFUSED: dict[str, tuple[Callable[[Path], object], dict[str, str], str]] = {
    "dirty": (
        lambda project: (project / "README.md").write_text("mine"), {},
        "what is not committed could be lost, README.md for one; commit it first",
    ),
    "untracked": (
        lambda project: (project / "own.py").touch(), {},
        "what is not committed could be lost, own.py for one; commit it first",
    ),
    "no commit": (
        lambda project: shutil.rmtree(project / ".git"), {},
        "git has no commit of this folder; `git init`, and commit all of it first",
    ),
    "no answers": (
        forget_the_answers, {},
        ".cruft.json is not here, which has the answers; docs/updating.md of the template says how to link a project",
    ),
    "ignored answers": (
        lambda project: ignore_tracked(project, ".cruft.json"), {},
        r"\.cruft\.json is not in git, which could not take an update back; "
        r"`git add --force \.cruft\.json` and commit it",
    ),
    "broken": (
        lambda project: spoil(project, r"^\{", "<<<<<<< HEAD"), {},
        ".cruft.json: Expecting value: line 1 column 1 .char 0.; take it from git, or docs/updating.md .*",
    ),
    "missing answer": (
        lambda project: spoil(project, r' *"workers": "3",\n', ""), {},
        ".cruft.json has no answer to 'workers'; write it there and commit it",
    ),
    "missing commit": (
        lambda project: spoil(project, r' *"commit": "\w+",\n', ""), {},
        ".cruft.json: it has no 'commit'; take it from git, or docs/updating.md .*",
    ),
    "unknown commit": (
        lambda project: spoil(project, r'"commit": "\w+"', f'"commit": "{"0" * 40}"'), {},
        f"the template has no commit '{'0' * 40}', which .cruft.json names; docs/updating.md .*",
    ),
    "unknown template": (
        lambda project: spoil(project, r'"template": "\S+"', '"template": "/nowhere"'), {},
        "/nowhere: fatal: repository '/nowhere' does not exist; correct `template` in .cruft.json, or try again",
    ),
    "unknown version": (
        lambda project: None, {"VERSION": "v99"},
        "the template has no commit 'v99', which VERSION names; `git tag` there lists those it has",
    ),
    "unknown answer": (
        lambda project: None, {"ANSWERS": "event_lop=rloop"},
        "ANSWERS: 'event_lop' is no question; project_name, .*",
    ),
    "refused answer": (
        lambda project: None, {"ANSWERS": "workers=99"},
        r"version \w{7} of the template: workers: '99'.*",
    ),
    "no such choice": (
        lambda project: None, {"ANSWERS": "event_loop=trio"},
        r"version \w{7} of the template: .*trio.*",
    ),
    "absolute skip": (
        lambda project: spoil(project, r"^\{", '{"skip": ["/etc/*"],'), {},
        r"skip: \['/etc/\*'\]: .*; name paths in the project",
    ),
    "skip of nothing": (
        lambda project: spoil(project, r"^\{", '{"skip": [""],'), {},
        r"skip: \[''\]: '' of \.cruft\.json is no relative path; name paths in the project",
    ),
    "absolute skip without a pattern": (
        lambda project: skip_in_pyproject(project, '[tool.cruft]\nskip = ["/etc/hosts"]'), {},
        r"skip: .*: '/etc/hosts' of pyproject\.toml is no relative path; name paths in the project",
    ),
    "skip of numbers": (
        lambda project: spoil(project, r"^\{", '{"skip": [1],'), {},
        r"skip: \[1\]: .*; name paths in the project",
    ),
    "skip of a text": (
        lambda project: spoil(project, r"^\{", '{"skip": "config/",'), {},
        r"\.cruft\.json: skip: 'config/' is no list; name paths in the project",
    ),
    "broken pyproject": (
        lambda project: skip_in_pyproject(project, "[tool.cruft]\nskip = ["), {},
        r"pyproject\.toml: .*; correct it and commit it",
    ),
    "open quotes": (
        lambda project: None, {"ANSWERS": "workers='4"},
        "ANSWERS: .*: No closing quotation; close the quotes",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_updated_is_one_line_and_nothing_is_left_behind(
    tmp_path: Path, template: Path, project: Path, case: str
) -> None:
    prepare, variables, line = REFUSED[case]
    prepare(project)
    renew(template)
    repository = (project / ".git").exists()
    before = keep_nothing(project) if repository else None
    (tmp_path / "temporary").mkdir()

    said = by_git(project, tool=TOOL, status=1, TMPDIR=str(tmp_path / "temporary"), **variables)

    assert re.fullmatch(f"make update: {line}\n", said), said
    assert not repository or keep_nothing(project) == before
    assert not list((tmp_path / "temporary").iterdir())


def test_what_an_update_changes_in_files_that_the_user_removed_or_moved(
    template: Path, project: Path
) -> None:
    git(project, "rm", "--quiet", PROBES)
    git(project, "mv", "config/granian.env", "config/server.env")
    commit_all(project)
    renew(template)

    said = by_git(project)

    assert not (project / PROBES).exists(), "removed by the user, changed by the template"
    told = re.fullmatch(
        rf"not here any more, and changed by the template: {re.escape(PROBES)}; `(git diff .*)` shows it\nupdated .*\n",
        said,
    )
    assert told, said
    shown = git(project, *shlex.split(told[1])[1:])
    assert re.search(r"^-.*alivez", shown, re.MULTILINE)
    assert re.search(r"^\+.*/livez", shown, re.MULTILINE)
    assert "RESPAWN_INTERVAL=5" in (project / "config" / "server.env").read_text()
    assert not (project / "config" / "granian.env").exists()
    assert "U" not in git(project, "diff", "--name-status")


def test_a_file_that_the_template_removes_and_the_user_changed_is_a_conflict(
    template: Path, project: Path
) -> None:
    (project / "config" / "gone.py").write_text('"""Ours."""\n')
    commit_all(project)
    renew(template)

    said = by_git(project, status=2)

    assert said.splitlines()[0] == "conflict: config/gone.py"
    assert (project / "config" / "gone.py").read_text() == '"""Ours."""\n'
    assert "RESPAWN_INTERVAL=5" in (project / "config" / "granian.env").read_text()


def test_a_file_that_git_ignores_is_not_overwritten(template: Path, project: Path) -> None:
    """A merge of git's takes what is ignored for what can be lost."""
    ignore_tracked(project, "config/granian.env")
    with (project / ".git" / "info" / "exclude").open("a") as file:
        file.write("icon.svg\n")
    own = (project / "config" / "granian.env").read_text()
    (project / "static" / "icon.svg").write_text("mine")
    renew(template)

    by_git(project)

    assert (project / "static" / "icon.svg").read_text() == "mine"
    assert (project / "config" / "granian.env").read_text() == own
    assert "/livez" in (project / PROBES).read_text()


def add_files(template: Path, *names: str) -> None:
    for name in names:
        (template / FOLDER / name).parent.mkdir(parents=True, exist_ok=True)
        (template / FOLDER / name).write_text("new\n")
    git(template, "add", "--all", "--force")
    git(template, "commit", "--quiet", "--message", "More files")


def test_nothing_that_git_ignores_makes_way_for_a_new_file(
    tmp_path: Path, template: Path, project: Path
) -> None:
    """Files and links where the template adds a folder, and folders and links where it adds a file."""
    (project / ".git" / "info" / "exclude").write_text("/own-*\n")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (project / "own-file").write_text("mine")
    (project / "own-link").symlink_to(elsewhere)
    (project / "own-lost-link").symlink_to("nowhere")
    for name in ("own-folder/README.txt", "own-deep"):
        (project / name).mkdir(parents=True)
    (project / "own-folder" / "README.txt" / "own.txt").write_text("mine")
    (project / "own-deep" / "folder").write_text("mine")
    (project / "own-link.txt").symlink_to(elsewhere)
    before = {path: path.lstat() for path in project.glob("own-*/**/*")}
    before |= {path: path.lstat() for path in project.glob("own-*")}
    assert len(before) == 9
    folders = ("own-file", "own-link", "own-lost-link", "own-folder", "own-deep/folder")
    add_files(template, *(f"{name}/README.txt" for name in folders), "own-link.txt", "notes.txt")

    by_git(project)

    assert {path: path.lstat()[:7] for path in before if os.path.lexists(path)} == {
        path: status[:7] for path, status in before.items()
    }
    assert not list(elsewhere.iterdir()), "nor is anything written behind a link"
    assert (project / "notes.txt").read_text() == "new\n"


def test_a_new_file_goes_where_the_template_has_it_though_its_folder_was_moved(
    template: Path, project: Path
) -> None:
    """git would take it along, over a file that git ignores."""
    (project / ".git" / "info" / "exclude").write_text("/start/extra.py\n")
    git(project, "mv", "home", "start")
    commit_all(project)
    (project / "start" / "extra.py").write_text("mine")
    add_files(template, "home/extra.py")

    by_git(project)

    assert (project / "start" / "extra.py").read_text() == "mine"
    assert (project / "home" / "extra.py").read_text() == "new\n"


def test_a_project_in_a_folder_of_a_repository_is_updated_there(
    tmp_path: Path, template: Path, project: Path
) -> None:
    whole = tmp_path / "whole"
    (whole / "backend").mkdir(parents=True)
    shutil.rmtree(project / ".git")
    moved = Path(shutil.move(project, whole / "backend" / "shop"))
    (whole / "config").mkdir()
    (whole / "config" / "granian.env").write_text("another\n")
    replace(moved / "config" / "granian.env", "RESPAWN_INTERVAL=3", "RESPAWN_INTERVAL=9")
    (moved / "deploy" / "Caddyfile").unlink()
    commit_all(whole)
    renew(template)
    with (template / FOLDER / "deploy" / "Caddyfile").open("a") as file:
        file.write("# More.\n")
    git(template, "commit", "--quiet", "--all", "--message", "One more")

    said = by_git(moved, status=2)

    assert said.splitlines()[0] == "conflict: config/granian.env"
    (command,) = re.findall("changed by the template: deploy/Caddyfile; `(.*)`", said)
    assert "+# More." in git(moved, *shlex.split(command)[1:])
    assert "RESPAWN_INTERVAL=5" in (moved / "config" / "granian.env").read_text()
    assert not (moved / "config" / "gone.py").exists()
    assert "/livez" in (moved / PROBES).read_text()
    assert (whole / "config" / "granian.env").read_text() == "another\n"
    assert {path.name for path in whole.iterdir()} == {".git", "backend", "config"}


def test_work_in_the_first_commit_is_kept_without_more_ado(tmp_path: Path, template: Path) -> None:
    cruft(tmp_path, "create", str(template), "--no-input", "--extra-context", json.dumps(ANSWERS))
    project = tmp_path / "cafe-1"
    replace(project / "config" / "granian.env", "GRANIAN_WORKERS=3", "GRANIAN_WORKERS=5")
    commit_all(project)
    renew(template)

    by_git(project)

    flags = (project / "config" / "granian.env").read_text()
    assert "GRANIAN_WORKERS=5" in flags
    assert "RESPAWN_INTERVAL=5" in flags


def test_either_way_goes_on_where_the_other_ended(template: Path, project: Path) -> None:
    made_from = git(template, "rev-parse", "HEAD").strip()
    renew(template)
    git(template, "tag", "v1")
    flags = project / "config" / "granian.env"
    theirs = template / FOLDER / "config" / "granian.env"
    replace(theirs, "RESPAWN_INTERVAL=5", "RESPAWN_INTERVAL=6")
    git(template, "commit", "--quiet", "--all", "--message", "A third version")

    assert by_git(project, VERSION=made_from).startswith("nothing to update: ")
    by_git(project, VERSION="v1")
    assert "RESPAWN_INTERVAL=5" in flags.read_text()
    commit_all(project)
    kept = json.loads((project / ".cruft.json").read_text())["context"]["cookiecutter"]
    assert (kept["description"], kept["log_format"]) == (ANSWERS["description"], "json")
    assert not {"_output_dir", "_repo_dir", "_checkout"} & kept.keys()
    cruft(project, "update", "-y")
    cruft(project, "check")
    assert "RESPAWN_INTERVAL=6" in flags.read_text()
    commit_all(project)

    assert by_git(project).startswith("nothing to update: ")
    by_git(project, ANSWERS="event_loop=asyncio description='a new one'")

    assert "GRANIAN_LOOP=asyncio" in flags.read_text()
    assert 'description = "a new one"' in (project / "pyproject.toml").read_text()


def test_a_version_that_was_asked_for_stays_until_the_newest_is(
    template: Path, project: Path
) -> None:
    made_from = git(template, "rev-parse", "HEAD").strip()
    spoil(project, r'"checkout": null', f'"checkout": "{made_from}"')
    renew(template)
    git(template, "tag", "v2")
    git(template, "commit", "--quiet", "--allow-empty", "--message", "A third version")

    by_git(project, VERSION="v2")
    commit_all(project)
    said = by_git(project)

    assert said.endswith(", v2; VERSION=HEAD is the newest\n"), "not back to what it was made from"
    assert git(project, "status", "--porcelain") == ""
    by_git(project, VERSION="HEAD")
    commit_all(project)
    assert json.loads((project / ".cruft.json").read_text())["checkout"] is None
    cruft(project, "check")


def skip_in_pyproject(project: Path, table: str) -> None:
    with (project / "pyproject.toml").open("a") as file:
        file.write(f"\n{table}\n")
    commit_all(project)


@pytest.mark.parametrize("where", [".cruft.json", "pyproject.toml", "both"])
def test_what_skip_names_is_left_alone_as_by_cruft(
    template: Path, project: Path, update: Update, where: str
) -> None:
    skip = ["config/granian.env", "static", "config/go*.py", "nowhere", "[a].txt"]
    kept = {".cruft.json": skip, "pyproject.toml": [], "both": skip[:2]}[where]
    spoil(project, r"^\{", f'{{"skip": {json.dumps(kept)},')
    skip_in_pyproject(project, f"[tool.cruft]\nskip = {json.dumps(skip[len(kept) :])}")
    renew(template)

    update(project)

    changed = git(project, "diff", "HEAD", "--name-only").split()
    assert PROBES in changed
    assert not {"config/granian.env", "static/icon.svg", "config/gone.py"}.intersection(changed)
    if update.__name__ == "by_make":  # cruft writes those of pyproject.toml there, too
        assert json.loads((project / ".cruft.json").read_text())["skip"] == kept


def test_a_python_that_reads_no_toml_does_not_overlook_skip_in_pyproject(
    tmp_path: Path, template: Path, project: Path
) -> None:
    """As one before 3.11, by which the tool may run."""
    skip_in_pyproject(project, "[ tool . cruft ]\nskip = []")
    renew(template)
    (tmp_path / "sitecustomize.py").write_text("import sys; sys.modules['tomllib'] = None\n")
    tool = [sys.executable, "-B", *TOOL[2:]]

    said = by_git(project, tool=tool, status=1, PYTHONPATH=str(tmp_path))

    line = "pyproject.toml: this Python cannot read [tool.cruft]; move its `skip` to .cruft.json\n"
    assert said == f"make update: {line}"
    assert git(project, "status", "--porcelain") == ""


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_an_update_that_is_stopped_says_so_and_leaves_no_folder_behind(
    tmp_path: Path, template: Path, project: Path, how: signal.Signals
) -> None:
    renew(template)
    (tmp_path / "temporary").mkdir()
    uv = tmp_path / "uv"
    uv.write_text("#!/bin/sh\necho >rendering\nexec sleep 600\n")
    uv.chmod(0o755)
    variables = {"TMPDIR": str(tmp_path / "temporary"), "UV": str(uv)}
    with subprocess.Popen(
        TOOL, cwd=project, env=home(tmp_path) | variables, text=True, stderr=subprocess.PIPE
    ) as tool:
        try:
            deadline = time.monotonic() + PATIENCE
            while not list((tmp_path / "temporary").glob("*/old/rendering")):
                assert time.monotonic() < deadline
                time.sleep(0.05)

            tool.send_signal(how)
            _, said = tool.communicate(timeout=PATIENCE)
        finally:
            tool.kill()

    assert said == "make update: stopped; `git reset --hard` takes back what `git status` shows\n"
    assert tool.returncode == 130
    assert not list((tmp_path / "temporary").iterdir())
    assert git(project, "status", "--porcelain") == ""


def test_what_tests_start_can_be_interrupted_where_they_run_in_the_background() -> None:
    """A shell has a background job ignore SIGINT, as nohup has it ignore SIGHUP, and so would its children."""
    code = "import subprocess, tests.conftest; subprocess.run(['cat', '/proc/self/status'])"
    done = subprocess.run(
        ["sh", "-c", 'trap "" INT HUP; exec "$0" -c "$1"', sys.executable, code],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    (ignored,) = re.findall(r"^SigIgn:\s*(\w+)$", done.stdout, re.MULTILINE)
    assert int(ignored, 16) & (1 << signal.SIGINT - 1 | 1 << signal.SIGHUP - 1) == 0


def test_options_of_the_tests_are_none_of_the_tests_of_a_project(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whoever runs these with PYTEST_ADDOPTS=--durations=9 would see them in what a project's own tests print."""
    monkeypatch.setenv("PYTEST_ADDOPTS", "--durations=9")
    assert "PYTEST_ADDOPTS" not in clean_environment()


def test_a_project_made_by_cookiecutter_is_linked_as_the_page_says(
    tmp_path: Path, template: Path
) -> None:
    answers = [f"{key}={value}" for key, value in ANSWERS.items()]
    assert generate(tmp_path, *answers, template=template).returncode == 0
    project = tmp_path / "cafe-1"
    made_from = git(template, "rev-parse", "HEAD").strip()
    renew(template)
    page = (ROOT / "docs" / "updating.md").read_text()
    (command,) = re.findall(r"^    printf .*\n(?:    .*\n)*", page, re.MULTILINE)
    command = command.replace("https://github.com/org/cookiecutter-django-granian", str(template))

    assert "compare `project_slug` and `database` in it before you commit" in page
    follow(project, command.replace("THAT_COMMIT", made_from))
    kept = json.loads((project / ".cruft.json").read_text())["context"]["cookiecutter"]
    assert {"project_slug", "database"} <= kept.keys()
    commit_all(project)
    by_git(project)

    assert "RESPAWN_INTERVAL=5" in (project / "config" / "granian.env").read_text()
    cruft(project, "check")


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
    cruft(project, "update", "-y")

    assert "RESPAWN_INTERVAL=5" in (project / "config" / "granian.env").read_text()
    assert not (project / "config" / "gone.py").exists()
    assert (project / "own.txt").read_text() == "own"


CHANGELOG = (ROOT / "CHANGELOG.md").read_text()
FOR_PROJECTS = "\n### For projects already generated\n"


def releases(changelog: str) -> list[str]:
    """Those that CHANGELOG.md tells of, the newest first; it begins the next one before there is a word on it."""
    told = changelog.split("\n## ")[1:]
    return told[1:] if told[0].strip() == "Unreleased" else told


def test_the_changelog_says_what_each_release_means_for_projects() -> None:
    assert releases(CHANGELOG)
    for release in releases(CHANGELOG):
        assert FOR_PROJECTS in release, release.splitlines()[0]


def test_a_release_leaves_what_the_changelog_said_before() -> None:
    """CONTRIBUTING.md has a release give its changes a heading of their own, below a new one."""
    told = CHANGELOG.partition("\n## ")[2]
    newer = f"99.0.0 (a date)\n\n- A change.\n{FOR_PROJECTS}\n| `serving.a` | `serving.b` |\n"
    released = f"# Changelog\n\n## Unreleased\n\n## {newer}\n## {told}"
    begun = released.replace("Unreleased\n", "Unreleased\n\n- Another.\n", 1)

    assert [release.split()[0] for release in releases(released)][:1] == ["99.0.0"]
    assert [release.split()[0] for release in releases(begun)][:2] == ["Unreleased", "99.0.0"]
    assert instructions(released) == instructions(begun) == instructions()


# From the layout of commit 7d40ac0, whose projects hold `serving/` as code of their own, to packages/. The
# tests do what CHANGELOG.md says, by its own commands and its own table.

BEFORE = "7d40ac0b4a66ea088342ebf3df897e3c98f766a7"
OWNER = SITES / "owner"
OWN_PACKAGES = ('"djangorestframework>=3.18,<4",', '"hypercorn>=0.18,<1",')
LAYER_IMPORT = "from shop.layers import ShopHeader"
LAYER = "application = ShopHeader(application)"
OWN_LOGGER = '"shop.orders": { "level": "DEBUG" }'
OWN_LINES = {
    ".env.example": "SHOP_NAME=Tea",
    "config/logging.json": '"shop": { "level": "DEBUG" },',
    "config/settings.py": '    "shop",\n    "home",\n',
    "config/urls.py": 'path("shop/", include("shop.urls")),',
    "conftest.py": "def tea() -> str:",
    "Makefile": "shop: .env  ## open the shop\n\t$(MANAGE) shell\n",
    "README.md": "## Our own words",
}


def instructions(changelog: str = CHANGELOG) -> str:
    """What CHANGELOG.md says to owners of projects of the older layout: that of the first release."""
    return releases(changelog)[-1].partition(FOR_PROJECTS)[2]


def new_names() -> dict[str, str]:
    """The table of old names and new ones, the most special first."""
    rows = re.findall(r"^\| `([\w.]+)` \| `([\w.]+)` \|$", instructions(), re.MULTILINE)
    assert len(rows) > 10
    return dict(sorted(rows, reverse=True))


def with_new_names(text: str) -> str:
    """A module of an owner's, after he replaced the names of the table."""
    for old, new in new_names().items():
        text = re.sub(rf"\b{re.escape(old)}\b", new, text)
        module, name, new_module = (
            old.rpartition(".")[0],
            old.rpartition(".")[2],
            new.rpartition(".")[0],
        )
        text = text.replace(
            f"from {module} import {name}\n", f"from {new_module} import {new.rpartition('.')[2]}\n"
        )
    return text


@pytest.fixture
def history(tmp_path: Path) -> Path:
    """A repository with this one's history, at the commit whose layout was the older one."""
    if subprocess.run(["git", "cat-file", "-e", BEFORE], cwd=ROOT, check=False).returncode:
        pytest.skip(f"no commit {BEFORE[:7]} in this clone: `git fetch --unshallow` gets it")
    folder = tmp_path / "cookiecutter-django-granian"
    git(tmp_path, "clone", "--quiet", "--shared", "--no-checkout", str(ROOT), str(folder))
    git(folder, "checkout", "--quiet", "-B", "main", BEFORE)
    return folder


def release_this(history: Path) -> None:
    """Commits the template of this working tree on top."""
    git(history, "rm", "-r", "--quiet", ".")
    working_tree(history)
    git(history, "add", "--all", "--force")
    git(history, "commit", "--quiet", "--message", "The template")


def releases_of(repository: Path) -> list[str]:
    """The tags of releases, as git has them."""
    return git(repository, "tag", "--list", "--sort=version:refname", "v[0-9]*").split()


def test_each_release_is_one_that_projects_are_updated_from(tmp_path: Path) -> None:
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "commit", "--quiet", "--allow-empty", "--message", "A version")
    assert releases_of(tmp_path) == []
    for tag in ("v1.10.0", "v1.9.0", "vendor-import", "draft"):
        git(tmp_path, "tag", tag)

    assert releases_of(tmp_path) == ["v1.9.0", "v1.10.0"]


@pytest.mark.parametrize("version", [BEFORE, *releases_of(ROOT)])
def test_a_project_of_each_release_becomes_one_of_this_version(
    tmp_path: Path, history: Path, version: str
) -> None:
    """By either way, with a line of its own."""
    git(history, "checkout", "--quiet", "-B", "main", version)
    cruft(tmp_path, "create", str(history), "--no-input")
    project = tmp_path / "my-project"
    commit_all(project)
    line = '    "home",\n'
    replace(project / "config" / "settings.py", line, f'    "shop",\n{line}')
    commit_all(project)
    other = tmp_path / "by-git" / "my-project"
    shutil.copytree(project, other, symlinks=True)
    release_this(history)

    cruft(project, "update", "-y")
    by_git(other, tool=None if "\nupdate:" in (other / "Makefile").read_text() else TOOL)

    kept = json.loads((project / ".cruft.json").read_text())["context"]["cookiecutter"]
    answers = [f"{key}={kept[key]}" for key in questions()]
    fresh = tmp_path / "fresh" / "my-project"
    fresh.parent.mkdir()
    assert generate(fresh.parent, *answers, template=history).returncode == 0
    replace(fresh / "config" / "settings.py", line, f'    "shop",\n{line}')
    assert contents(project) == contents(other) == contents(fresh)


def do_an_owners_work(project: Path, *, beside: bool) -> None:
    """An app, its tests, and the lines that it needs where the template has its own.

    `beside`: some stand beside lines that the update changes, which git cannot merge.
    """
    shutil.copytree(OWNER / "shop", project / "shop", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(OWNER / "tests" / "test_shop.py", project / "tests")
    config = project / "config"
    replace(config / "settings.py", '    "home",\n', '    "shop",\n    "home",\n')
    own = 'SHOP_NAME = env.str("SHOP_NAME", "Tea", validate=validate.Length(min=1))\n'
    replace(config / "settings.py", "# Language and time\n", f"{own}\n# Language and time\n")
    first = '    path("", include("home.urls")),\n'
    replace(config / "urls.py", first, f'    path("shop/", include("shop.urls")),\n{first}')
    replace(
        config / "logging.json",
        '    "httpcore"',
        '    "shop": { "level": "DEBUG" },\n    "httpcore"',
    )
    shutil.copy(config / "logging.json", config / "shop_logging.json")
    if beside:
        last = "from serving.logs import thread_failed, unraisable\n"
        replace(config / "asgi.py", last, f"{last}{LAYER_IMPORT}\n")
        with (config / "asgi.py").open("a") as file:
            file.write(f"\n{LAYER}\n")
        last = '"py.warnings": {}'
        replace(config / "logging.json", last, f"{last},\n    {OWN_LOGGER}")
    replace(project / ".dockerignore", "!serving\n", "!serving\n!shop\n")
    replace(project / "README.md", "## What is where\n", "## Our own words\n\n## What is where\n")
    first, second = OWN_PACKAGES
    packages = project / "pyproject.toml"
    replace(packages, '    "environs', f'    {first}\n    "environs')
    replace(packages, '    "orjson', f'    {second}\n    "orjson')
    for name, text in {
        ".env.example": "\n# What the shop is called.\nSHOP_NAME=Tea\n",
        "Makefile": "\n.PHONY: shop\nshop: .env  ## open the shop\n\t$(MANAGE) shell\n",
        "tests/conftest.py": '\n\n@pytest.fixture\ndef tea() -> str:\n    return "tea"\n',
        "serving/probes.py": "\n# A patch that nobody needs any more.\n",
        "tests/test_lifespan.py": "\n\ndef test_of_the_owners() -> None: ...\n",
    }.items():
        with (project / name).open("a") as file:
            file.write(text)


def follow(project: Path, command: str) -> None:
    """Runs commands of CHANGELOG.md as an owner does, who has nothing to answer."""
    done = subprocess.run(
        ["sh", "-e", "-c", command],
        cwd=project, env=home(project.parent), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"


def update_by_the_changelog(project: Path, *, way: str = "cruft") -> None:
    told = instructions()
    before, after = re.findall(r"^```sh\n(.*?)^```$", told, re.MULTILINE | re.DOTALL)
    before, updates, rest = before.rpartition("cruft update -y\n")
    assert (updates, rest) == ("cruft update -y\n", "")
    if way == "cruft":
        follow(project, before + updates)
    else:  # git sees the files as they were generated without being shown them
        follow(project, "".join(line for line in before.splitlines(True) if "cruft" not in line))
        by_git(project, tool=TOOL, status=1)

    assert not list(project.rglob("*.rej")), "cruft has merged nothing"
    removed = git(project, "diff", "--cached", "--find-renames", "--diff-filter=D", "--name-only")
    assert not removed, "the text has an owner remove each file that goes, before git merges"
    unmerged = git(project, "diff", "--name-only", "--diff-filter=U").split()
    assert set(unmerged) <= set(re.findall(r"^- `(\S+)`: ", told, re.MULTILINE)), (
        "the text names each"
    )
    theirs = dict(re.findall(r"`(git checkout --theirs (\S+))`", told))
    for command, name in theirs.items():
        if name in unmerged:
            follow(project, command)
    for name in {"config/asgi.py", "config/logging.json"} & set(unmerged):
        write_own_lines_again(project, name)
    packages = project / "pyproject.toml"
    conflict = re.compile(
        r"^<<<<<<< .*?\n(.*?)^=======\n(.*?)^>>>>>>> .*?\n", re.MULTILINE | re.DOTALL
    )
    packages.write_text(
        conflict.sub(lambda found: own_packages(found[1]) + found[2], packages.read_text())
    )
    addresses = project / "config" / "urls.py"
    addresses.write_text(conflict.sub(r"\1\2", addresses.read_text()))
    targets = project / "Makefile"
    targets.write_text(
        conflict.sub(lambda found: found[2] + found[1].partition("\n")[2], targets.read_text())
    )
    own = [project / "tests" / "test_shop.py", project / "config" / "shop_logging.json"]
    for path in [*(project / "shop").rglob("*.py"), *own]:
        path.write_text(with_new_names(path.read_text()))
    commit_all(project)
    assert (
        after == "make lock setup format lint test\n"
    )  # what the rest of the test does, in one environment


def write_own_lines_again(project: Path, name: str) -> None:
    """As an owner does by the text, who sees them by its command."""
    (show,) = re.findall(r"`(git diff :1:FILE :2:FILE)`", instructions())
    changed = git(project, *show.replace("FILE", name).split()[1:])
    own = re.findall(r"^\+(?!\+\+ ) *(\S.*)$", changed, re.MULTILINE)
    path = project / name
    if name == "config/asgi.py":
        assert own == [LAYER_IMPORT, LAYER]
        last = "from serving.application import get_application\n"
        replace(path, last, f"{last}{LAYER_IMPORT}\n")
        path.write_text(f"{path.read_text()}\n{LAYER}\n")
    else:
        assert own == ['"shop": { "level": "DEBUG" },', '"py.warnings": {},', OWN_LOGGER]
        replace(path, '    "httpcore"', f'    {own[0]}\n    {OWN_LOGGER},\n    "httpcore"')


def own_packages(lines: str) -> str:
    return "".join(f"{line}\n" for line in lines.splitlines() if line.strip() in OWN_PACKAGES)


def work_in_the_older_layout(folder: Path, history: Path, *, first: bool, **answers: str) -> Path:
    """A project of the older layout, with an owner's work; `first`: in the first commit, or in the second."""
    cruft(folder, "create", str(history), "--no-input", "--extra-context", json.dumps(answers))
    project = folder / "my-project"
    if not first:
        commit_all(project)
    do_an_owners_work(project, beside=not first)
    commit_all(project)
    release_this(history)
    return project


def assert_all_is_moved_and_kept(project: Path) -> None:
    assert not (project / "serving").exists()
    for name, line in OWN_LINES.items():
        assert line in (project / name).read_text(), name
    assert all(line in (project / "pyproject.toml").read_text() for line in OWN_PACKAGES)
    assert "!shop" not in (project / ".dockerignore").read_text()
    assert json.loads((project / "config" / "logging.json").read_bytes())["loggers"]["shop"]
    texts = [path.read_bytes() for name, path in files(project) if not name.startswith(".git/")]
    assert not [text for text in texts if b"<<<<<<<" in text or b">>>>>>>" in text]
    cruft(project, "check")


@pytest.mark.parametrize("way", ["cruft", "git"])
def test_work_in_the_first_commit_moves_to_packages_as_well(
    tmp_path: Path, history: Path, way: str
) -> None:
    """git never saw the files as they were generated, and could not merge them by itself."""
    project = work_in_the_older_layout(tmp_path, history, first=True)

    update_by_the_changelog(project, way=way)

    assert_all_is_moved_and_kept(project)


@pytest.mark.parametrize(
    "answers", [{}, {"database": "postgres", "cache": "valkey"}], ids=["default", "services"]
)
def test_a_project_of_the_older_layout_moves_to_packages(
    tmp_path: Path,
    history: Path,
    run: Run,
    serve: Serve,
    request: pytest.FixtureRequest,
    answers: dict[str, str],
) -> None:
    project = work_in_the_older_layout(tmp_path, history, first=False, **answers)

    update_by_the_changelog(project)

    assert_all_is_moved_and_kept(project)

    # As CHANGELOG says of mypy.
    shop = project / "tests" / "test_shop.py"
    shop.write_text(shop.read_text().replace("  # type: ignore[import-untyped]", ""))

    # make format lint test
    run(project, "ruff", "check", "--no-cache", "--fix")
    run(project, "ruff", "format", "--no-cache")
    run(project, "ruff", "check", "--no-cache")
    check_types(project, questions()["python_version"][0], run)
    services: dict[str, str] = {}
    if answers:
        services["DATABASE_URL"] = request.getfixturevalue("postgres").url()
        services["CACHE_URL"] = request.getfixturevalue("valkey").url
    assert "4 passed" in run(project, "pytest", "tests/test_shop.py", **services).stdout
    run(project, "pytest", **services)

    # make run
    variables = server_environment(project) | services
    for command in (["migrate", "--verbosity", "0"], ["collectstatic", "--noinput", "-v", "0"]):
        run(project, "python", "manage.py", *command, **variables)
    log = {"GRANIAN_LOG_CONFIG": "config/shop_logging.json"}  # a copy of the older one
    server = serve(project, **services, **log).ready()
    assert server.get("/").status_code == server.get("/readyz").status_code == 200
    assert server.get("/").headers["X-Shop"] == "tea", "the owner's own layer"
    price = server.get("/shop/price/", headers={"X-Request-ID": "order-7"}).json()
    assert price == {"shop": "Tea", "price": 3, "id": "order-7"}
    server.wait_for_log("asked for the price by order-7")
    with httpx.stream("GET", f"{server.address}/shop/ticks/") as ticks:
        lines: Iterator[Any] = ticks.iter_lines()
        assert next(lines) == "3"
        server.signal()
        assert set(lines) <= {"3"}, "the stream ends when the server is to stop"
    assert server.wait() == 0


def older_files() -> dict[str, str]:
    """The files of a project, as they stood at the older layout."""
    listed = subprocess.run(
        ["git", "ls-tree", "-r", "--name-only", BEFORE, "--", FOLDER],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if listed.returncode:
        pytest.skip(f"no commit {BEFORE[:7]} in this clone: `git fetch --unshallow` gets it")
    return {
        name.removeprefix(f"{FOLDER}/"): git(ROOT, "show", f"{BEFORE}:{name}")
        for name in listed.stdout.splitlines()
    }


def held_names(files: dict[str, str]) -> set[str]:
    """What the files outside of `serving/` took from it, as an owner's own files may."""
    modules = {Path(name).stem for name in files if name.startswith("serving/")}
    held = set()
    for text in (text for name, text in files.items() if not name.startswith("serving/")):
        held |= set(re.findall(r"\bserving(?:\.\w+)+", text))
        for module, listed in re.findall(r"from (serving[\w.]*) import (\([^)]*\)|[^\n(]+)", text):
            names = re.findall(r"\w+", re.sub("#.*", "", listed))
            if module != "serving":
                held |= {f"{module}.{name}" for name in names}
                continue
            for name in modules.intersection(names):
                held |= {f"serving.{name}.{used}" for used in re.findall(rf"\b{name}\.(\w+)", text)}
        held |= set(re.findall(r"\bstopping\.\w+", text))
    own = {name for name in held if name.split(".")[1] in modules or name.startswith("stopping.")}
    return {name for name in own if not name.endswith(".as")}  # of `import ... as ...`


def is_there_now(name: str) -> bool:
    """Whether a name of the older layout is there, by the name that the table gives it."""
    new = with_new_names(name)
    if new.startswith("stopping."):
        return is_there(new.replace("stopping", "serving.stopping.signals.Stopping"))
    return is_there(new)


def test_the_changelog_tells_of_every_name_that_an_owner_may_hold() -> None:
    held = held_names(older_files())
    assert {"serving.logs.GranianErrorFilter", "serving.logs.parse_levels"} <= held
    told = instructions()
    in_parts = {name.rpartition(".")[0] for name in new_names()}  # modules, a row for each part

    lost = {name for name in held - in_parts if not is_there_now(name)}

    assert {name for name in lost if f"`{name}`" not in told} == set()


def test_the_changelog_tells_of_every_argument_that_has_gone() -> None:
    """Those by which an owner's config/asgi.py and tests call what serves the project."""
    told = instructions()
    calls = {
        (call.func.id, keyword.arg)
        for name, text in older_files().items()
        if name == "config/asgi.py" or (name.startswith("tests/") and "{%" not in text)
        for call in ast.walk(ast.parse(text))
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name)
        for keyword in call.keywords
        if call.func.id in {"Drain", "Lifespan", "Probes", "RequestId"}
    }
    assert ("Probes", "lifespan_required") in calls

    gone = {(name, key) for name, key in calls if key not in parameters(name)}

    assert not [
        (name, key) for name, key in gone if not re.search(rf"`{name}\([^`]*\b{key}=", told)
    ]


def test_the_changelogs_table_is_true() -> None:
    """Its left column stood in 7d40ac0, its right one stands here: modules, and names in them."""
    modules = {Path(name).stem for name in older_files() if name.startswith("serving/")}
    for old, new in new_names().items():
        if old.startswith("request."):
            continue
        assert old.startswith("stopping.") or old.split(".")[1] in modules, (
            f"{BEFORE[:7]} has no {old}"
        )
        assert is_there_now(old), f"CHANGELOG.md names {new}, which is not there"
