"""The recipe of docs/celery.md for those who have Celery: its own worker, on a real Valkey."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT, Bake, Serve, clean_environment, made_environment, with_packages
from tests.support import readme
from tests.support.server import Server
from tests.support.services import Valkey

PAGE = ROOT / "docs" / "celery.md"


@pytest.fixture(scope="session")
def celery(widest_project: Path) -> Path:
    """An environment with Celery."""
    return made_environment("celery", widest_project, "celery")


@pytest.fixture
def project(bake: Bake) -> Path:
    """A project with what the page shows, copied as an owner copies it."""
    project = bake()
    for _, name, text in readme.files(PAGE):
        path = project / name
        path.parent.mkdir(exist_ok=True)
        (path.parent / "__init__.py").touch()
        path.write_text(text.partition("\n")[2])
    shown = re.findall(r"^    (CELERY_\w+ = .*)$", PAGE.read_text(), re.MULTILINE)
    assert len(shown) == 4
    for file, old, new in (
        ("settings", "# The end: ", "\n".join([*shown, "\n# The end: "])),
        ("settings", "INSTALLED_APPS = [\n", 'INSTALLED_APPS = [\n    "stock",\n'),
        ("urls", "urlpatterns = [\n", 'urlpatterns = [\n    path("stock/<int:shelf>/", recounted),\n'),
        ("urls", "urlpatterns = [\n", "from stock.views import recounted\n\nurlpatterns = [\n"),
    ):  # fmt: skip
        path = project / "config" / f"{file}.py"
        assert path.read_text().count(old) == 1
        path.write_text(path.read_text().replace(old, new))
    return project


@pytest.fixture
def serve(celery: Path, serve: Serve) -> Iterator[Serve]:
    """As everywhere, in that environment."""
    started: list[Server] = []

    def start(folder: Path, command: str, **variables: str) -> Server:
        base = with_packages(folder, clean_environment())
        started.append(Server(celery / "bin", folder, base, variables, command))
        return started[-1]

    yield start
    for server in started:
        server.kill()


def test_a_task_has_the_requests_id_the_log_and_what_the_lifespan_opened(
    project: Path, serve: Serve, valkey: Valkey
) -> None:
    variables = {"CELERY_BROKER_URL": valkey.url}
    worker = serve(project, "celery --app config.celery worker --concurrency 1", **variables)
    worker.wait_for_log(" ready.")
    server = serve(
        project, "python -m serving --port {port} config.asgi:application", **variables
    ).ready()

    assert server.get("/stock/7/", headers={"X-Request-ID": "tea-1"}).text == "asked"

    worker.wait_for_log("shelf 7 since ")
    (seen,) = [record for record in worker.records if record["log.logger"] == "stock.tasks"]
    assert seen["http.request.id"] == "tea-1"
    assert worker.stop() == 0
    assert "home: stopped in" in worker.log
