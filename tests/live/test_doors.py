"""Every door to a view has `request.state` and `request.request_id`: tests, commands, other servers."""

import re
import shutil
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.conftest import Bake, Run, Serve
from tests.support.server import SECRET_KEY, wait_for
from tests.support.sites import SITES, program

SHOP = SITES / "shop"
DEVELOPMENT = {"SECRET_KEY": SECRET_KEY, "DEBUG": "true", "ALLOWED_HOSTS": "127.0.0.1"}


@pytest.fixture
def shop(bake: Bake) -> Path:
    """A project with an app whose lifespan yields what may be used on one event loop alone."""
    made = bake()
    shutil.copytree(SHOP, made / "shop", ignore=shutil.ignore_patterns("__pycache__"))
    settings = made / "config" / "settings.py"
    settings.write_text(settings.read_text().replace('    "home",\n', '    "home",\n    "shop",\n'))
    return made


def test_under_pytest(shop: Path, run: Run) -> None:
    done = run(shop, "pytest", "-p", "no:cacheprovider", "shop/test_doors.py")
    assert re.search(r"\d\d passed", done.stdout)


@pytest.mark.parametrize("case", ["test_doors.py::SimpleDoors", "tests.py::SimpleDoors"])
def test_a_case_of_djangos_is_the_first_of_its_process(shop: Path, run: Run, case: str) -> None:
    """As it may be where tests are spread over processes."""
    done = run(shop, "pytest", "-p", "no:cacheprovider", f"shop/{case}")
    assert re.search(r"\d passed", done.stdout)


def test_under_pytest_in_parallel(shop: Path, run: Run, tmp_path: Path) -> None:
    """With this repository's own pytest-xdist: projects do without it."""
    plugins = tmp_path / "plugins"
    plugins.mkdir()
    for module in ("xdist", "execnet"):
        spec = find_spec(module)
        assert spec
        assert spec.origin
        (plugins / module).symlink_to(Path(spec.origin).parent)
    variables = {"PYTHONPATH": str(plugins), "PYTEST_PLUGINS": "xdist.plugin"}
    done = run(shop, "pytest", "-p", "no:cacheprovider", "-n", "2", "shop", "tests", **variables)
    assert re.search(r"\d\d passed", done.stdout)


def test_under_djangos_own_runner(shop: Path, run: Run) -> None:
    done = run(shop, "python", "manage.py", "test", "shop.tests")
    assert re.search(r"Ran 1\d tests", done.stderr)
    assert "\nOK\n" in done.stderr


def test_under_djangos_own_runner_in_parallel(shop: Path, run: Run) -> None:
    """Without data: Django copies an SQLite file without what its write-ahead log holds."""
    classes = [f"shop.tests.{name}" for name in ("SimpleDoors", "LiveDoors")]
    done = run(shop, "python", "manage.py", "test", *classes, "--parallel", "2")
    assert "Ran 4 tests" in done.stderr
    assert "\nOK\n" in done.stderr


def test_under_djangos_own_runner_as_it_comes_out(shop: Path, run: Run) -> None:
    """No variable is set; what is pytest's alone is not run, and breaks nothing."""
    assert "\nOK\n" in run(shop, "python", "manage.py", "test").stderr


def test_runserver_shows_the_page_and_its_style(project: Path, serve: Serve) -> None:
    command = "python manage.py runserver --noreload {port}"
    server = serve(project, command, **DEVELOPMENT)
    server.wait_for_log("Quit the server")
    page = server.get("/")
    assert page.status_code == 200
    assert "no lifespan ran" in page.text
    assert server.get("/uptime/").json()["uptime_seconds"] is None
    assert server.get("/live/").status_code == 404, "it would not end"
    assert server.get("/static/site.css").status_code == 200
    (line,) = [line for line in server.log.splitlines() if "make dev" in line]
    assert "no probes" in line


def test_testserver_shows_the_page(project: Path, serve: Serve) -> None:
    (project / "people.json").write_text("[]")
    command = "python manage.py testserver --addrport {port} people.json"
    server = serve(project, command, **DEVELOPMENT)
    server.wait_for_log("Quit the server")
    assert server.get("/").status_code == 200


@pytest.mark.parametrize("command", [["runserver"], ["testserver", "people.json"]])
def test_without_debug_one_line_says_what_to_use(
    project: Path, run: Run, command: list[str]
) -> None:
    (project / "people.json").write_text("[]")
    variables = DEVELOPMENT | {"DEBUG": "false"}
    done = run(project, "python", "manage.py", *command, check=False, **variables)
    assert done.returncode == 1
    assert done.stderr.strip().splitlines()[-1] == (
        "CommandError: runserver is for debugging: use `python -m serving` (in a generated project, `make dev`), or turn DEBUG on"
    )
    assert "Traceback" not in done.stderr


def test_a_shell(project: Path, run: Run) -> None:
    code = (
        "from django.http import HttpRequest; request = HttpRequest();"
        "print(getattr(request.state, 'x', None), len(request.request_id), repr(request.state))"
    )
    done = run(project, "python", "manage.py", "shell", "-v", "0", "-c", code, **DEVELOPMENT)
    assert done.stdout == "None 32 <State: empty>\n"


def test_other_servers(project: Path, serve: Serve) -> None:
    """A WSGI server of the standard library, and Django's own ASGI application without a lifespan."""
    for name in ("serve_wsgi", "plain"):
        (project / f"{name}.py").write_text(program(name))
    variables = DEVELOPMENT | {"DJANGO_SETTINGS_MODULE": "config.settings"}
    for command in (
        "python serve_wsgi.py {port}",
        "granian --interface asginl --port {port} plain:application",
    ):
        server = serve(project, command, **variables)
        wait_for(server.listens, "a listener")
        assert "no lifespan ran" in server.get("/").text
