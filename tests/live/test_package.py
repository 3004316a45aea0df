"""The wheel of django-serving in a project that `django-admin startproject` made, by the package's README."""

import json
import re
import shutil
import signal
import subprocess
import tomllib
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.conftest import ROOT, clean_environment
from tests.support import readme
from tests.support.server import PATIENCE, Server, free_ports, wait_for
from tests.support.sites import SITES

UV = ROOT / ".venv" / "bin" / "uv"
SITE = SITES / "bare"
ALL = "My project exists already"
FRONT_DOOR = readme.blocks("sh")[1][1].strip().replace("8000", "{port}")
LAYERS = [heading for heading, path, _ in readme.files() if path == "mysite/asgi.py"]
SHOP = ["Lifespan", "Draining"]  # that write files of an app

Start = Callable[..., Server]


@pytest.fixture(scope="session")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that `make package` fills."""
    folder = tmp_path_factory.mktemp("wheels")
    make = ["make", "-C", str(ROOT), "package", f"DIST={folder}"]
    subprocess.run(make, env=clean_environment(), check=True, capture_output=True)
    return folder


@pytest.fixture(scope="session")
def wheel(wheels: Path) -> Path:
    (found,) = wheels.glob("django_serving-*.whl")
    return found


@pytest.fixture(scope="session")
def programs(tmp_path_factory: pytest.TempPathFactory, wheel: Path) -> Path:
    """The programs of an environment that has the wheel, as the README has one install it."""
    venv = tmp_path_factory.mktemp("wheel") / "venv"
    env = clean_environment()
    subprocess.run([UV, "venv", "--quiet", venv], env=env, check=True)
    told = [text.removeprefix("pip install ") for _, text in readme.blocks("sh") if "pip" in text]
    words = [word.strip('"') for word in " ".join(told).split()]
    extras = [word.removeprefix(f"{wheel.name}[")[:-1] for word in words if wheel.name in word]
    packages = [
        f"{wheel}[{','.join(extras)}]",
        *(w for w in words if wheel.name not in w),
        "uvicorn",
    ]
    pip_install: list[str | Path] = [UV, "pip", "install", "--quiet", "--python", venv]
    subprocess.run([*pip_install, *packages], env=env, check=True)
    return venv / "bin"


@pytest.fixture(scope="session")
def startproject(tmp_path_factory: pytest.TempPathFactory, programs: Path) -> Path:
    """A project as Django makes it, with a database, and views that a test asks; to be copied."""
    folder = tmp_path_factory.mktemp("startproject")
    run(programs, folder, "django-admin", "startproject", "mysite")
    project = folder / "mysite"
    run(programs, project, "python", "manage.py", "migrate", "--verbosity", "0")
    shutil.copytree(SITE, project / "bare")
    add_settings(project, 'ROOT_URLCONF = "bare.urls"')
    return project


@pytest.fixture
def mysite(tmp_path: Path, startproject: Path) -> Path:
    """One of this test's own."""
    return shutil.copytree(startproject, tmp_path / "mysite")


@pytest.fixture
def start(programs: Path) -> Iterator[Start]:
    """Starts a project's server, and waits until it listens."""
    servers: list[Server] = []

    def started(
        project: Path, command: str = FRONT_DOOR, *, fails: bool = False, **variables: str
    ) -> Server:
        variables = {"LOG_FORMAT": "json", "GRANIAN_LOG_ACCESS_ENABLED": "true", **variables}
        server = Server(programs, project, clean_environment(), variables, command=command)
        servers.append(server)
        wait_for(lambda: server.exited or server.listens(), "a listener")
        assert fails or not server.exited, server.log
        return server

    yield started
    for server in servers:
        server.kill()


def run(programs: Path, folder: Path, program: str, *arguments: str) -> str:
    """Runs a program of the environment that has the wheel; gives what it prints."""
    done = subprocess.run(
        [programs / program, *arguments],
        cwd=folder, env=clean_environment(), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout + done.stderr


def add_settings(project: Path, *lines: str) -> None:
    """Adds lines to the end of a project's settings."""
    file = project / "mysite" / "settings.py"
    file.write_text("\n".join([file.read_text(), *lines, ""]))


def follow(project: Path, *headings: str) -> None:
    """Follows the README, beside what a test asks for. Metrics get a port that is free."""
    readme.follow(project, *headings)
    asgi = project / "mysite" / "asgi.py"
    metrics_port = free_ports(2)
    asgi.write_text(asgi.read_text().replace("9090", str(metrics_port)))
    add_settings(project, f"METRICS_PORT = {metrics_port}")
    settings = (project / "mysite" / "settings.py").read_text()
    if "logging_config" not in settings or '"serving"' not in settings:
        add_settings(project, 'INSTALLED_APPS = ["serving", *INSTALLED_APPS]')
    if (project / "shop").exists():
        add_settings(project, 'ROOT_URLCONF = "bare.shop_urls"')


def metrics_of(project: Path) -> str:
    """What the first worker's metrics are."""
    settings = (project / "mysite" / "settings.py").read_text()
    port = int(re.findall(r"METRICS_PORT = (\d+)", settings)[-1]) + 1

    def answer() -> str:
        try:
            return httpx.get(f"http://127.0.0.1:{port}/metrics", timeout=PATIENCE).text
        except httpx.TransportError:
            return ""

    return wait_for(answer, "metrics")


def record_of(server: Server, logger: str, text: str = "") -> dict[str, Any]:
    """The first record of a logger that holds a text."""

    def found() -> list[dict[str, Any]]:
        each = (record for record in server.records if record["log.logger"] == logger)
        return [record for record in each if text in record["message"]]

    wait_for(lambda: server.exited or found(), f"a record of {logger}")
    assert found(), server.log
    return found()[0]


# Everything at once


@pytest.mark.parametrize("command", [row[0].strip("`") for row in readme.rows("Servers")])
def test_all_of_it_by_any_server(mysite: Path, start: Start, command: str) -> None:
    follow(mysite, *SHOP, ALL)
    server = start(mysite, f"{command} --port {{port}}")

    assert "KILL_TIMEOUT is not set" not in server.log
    assert server.get("/stock/").json() == {"server": "https://stock.example"}
    assert server.get("/livez").json() == {"status": "ok"}
    assert server.get("/readyz").json() == {"status": "ok"}
    answer = server.get("/seen/", headers={"X-Request-ID": "of-this-test"})
    assert answer.headers["x-request-id"] == "of-this-test"
    assert record_of(server, "bare")["http.request.id"] == "of-this-test"
    assert "serving_threads_bound 64.0" in metrics_of(mysite)
    if "uvicorn" not in command:
        access = record_of(server, "granian.access", "/seen/")
        assert access["http.request.id"] == "of-this-test"

    with httpx.stream("GET", server.address + "/ticks/", timeout=PATIENCE) as stream:
        lines = stream.iter_lines()
        assert next(lines) == "tick"
        server.signal()
        assert list(lines)[-1] == "the server stops"
    # uvicorn may end by the signal itself, when all is done.
    assert server.wait() in ({0, -signal.SIGTERM} if "uvicorn" in command else {0})
    assert record_of(server, "serving.lifespan", "shop: stopped")


def test_what_stays_open_is_ended(mysite: Path, start: Start) -> None:
    follow(mysite, ALL)
    add_settings(mysite, "DRAIN_TIMEOUT = 0.5")
    server = start(mysite)
    with httpx.stream("GET", server.address + "/endless/", timeout=PATIENCE) as stream:
        lines = stream.iter_lines()
        assert next(lines) == "begun"
        server.signal()
        assert list(lines) == []
    assert server.wait() == 0
    assert (
        "GET /endless/"
        in record_of(server, "serving.stopping", "ended what was still open")["message"]
    )


@pytest.mark.parametrize(
    ("command", "variables", "words"),
    [
        ("granian mysite.asgi:application", {}, "interface is rsgi"),
        ("python -m serving mysite.asgi:app", {}, "told to serve mysite.asgi:app:"),
        ("python -m serving --factory mysite.asgi:application", {}, "with --factory"),
        (
            "python -m serving mysite.asgi:application",
            {"DJANGO_SETTINGS_MODULE": "nowhere.settings"},
            "correct it, or unset it, and the one that asgi.py names is used",
        ),
    ],
)
def test_a_wrong_start_is_refused_in_the_projects_own_names(
    mysite: Path, start: Start, command: str, variables: dict[str, str], words: str
) -> None:
    follow(mysite, ALL)
    server = start(mysite, f"{command} --port {{port}}", fails=True, **variables)
    assert server.wait() == 1
    assert words in server.log
    assert "Traceback" not in server.log
    assert "config." not in server.log
    if not variables:
        assert "`python -m serving --interface asgi mysite.asgi:application`" in server.log


def test_an_application_may_have_another_name(mysite: Path, start: Start) -> None:
    follow(mysite, ALL)
    asgi = mysite / "mysite" / "asgi.py"
    asgi.write_text(asgi.read_text().replace("application = ", "app = "))
    server = start(mysite, "python -m serving --port {port} mysite.asgi:app")
    assert server.get("/livez").json() == {"status": "ok"}
    assert "the settings are those of" not in server.log


def test_a_wrong_setting_stops_the_start_and_the_check_names_it(
    mysite: Path, start: Start, programs: Path
) -> None:
    follow(mysite, ALL)
    assert "no issues" in run(programs, mysite, "python", "manage.py", "check")
    add_settings(mysite, 'DRAIN_TIMEOUT = "soon"')
    server = start(mysite, fails=True)
    assert server.wait() == 1
    assert "DRAIN_TIMEOUT = 'soon'" in record_of(server, "serving.application")["message"]
    check = subprocess.run(
        [programs / "python", "manage.py", "check"],
        cwd=mysite, env=clean_environment(), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert check.returncode == 1
    assert "(serving.E004) DRAIN_TIMEOUT = 'soon'" in check.stderr


def test_without_collected_static_files_it_is_served_outside_of_debugging(
    mysite: Path, start: Start
) -> None:
    follow(mysite, ALL)
    add_settings(mysite, "DEBUG = False", 'ALLOWED_HOSTS = ["127.0.0.1"]')
    server = start(mysite)
    assert server.get("/seen/").status_code == 200
    assert (
        "staticfiles is missing; run collectstatic"
        in record_of(server, "serving.http.static")["message"]
    )


def test_static_files_are_served_outside_of_debugging(
    mysite: Path, start: Start, programs: Path
) -> None:
    follow(mysite, ALL)
    add_settings(mysite, "DEBUG = False", 'ALLOWED_HOSTS = ["127.0.0.1"]')
    (collect,) = re.findall(r"`python (manage\.py collectstatic)`", readme.README.read_text())
    run(programs, mysite, "python", *collect.split())
    server = start(mysite)
    assert server.get("/static/admin/css/base.css").headers["Content-Type"].startswith("text/css")
    assert "STATIC_ROOT" not in server.log


# One thing at a time


def lifespan(server: Server, project: Path) -> None:
    assert server.get("/stock/").json() == {"server": "https://stock.example"}
    assert record_of(server, "serving.lifespan", "shop: started")


def probes(server: Server, project: Path) -> None:
    assert server.get("/livez").json() == {"status": "ok"}
    assert server.get("/readyz").json() == {"status": "ok"}


def request_path(server: Server, project: Path) -> None:
    assert server.get("/seen/").status_code == 200
    answer = httpx.post(server.address + "/size/", content=b"x" * 2000, timeout=PATIENCE)
    assert answer.status_code == 413


def draining(server: Server, project: Path) -> None:
    with httpx.stream("GET", server.address + "/ticks/", timeout=PATIENCE) as stream:
        lines = stream.iter_lines()
        assert next(lines) == "tick"
        server.signal()
        assert list(lines)[-1] == "the server stops"
    assert server.wait() == 0


def request_ids(server: Server, project: Path) -> None:
    answer = server.get("/seen/", headers={"X-Request-ID": "of-this-test"})
    assert answer.headers["x-request-id"] == "of-this-test"
    assert len(server.get("/seen/").headers["x-request-id"]) == 32


def metrics(server: Server, project: Path) -> None:
    assert server.get("/seen/").status_code == 200
    assert "serving_threads_bound" in metrics_of(project)


def proxy(server: Server, project: Path) -> None:
    headers = {"X-Forwarded-For": "203.0.113.7", "X-Forwarded-Proto": "https"}
    seen = server.get("/seen/", headers=headers).json()
    assert (seen["client"], seen["scheme"]) == ("203.0.113.7", "https")


ALONE: dict[str, Callable[[Server, Path], None]] = {
    "Lifespan": lifespan,
    "Probes": probes,
    "The fast request path": request_path,
    "Draining": draining,
    "Request ids": request_ids,
    "Metrics": metrics,
    "Behind a proxy": proxy,
}


def test_each_layer_of_the_readme_is_tested_alone() -> None:
    assert [ALL, *ALONE] == LAYERS


@pytest.mark.parametrize("heading", ALONE)
def test_a_layer_alone(mysite: Path, start: Start, heading: str) -> None:
    # The example's views stand below two headings; the asgi.py of the last one stays.
    follow(mysite, *[shop for shop in SHOP if heading in SHOP and shop != heading], heading)
    add_settings(mysite, "MAX_BODY_SIZE = 1000")
    server = start(mysite)
    ALONE[heading](server, mysite)
    if heading not in ("Probes", "Draining"):
        assert server.get("/livez").status_code == 404
    if heading not in ("Request ids", "Draining"):
        assert "x-request-id" not in server.get("/size/").headers
    if heading != "Draining":
        assert server.stop() == 0


def test_one_log_alone(mysite: Path, start: Start, programs: Path) -> None:
    readme.follow(mysite, "One log")
    server = start(mysite)
    assert server.get("/none/").status_code == 404
    assert record_of(server, "django.request")["message"] == "Not Found: /none/"
    assert record_of(server, "granian.access", "/none/")["http.response.status_code"] == 404
    assert record_of(server, "_granian", "Listening at")
    assert server.stop() == 0
    assert all(line.startswith("{") for line in server.log.splitlines()), server.log


# Its tests, its pages


def test_a_projects_own_tests_have_what_the_apps_open(mysite: Path, programs: Path) -> None:
    follow(mysite, *SHOP, ALL, "Tests")
    options = ["-p", "no:cacheprovider", "--ds=mysite.settings", "-Werror"]
    own = ["shop/test_stock.py", "shop/tests.py"]
    assert "3 passed" in run(programs, mysite, "pytest", *options, *own)
    assert "Ran 1 test" in run(programs, mysite, "python", "manage.py", "test", "shop")


def test_a_command_has_what_the_apps_open(mysite: Path, programs: Path) -> None:
    follow(mysite, *SHOP, ALL)
    said = run(programs, mysite, "python", "manage.py", "restock")
    assert "asks https://stock.example" in said


def test_the_readme_lists_every_setting_with_its_default(programs: Path, tmp_path: Path) -> None:
    ask = (
        "import json; from serving.conf import SETTINGS;"
        "print(json.dumps({name: repr(each.default) for name, each in SETTINGS.items()}))"
    )
    defaults = json.loads(run(programs, tmp_path, "python", "-c", ask))
    listed = {row[0].strip("`"): row[1].strip("`") for row in readme.rows("Settings")}
    same = {name: repr(eval(value)) for name, value in listed.items()}  # noqa: S307  # our own
    assert same == defaults


def test_the_readme_lists_every_check() -> None:
    folder = readme.PACKAGE / "src" / "serving"
    source = "".join((folder / name).read_text() for name in ("conf.py", "checks.py"))
    there = re.findall(r"\"(serving\.[EW]\d{3})\"", source)
    of_settings = dict(re.findall(r"(\w+) = Setting.*\(\"(serving\.E\d{3})\",", source))
    assert len(there) == len(set(there)) > len(of_settings) > 0, "an id stands for one thing"

    listed = {row[0].strip("`"): row[3].strip("`") for row in readme.rows("Settings")}
    others = [row[0].strip("`") for row in readme.rows("Checks")]

    assert listed == of_settings
    assert sorted([*listed.values(), *others]) == sorted(there)


def test_every_public_name_is_there(programs: Path, mysite: Path) -> None:
    follow(mysite, ALL)
    names = [name for row in readme.rows("Public names") for name in re.findall(r"[\w.]+", row[0])]
    ask = (
        "import sys; from pkgutil import resolve_name; import django;"
        "django.setup(); print([resolve_name(name) for name in sys.argv[1:]])"
    )
    script = mysite / "ask.py"
    script.write_text(f'import os\nos.environ["DJANGO_SETTINGS_MODULE"] = "mysite.settings"\n{ask}')
    run(programs, mysite, "python", "ask.py", *names)


def test_importing_a_part_changes_nothing(programs: Path, tmp_path: Path) -> None:
    ask = (
        "import importlib, logging, multiprocessing, pkgutil, signal, sys, threading, serving;"
        "from django.conf import settings; settings.configure();"
        "state = lambda: (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT),"
        " sys.excepthook, sys.unraisablehook, threading.excepthook, threading.active_count(),"
        " multiprocessing.get_start_method(allow_none=True), logging.root.handlers[:],"
        " logging.root.level);"
        "before = state();"
        "names = [each.name for each in pkgutil.walk_packages(serving.__path__, 'serving.')"
        " if not each.name.endswith('__main__') and '.tasks' not in each.name];"  # these want apps
        "[importlib.import_module(name) for name in names];"
        "assert before == state(), state(); print(len(names))"
    )
    assert int(run(programs, tmp_path, "python", "-c", ask)) > 30


# What an installer gets


def test_make_package_builds_wheel_and_sdist_of_both(wheels: Path) -> None:
    kinds = sorted(re.sub(r"-\d.*?(-py3|\.tar)", r"\1", file.name) for file in wheels.iterdir()
                   if not file.name.startswith("."))  # fmt: skip
    assert kinds == [
        "django_serving-py3-none-any.whl",
        "django_serving.tar.gz",
        "serving_tools-py3-none-any.whl",
        "serving_tools.tar.gz",
    ]


def test_the_wheel_holds_the_source_and_no_more(wheel: Path) -> None:
    source = readme.PACKAGE / "src"
    own = {
        str(file.relative_to(source))
        for file in source.rglob("*")
        if file.is_file() and "__pycache__" not in file.parts
    }
    packed = {name for name in zipfile.ZipFile(wheel).namelist() if not name.endswith("/")}
    assert {name for name in packed if ".dist-info/" not in name} == own
    assert any(name.endswith("licenses/LICENSE") for name in packed)


def test_one_version_stands_in_the_package_its_metadata_and_its_changelog(wheel: Path) -> None:
    project = tomllib.loads((readme.PACKAGE / "pyproject.toml").read_text())["project"]
    assert wheel.name.split("-")[1] == project["version"]
    assert f'"{project["version"]}"' in (readme.PACKAGE / "src/serving/__init__.py").read_text()
    changelog = (readme.PACKAGE / "CHANGELOG.md").read_text()
    assert re.findall(r"^## (\S+)", changelog, re.MULTILINE)[0] == project["version"]


def fake(folder: Path, name: str, version: str) -> None:
    """A wheel of nothing, which an index might have one day."""
    info = f"{name}-{version}.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    kind = "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as file:
        file.writestr(f"{info}/METADATA", metadata)
        file.writestr(f"{info}/WHEEL", kind)
        file.writestr(f"{info}/RECORD", "")


@pytest.mark.parametrize(
    ("name", "older", "newer"),
    [("django", "6.0.9", "6.2"), ("asgiref", "3.12.9", "3.14.0"), ("granian", "2.8.6", "2.9.0")],
)
def test_an_installer_refuses_what_was_not_tested(
    wheel: Path, programs: Path, tmp_path: Path, name: str, older: str, newer: str
) -> None:
    for version in (older, newer):
        fake(tmp_path, name, version)
    install: list[str | Path] = [UV, "pip", "install", "--dry-run", "--find-links", tmp_path]
    install += ["--python", programs / "python"]
    env = clean_environment()

    def resolve(*wanted: str | Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*install, *wanted], env=env, capture_output=True, text=True, check=False
        )

    for version in (older, newer):
        alone = resolve(f"{name}=={version}")
        assert alone.returncode == 0, alone.stderr
        refused = resolve(f"{name}=={version}", wheel)
        assert refused.returncode != 0
        assert re.search(rf"django-serving.*depends\s+on\s+{name}", refused.stderr, re.DOTALL)
    assert resolve(wheel).returncode == 0
