"""The example app is an owner's to change, rename and remove: the tests of serving do without it."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.conftest import Bake, Run, Serve
from tests.support.server import server_environment
from tests.support.sites import SITES


def change(path: Path, *replacements: tuple[str, str]) -> None:
    text = path.read_text()
    for old, new in replacements:
        assert old in text, f"{path}: no {old!r}"
        text = text.replace(old, new)
    path.write_text(text)


def assert_green(project: Path, run: Run) -> None:
    """As `make test` asks, and the half of `make lint` that is quick."""
    done = run(project, "pytest", "-p", "no:cacheprovider")
    assert re.search(r"\d+ passed", done.stdout)
    assert "failed" not in done.stdout
    run(project, "ruff", "check", "--no-cache")


def remove(project: Path) -> None:
    """Does what README.md says."""
    readme = (project / "README.md").read_text()
    (command,) = re.findall("^    (rm -r home .*)$", readme, re.MULTILINE)
    subprocess.run(command, shell=True, cwd=project, check=True)  # noqa: S602


def add_shop(project: Path) -> None:
    """Adds an app with a lifespan of its own, whose names sort before and behind the example's."""
    shop = project / "shop"
    shop.mkdir()
    (shop / "__init__.py").write_text("")
    shutil.copy(SITES / "lifespans" / "yields.py", shop / "lifespan.py")
    change(
        project / "config" / "settings.py",
        ("INSTALLED_APPS = [\n", 'INSTALLED_APPS = [\n    "shop",\n'),
    )


def test_its_lifespan_yields_more(bake: Bake, run: Run) -> None:
    project = bake()
    change(
        project / "home" / "lifespan.py",
        ('yield {"started_at"', 'yield {"client": "c", "zebra": "z", "started_at"'),
    )
    assert_green(project, run)


def test_an_app_of_the_owners_has_one_too(bake: Bake, run: Run) -> None:
    project = bake()
    add_shop(project)
    assert_green(project, run)


def test_it_is_renamed(bake: Bake, run: Run) -> None:
    project = bake()
    app = project / "catalogue"
    (project / "home").rename(app)
    for kind in ("templates", "static"):
        (app / kind / "home").rename(app / kind / "catalogue")
    for path in [*app.rglob("*.py"), *app.rglob("*.html"), *(project / "tests").glob("*.py")]:
        text = re.sub(r"\b(import|from) home\b", r"\1 catalogue", path.read_text())
        path.write_text(re.sub(r"\bhome(?=[:/\"])", "catalogue", text))
    change(app / "apps.py", ("HomeConfig", "CatalogueConfig"))
    change(project / "config" / "settings.py", ('"home"', '"catalogue"'))
    change(project / "config" / "urls.py", ("home.urls", "catalogue.urls"))
    run(project, "ruff", "check", "--fix", "--no-cache")
    assert_green(project, run)


@pytest.mark.parametrize("answers", [{}, {"cache": "valkey"}], ids=["default", "valkey"])
def test_it_is_removed(bake: Bake, run: Run, answers: dict[str, str]) -> None:
    project = bake(**answers)
    remove(project)
    assert_green(project, run)
    assert not list(project.glob("config/*.old"))
    found = [
        f"{path.relative_to(project)}: {line}"
        for path in [*project.rglob("*.py"), project / "pyproject.toml"]
        for line in path.read_text().splitlines()
        if re.search(r"^\s*(from|import) home\b|include\(.home|^    .home.,$", line)
    ]
    assert found == []


def test_it_is_removed_and_another_stands_in_its_place(bake: Bake, run: Run) -> None:
    project = bake()
    remove(project)
    add_shop(project)
    assert_green(project, run)


OWN_BASE = """\
<!doctype html>
<title>{% block title %}{% endblock %} of ours</title>
{% block head %}{% endblock %}
<aside>Ours</aside>
{% block main %}<h1>{% block heading %}{% endblock %}</h1>{% block text %}{% endblock %}{% endblock %}
"""


def test_a_base_of_the_owners_own_carries_every_page(bake: Bake, run: Run, serve: Serve) -> None:
    project = bake()
    readme = (project / "README.md").read_text()
    for block in re.findall(r"block (\w+) %", OWN_BASE):
        assert f"`{block}`" in readme
    (project / "templates" / "base.html").write_text(OWN_BASE)
    run(project, "python", "-m", "serving_tools.new_app", NAME="shop")
    for command in ("migrate", "collectstatic --noinput"):
        run(project, "python", "manage.py", *command.split(), **server_environment(project))
    server = serve(project, SECURE_SSL_REDIRECT="false").ready()
    for path, shown in {
        "/": "<h1>My Project</h1>", "/shop/": "This is shop.", "/nowhere/": "<h1>Not found</h1>",
        "/accounts/login/": "<h1>Log in</h1>", "/accounts/password_reset/": 'type="email"',
    }.items():  # fmt: skip
        page = server.get(path).text
        assert "<aside>Ours</aside>" in page, path
        assert shown in page, path
    assert_green(project, run)
