"""From SQLite to PostgreSQL by docs/updating.md: the code by cruft, and every row by its commands."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.conftest import ROOT, clean_environment
from tests.support.command import UV, git, home, template_repository
from tests.support.services import Postgres
from tests.support.sites import SITES, program

PAGE = ROOT / "docs" / "updating.md"


def told() -> list[str]:
    """The blocks of commands that the page gives for it, in their order."""
    section = (
        PAGE.read_text().partition("\n## From SQLite to PostgreSQL\n")[2].partition("\n## ")[0]
    )
    blocks = re.findall(r"^```sh\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)
    assert len(blocks) == 2
    return list(blocks)


class Owner:
    """Somebody who works on a project; its environment is that of the tests."""

    def __init__(self, folder: Path, environment: Path) -> None:
        self.folder = folder
        self.project = folder / "my-project"
        bin_folder = folder / "bin"
        bin_folder.mkdir()
        (bin_folder / "uv").symlink_to(UV)
        self.variables = home(folder) | {
            "PATH": f"{bin_folder}:{home(folder)['PATH']}",
            "HOME": clean_environment()["HOME"],  # uv's cache
            "UV_PROJECT_ENVIRONMENT": str(environment),
            "UV_NO_SYNC": "1",
        }

    def does(self, command: str, *, check: bool = True) -> str:
        """What a line in a shell prints, on both streams."""
        done = subprocess.run(
            ["sh", "-e", "-c", command], cwd=self.project, env=self.variables, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
        )  # fmt: skip
        assert not check or done.returncode == 0, done.stdout
        return done.stdout

    def runs(self, name: str) -> str:
        """What a program of tests/sites/programs/ prints, run by the project's shell."""
        file = self.folder / f"{name}.py"
        file.write_text(program(name))
        return self.does(f"uv run python manage.py shell --no-imports < {file}")


@pytest.fixture
def owner(tmp_path: Path, environment: Path) -> Owner:
    """Of a project with SQLite, made by cruft, that has an app and rows."""
    template = tmp_path / "template"
    template.mkdir()
    template_repository(template)
    owner = Owner(tmp_path, environment)
    subprocess.run(
        ["cruft", "create", template, "--no-input"],
        cwd=tmp_path, env=owner.variables, check=True, capture_output=True,
    )  # fmt: skip
    shutil.copytree(
        SITES / "moving", owner.project / "moving", ignore=shutil.ignore_patterns("__pycache__")
    )
    settings = owner.project / "config" / "settings.py"
    settings.write_text(settings.read_text().replace('"home",\n', '"home",\n    "moving",\n', 1))
    owner.does("make .env && uv run python manage.py makemigrations moving && make migrate")
    git(owner.project, "init", "--quiet")
    git(owner.project, "add", "--all")
    git(owner.project, "commit", "--quiet", "--message", "Work")
    return owner


def test_every_row_moves_by_the_commands_of_the_page(owner: Owner, postgres: Postgres) -> None:
    before, after = told()
    assert owner.runs("moving_fill") == ""
    rows = json.loads(owner.runs("moving_show").splitlines()[-1])
    assert len(rows["moving.Tea"]) == 2

    owner.does(before)

    dump = owner.project / "backups" / "moving.yaml"
    assert dump.stat().st_mode & 0o077 == 0, "it holds what the database holds"
    assert (owner.project / "data" / "postgres.py").exists()
    refused = owner.does("make migrate", check=False)
    wanted = (
        "DATABASE_URL: It is SQLite's, and this project's database is PostgreSQL. .env.example has"
        " postgres://my_project:${POSTGRES_PASSWORD}@127.0.0.1:${POSTGRES_PORT}/my_project, with"
        " POSTGRES_PASSWORD and POSTGRES_PORT, which .env lacks: copy these lines."
    )
    assert wanted in refused
    assert wanted.rpartition(", with ")[2] in owner.does("make doctor", check=False)

    copy_the_lines(owner.project, postgres)
    postgres.query("DROP DATABASE IF EXISTS moved")
    postgres.query("CREATE DATABASE moved")
    try:
        # What is installed is that of the tests, and what is locked is no matter here.
        owner.does(after.replace("make lock setup", "make migrate"))

        assert json.loads(owner.runs("moving_show").splitlines()[-1]) == rows
        ask = (
            "from accounts.models import User; from django.contrib.auth import authenticate;"
            "ada = User.objects.get(username='ada');"
            "print(authenticate(username='zoë', password='öffne dich'), ada.has_perm('moving.add_order'),"
            " ada.has_perm('admin.view_logentry'), User.objects.create(username='next').pk > ada.pk)"
        )
        said = owner.does(f'uv run python manage.py shell --no-imports -c "{ask}"')
        assert said.splitlines()[-1] == "zoë True True True"
    finally:
        postgres.query("DROP DATABASE moved WITH (FORCE)")


def copy_the_lines(project: Path, postgres: Postgres) -> None:
    """Does what the refusal says; the address is that of the tests' server."""
    example = (project / ".env.example").read_text()
    env = (project / ".env").read_text()
    for name in ("POSTGRES_PASSWORD", "POSTGRES_PORT", "DATABASE_URL"):
        assert re.search(rf"^{name}=", example, re.MULTILINE), name
    url = f"DATABASE_URL='{postgres.url('moved')}'"
    (project / ".env").write_text(
        re.sub("^DATABASE_URL=.*$", lambda _: url, env, flags=re.MULTILINE)
    )
