"""docs/lifespan-recipes.md, copied into a project as an owner copies it: typed, linted and served."""

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from tests.conftest import ROOT, Run, Serve
from tests.support import readme
from tests.support.server import answering_with, wait_for
from tests.support.services import Valkey
from tests.support.sites import put_site

PAGE = ROOT / "docs" / "lifespan-recipes.md"
APPS = ["weather", "ranking", "labels", "rates"]


class Other(BaseHTTPRequestHandler):
    """What stands at https://weather.example and https://rates.example; it fails at first."""

    asked = 0

    def do_GET(self) -> None:
        Other.asked += 1
        body = b"no" if Other.asked == 1 else json.dumps({"path": len(self.path)}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002
        """Says nothing."""


@pytest.fixture
def other() -> Iterator[str]:
    """The address of a server that answers as the page's do."""
    Other.asked = 0
    with answering_with(Other) as address:
        yield address


@pytest.fixture
def project(project: Path) -> Path:
    """A project with the page's apps, and views that show what they have opened."""
    for _, name, text in readme.files(PAGE):
        file = project / name
        file.parent.mkdir()
        (file.parent / "__init__.py").touch()
        file.write_text(text.partition("\n")[2])
    (project / "labels" / "model.json").write_text('{"oolong": "tea"}')
    put_site(project, "recipes")
    settings = project / "config" / "settings.py"
    apps = "".join(f'    "{app}",\n' for app in APPS)
    settings.write_text(
        settings.read_text().replace("INSTALLED_APPS = [\n", f"INSTALLED_APPS = [\n{apps}", 1)
    )
    return project


def test_each_is_formatted_linted_and_typed(project: Path, run: Run, tmp_path: Path) -> None:
    assert [name for _, name, _ in readme.files(PAGE)] == [f"{app}/lifespan.py" for app in APPS]
    run(project, "ruff", "check", "--no-cache", *APPS)
    run(project, "ruff", "format", "--check", "--no-cache", *APPS)
    run(project, "mypy", "--cache-dir", str(tmp_path / "mypy"), *APPS)


def test_each_opens_what_views_use_and_closes_it(
    project: Path, serve: Serve, other: str, valkey: Valkey
) -> None:
    for app in ("weather", "rates"):
        file = project / app / "lifespan.py"
        text = file.read_text().replace(f"https://{app}.example", other)
        file.write_text(text.replace("sleep(60)", "sleep(0.1)"))
    server = serve(project, RANKING_URL=valkey.url, SECURE_SSL_REDIRECT="false").ready()
    assert server.get("/ranking/").json() == {"seen": 1}
    assert server.get("/ranking/").json() == {"seen": 2}
    assert server.get("/labels/").json() == {"oolong": "tea"}
    wait_for(lambda: server.get("/rates/").json() == {"path": len("/rates")}, "rates")
    assert server.get("/weather/").json() == {"path": len("/today")}
    assert any("stay as they are" in said for said in server.messages("rates.lifespan"))
    assert server.stop() == 0
    assert not server.killed_a_worker
    assert "ERROR" not in server.log


def test_a_pool_whose_server_is_gone_ends_the_start(
    project: Path, serve: Serve, other: str
) -> None:
    server = serve(project, RANKING_URL="redis://127.0.0.1:1/0")
    assert server.process.wait(60) == 1
    assert "startup failed: ranking: ConnectionError" in server.log
