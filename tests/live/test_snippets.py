"""The Python that the pages show, copied into a project as an owner copies it: typed, linted and served.

tests/live/test_package.py does the same with the README of packages/django-serving.
"""

import json
import re
import subprocess
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import httpx
import pytest

from tests.conftest import ROOT, TEMPLATE, Run, Serve, add_ada, bake_into
from tests.live import test_celery, test_csp, test_logins, test_recipes, test_tasks, test_uploads
from tests.support import readme
from tests.support.server import PATIENCE, Server, answering_with, server_environment
from tests.support.sites import SITES

LIFESPAN = ROOT / "docs" / "lifespan.md"
TESTING = ROOT / "docs" / "testing.md"
VIEWS = ROOT / "docs" / "views.md"
PAGES = [ROOT / "README.md", TEMPLATE / "README.md", LIFESPAN, VIEWS]
pages = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))

# What the pages take for granted: a model, addresses, and the app's line in the settings.
MODELS = SITES / "prices.py"
ADDRESSES = {
    "shop/views.py": ('path("stock/", views.stock)', "views"),
    "shop/ticks.py": ('path("ticks/", ticks.ticks)', "ticks"),
    "shop/prices.py": ('path("prices/", prices.prices)', "prices"),
    "shop/people.py": ('path("people/<name>/", people.person)', "people"),
}


class Stock(BaseHTTPRequestHandler):
    """What stands at https://stock.example."""

    def do_GET(self) -> None:
        body = json.dumps({"path": self.path, "tins": 3}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002
        """Says nothing."""


@pytest.fixture(scope="module")
def stock() -> Iterator[str]:
    """The address of a server that answers as the pages' does."""
    with answering_with(Stock) as address:
        yield address


def copied(folder: Path, page: Path, stock: str = "https://stock.example") -> Path:
    """A project with a page's files in it."""
    project = bake_into(folder)
    written = {"shop/models.py": MODELS.read_text()}
    for _, name, text in readme.files(page):
        assert name not in written, f"{page.name} shows {name} twice"
        written[name] = text.partition("\n")[2].replace("https://stock.example", stock)
    shown = [ADDRESSES[name] for name in written if name in ADDRESSES]
    modules = ", ".join(sorted(module for _, module in shown))
    patterns = "".join(f"    {pattern},\n" for pattern, _ in shown)
    written["shop/urls.py"] = (
        "from django.urls import path\n\n"
        f"from shop import {modules}\n\nurlpatterns = [\n{patterns}]\n"
    )
    written["shop/__init__.py"] = written["shop/migrations/__init__.py"] = ""
    for name, text in written.items():
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        (project / name).write_text(text)
    settings = project / "config" / "settings.py"
    settings.write_text(settings.read_text().replace('"home",\n', '"home",\n    "shop",\n', 1))
    urls = project / "config" / "urls.py"
    line = '    path("shop/", include("shop.urls")),\n'
    urls.write_text(urls.read_text().replace("urlpatterns = [\n", f"urlpatterns = [\n{line}", 1))
    return project


def served(folder: Path, page: Path, stock: str, run: Run, serve: Serve) -> Server:
    """The server of a project with a page's files in it, and with a user and a price."""
    project = copied(folder, page, stock)
    variables = server_environment(project)
    run(project, "python", "manage.py", "makemigrations", "shop", **variables)
    add_ada(project, run)
    make = "from shop.models import Price; Price.objects.create(name='Grüner Tee')"
    run(project, "python", "manage.py", "shell", "--command", make, **variables)
    run(project, "python", "manage.py", "collectstatic", "--noinput", "-v", "0", **variables)
    return serve(project).ready()


def first_line(server: Server, path: str) -> str:
    """The first line of a response that does not end."""
    address = server.address + path
    with httpx.stream("GET", address, timeout=PATIENCE, verify=False) as answer:  # noqa: S501
        assert answer.status_code == 200
        return next(line for line in answer.iter_lines() if line)


def test_every_block_of_python_is_on_a_page_that_a_test_follows() -> None:
    listed = subprocess.run(
        ["git", "ls-files", "-z", "*.md"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    found = {ROOT / name for name in listed.split("\0") if name}
    fence = re.compile(r"^\s*(```+|~~~+)\s*(python|py|pycon)\b", re.MULTILINE | re.IGNORECASE)
    indented = re.compile(
        r"^    (from [\w.]+ import |import \w+$|async def |def |class |with |@)", re.MULTILINE
    )
    with_python = set()
    for page in found:
        text = page.read_text()
        assert not indented.search(re.sub(r"```.*?```", "", text, flags=re.DOTALL)), (
            f"{page.relative_to(ROOT)} shows Python without a fence"
        )
        if fence.search(text):
            with_python.add(page)
    modules = (test_celery, test_csp, test_logins, test_recipes, test_tasks, test_uploads)
    followed = {*(module.PAGE for module in modules), test_uploads.REPLACING, TESTING}
    assert with_python == {*PAGES, readme.README, *followed}
    for page in with_python - {test_csp.PAGE}:  # whose blocks are added to files of the project
        assert len(fence.findall(page.read_text())) == len(readme.files(page))


@pages
def test_what_a_page_shows_is_formatted_linted_and_typed(
    tmp_path: Path, run: Run, page: Path
) -> None:
    project = copied(tmp_path, page)
    run(project, "ruff", "check", "--no-cache", "shop")
    run(project, "ruff", "format", "--check", "--no-cache", "shop")
    run(project, "mypy", "--cache-dir", str(tmp_path / "mypy"), "shop")


@pytest.mark.parametrize(
    "page", [page for page in PAGES if page != VIEWS], ids=lambda page: str(page.relative_to(ROOT))
)
def test_a_view_asks_the_client_that_a_lifespan_opened(
    tmp_path: Path, run: Run, serve: Serve, stock: str, page: Path
) -> None:
    server = served(tmp_path, page, stock, run, serve)
    assert server.get("/shop/stock/").json() == {"path": "/tea", "tins": 3}


def test_the_page_on_lifespans_opens_them_outside_a_server_and_ticks(
    tmp_path: Path, run: Run, serve: Serve, stock: str
) -> None:
    server = served(tmp_path, LIFESPAN, stock, run, serve)
    assert first_line(server, "/shop/ticks/") == "data: tick"
    ask = (
        "import asyncio; from shop.restock import restock, restock_from_sync_code;"
        "restock_from_sync_code(); asyncio.run(restock()); print('restocked')"
    )
    project = tmp_path / "my-project"
    done = run(
        project, "python", "manage.py", "shell", "--command", ask, **server_environment(project)
    )
    assert "restocked" in done.stdout


def test_the_page_on_views_streams_prices_and_shows_a_person(
    tmp_path: Path, run: Run, serve: Serve, stock: str
) -> None:
    server = served(tmp_path, VIEWS, stock, run, serve)
    assert first_line(server, "/shop/prices/") == "data: Grüner Tee"
    assert server.get("/shop/people/ada/").json() == {"name": "", "groups": []}


def test_the_page_on_testing_tests_the_app_of_the_page_on_lifespans(
    tmp_path: Path, run: Run
) -> None:
    project = copied(tmp_path, LIFESPAN)
    ((_, name, text),) = readme.files(TESTING)
    (project / name).write_text(text.partition("\n")[2])
    run(project, "python", "manage.py", "makemigrations", "shop", **server_environment(project))
    done = run(project, "pytest", "-p", "no:cacheprovider", name)
    assert "3 passed" in done.stdout
    # Django's own runner knows Django's classes alone.
    done = run(project, "python", "manage.py", "test", "shop", **server_environment(project))
    assert "Ran 1 test" in done.stderr
    run(project, "ruff", "check", "--no-cache", name)
    run(project, "ruff", "format", "--check", "--no-cache", name)
    run(project, "mypy", "--cache-dir", str(tmp_path / "mypy"), name)
