"""`make dev`: what makes the server start anew, and what a project writes meanwhile and does not."""

import re
from pathlib import Path

import pytest

from tests.conftest import Serve
from tests.support.server import Server, dev_variables, wait_for

# What a request, a test run or a tool writes into the tree.
WRITTEN = """
media/cat.jpg media/page.html media/2026/11/report.txt media/upload.py media/django.mo uploads/script.py
media/README attachments/data.json attachments/notes.md attachments/site.css attachments/x.xml
attachments/app.js attachments/Makefile attachments/.env attachments/table.csv attachments/model.pyc
app.log home/app.log log/app.log.1 mail/20261126-1.log mail.eml
db.sqlite3 db.sqlite3-wal db.sqlite3-shm db.sqlite3-journal other.db backups/db-1.sqlite3 backups/x.dump
.pytest_cache/v/cache/lastfailed .mypy_cache/3.14/x.data.json .ruff_cache/0.1/x .coverage htmlcov/index.html
home/__pycache__/views.cpython-314.pyc staticfiles/site.css staticfiles/staticfiles.json
home/static/home/new.css .env .deploy.lock .git/index uv.lock notes.txt home/data.json cache/ab12.djcache
home/.views.py.swp home/views.py~ home/.#views.py home/4913 django.mo.tmp
""".split()


def put(path: Path, text: str = "written\n") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def changes(server: Server) -> list[str]:
    """The files that made it start anew."""
    return [
        message.partition(": ")[2]
        for message in server.messages("_granian")
        if re.match(r"(Added|Modified|Deleted): ", message)
    ]


@pytest.fixture
def dev(project: Path, serve: Serve) -> Server:
    return serve(project, **dev_variables(project) | {"LOG_FORMAT": "json"}).ready()


def test_what_is_written_into_the_tree_does_not_start_it_anew(project: Path, dev: Server) -> None:
    workers = dev.workers
    for round_ in ("first", "second"):
        for name in WRITTEN:
            put(project / name, f"{round_}\n")
        assert dev.get("/uptime/").status_code == 200
        assert dev.workers == workers
    for name in WRITTEN:
        (project / name).unlink()

    # This one does, so all that came before was seen and passed over.
    views = project / "home" / "views.py"
    put(views, views.read_text() + "\n")
    dev.wait_for_log("Started worker-", 2)

    assert set(changes(dev)) == {str(views)}
    # A log in the tree would feed itself.
    assert not [said for said in dev.messages("watchfiles.main") if "filtered out" in said]
    assert dev.answering().workers != workers


@pytest.mark.parametrize(
    "name", ["config/settings.py", "config/logging.json", "locale/de/LC_MESSAGES/django.mo", "tasks.py"]
)  # fmt: skip
def test_code_translations_and_the_log_s_configuration_do(
    project: Path, serve: Serve, name: str
) -> None:
    path = project / name
    put(path, path.read_text() if path.exists() else "")
    server = serve(project, **dev_variables(project) | {"LOG_FORMAT": "json"}).ready()

    put(path, path.read_text() + "\n")

    server.wait_for_log("Started worker-", 2)
    assert set(changes(server)) == {str(path)}
    assert server.answering().get("/").status_code == 200


def test_a_new_app_is_watched_too(project: Path, dev: Server) -> None:
    put(project / "shop" / "__init__.py", "")

    def seen() -> bool:
        put(project / "shop" / "views.py", "")
        return str(project / "shop" / "views.py") in changes(dev)

    wait_for(seen, "an edit in the new folder to be seen")


def test_an_app_named_media_is_watched_too(project: Path, serve: Serve) -> None:
    put(project / "media" / "__init__.py", "")
    server = serve(project, **dev_variables(project) | {"LOG_FORMAT": "json"}).ready()
    put(project / "media" / "views.py", "")
    server.wait_for_log("Started worker-", 2)


def test_a_project_below_a_folder_named_media_is_watched_too(
    project: Path, tmp_path: Path, serve: Serve
) -> None:
    (tmp_path / "media").mkdir()
    project = project.rename(tmp_path / "media" / "project")
    server = serve(project, **dev_variables(project) | {"LOG_FORMAT": "json"}).ready()
    put(project / "home" / "new.py", "")
    server.wait_for_log("Started worker-", 2)


@pytest.mark.parametrize("debug", [True, False])
def test_an_edit_of_a_template_shows_at_once_with_debug_alone(
    project: Path, serve: Serve, debug: bool
) -> None:
    variables = dev_variables(project) | {"LOG_FORMAT": "json"} if debug else {}
    server = serve(project, SECURE_SSL_REDIRECT="false", **variables).ready()
    before = server.workers
    page = project / "templates" / "base.html"
    assert server.get("/").status_code == 200
    put(page, page.read_text().replace("</body>", "<p>edited</p></body>"))

    assert ("edited" in server.get("/").text) == debug
    put(project / "home" / "templates" / "home" / "new.txt", "")
    assert server.workers == before
    assert changes(server) == []


def test_a_mistake_waits_for_its_correction(project: Path, dev: Server) -> None:
    put(project / "home" / "models.py", "((")
    dev.wait_for_log("SyntaxError")
    put(project / "media" / "cat.jpg")
    put(project / "home" / "models.py", "")
    dev.wait_for_log("Started worker-", 2)
    assert dev.answering().get("/").status_code == 200
