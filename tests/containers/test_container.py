"""The image, by running it: what is in it, its default command, how it ends, what its build refuses."""

import json
import re
import shutil
import threading
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from dotenv import dotenv_values

from tests.live.test_serving import MODES, NOISE
from tests.support.containers import (
    HARDENED,
    Container,
    build,
    docker,
    locked_project,
    require_engine,
)
from tests.support.server import PATIENCE, SECRET_KEY, wait_for
from tests.support.sites import SITES, program, site_volume

pytestmark = pytest.mark.container

LEVELS = ["debug", "info", "warning", "error", "critical"]

# What a layer may never hold, planted in the folder that is built from.
PLANTED = [
    ".env", ".env.production", "db.sqlite3", "db.sqlite3-wal", "home/secret.sqlite3", "config/.env",
    "config/server.key", "config/server.pem", "venv/planted.py", ".venv/planted.py", "backups/one",
    ".git/config", "tests/planted.py", "notes.txt", "data/__pycache__/planted.pyc",
]  # fmt: skip


@pytest.fixture(scope="session")
def built_project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The default project with its lock file: tests must not write into it."""
    require_engine()
    project = locked_project(tmp_path_factory.mktemp("container"))
    for name in PLANTED:
        path = project / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            path.write_text(f"planted {SECRET_KEY}\n")
    return project


@pytest.fixture(scope="session")
def image(built_project: Path) -> Iterator[str]:
    """The default project's image."""
    tag = f"test-{uuid.uuid4().hex[:8]}"
    build(built_project, tag)
    yield tag
    docker("image", "rm", "--force", tag, check=False)


@pytest.fixture(scope="session")
def data(image: str) -> Iterator[str]:
    """A volume with a database that has every migration."""
    volume = f"test-{uuid.uuid4().hex[:8]}"
    docker(
        "run", "--rm", *HARDENED, f"--volume={volume}:/data", f"--env=SECRET_KEY={SECRET_KEY}", image,
        "python", "manage.py", "migrate", "--verbosity=0",
    )  # fmt: skip
    yield volume
    docker("volume", "rm", "--force", volume, check=False)


Start = Callable[..., Container]


@pytest.fixture
def start(image: str, data: str) -> Iterator[Start]:
    """Runs the image: `start(LIFESPAN="optional")`, `start("--memory=200m")`."""
    containers: list[Container] = []

    def run(*options: str, **variables: str) -> Container:
        given = [f"--env={name}={value}" for name, value in variables.items()]
        containers.append(Container(image, f"--volume={data}:/data", *given, *options))
        return containers[-1]

    yield run
    for container in containers:
        container.remove()


@pytest.fixture
def extended(tmp_path: Path) -> str:
    """The option that gives a container views for tests."""
    return site_volume(tmp_path, "container")


def test_the_default_command_serves_all_that_a_project_has(start: Start) -> None:
    # A browser that came through a proxy; a plain request is redirected.
    https = {"headers": {"X-Forwarded-For": "203.0.113.7", "X-Forwarded-Proto": "https"}}
    container = start(TRUSTED_PROXIES="0.0.0.0/0").ready()

    assert container.get("/").status_code == 301
    page = container.get("/", **https)
    assert page.status_code == 200
    assert container.get("/uptime/", **https).json()["uptime_seconds"] > 0, "a lifespan ran"
    assert container.get("/admin/login/", **https).status_code == 200
    assert container.get("/readyz").json() == {"status": "ok"}
    assert container.get("/livez").json() == {"status": "ok"}
    style = re.search(r'href="(/static/site\.[0-9a-f]{12}\.css)"', page.text)
    assert style
    for encoding in ("br", "gzip"):
        assert container.get(style[1]).status_code == 301
        sheet = container.get(style[1], headers=https["headers"] | {"Accept-Encoding": encoding})
        assert sheet.headers["content-encoding"] == encoding
        assert "immutable" in sheet.headers["cache-control"]
        assert sheet.headers["x-content-type-options"] == "nosniff"
        assert sheet.headers["etag"]
    wait_for(lambda: container.state["Health"]["Status"] == "healthy", "the health check")
    assert container.stop() == 0
    assert NOISE not in container.log
    assert "Traceback" not in container.log


def test_it_runs_as_nobody_and_can_write_nothing(start: Start) -> None:
    container = start().ready()

    assert container.run("id", "-u") == container.run("id", "-g") == "10001"
    command = container.run("cat", "/proc/1/cmdline").split("\0")
    assert command[:4] == ["python", "-m", "serving", "config.asgi:application"], "no shell"
    status = container.run("cat", "/proc/1/status")
    assert re.search(r"CapEff:\s+0+\n", status)
    assert re.search(r"CapBnd:\s+0+\n", status)
    assert re.search(r"NoNewPrivs:\s+1\n", status)
    writable = "find / -xdev -writable -not -type l -not -path '/proc/*'"
    found = container.run("sh", "-c", writable, check=False).splitlines()
    assert {path for path in found if not path.startswith("find:")} == {
        "/data",
        "/media",
        "/tmp",  # noqa: S108
        "/var/tmp",  # noqa: S108
    }
    assert "Read-only" in container.run("touch", "/data/../app/x", check=False)


def test_an_error_in_pieces_is_no_part_of_the_output(start: Start) -> None:
    pieces = "printf 'an '; printf 'is ' >&2; printf 'output'; printf 'an error' >&2"
    assert start().run("sh", "-c", pieces) == "an output\nis an error"


def test_without_a_read_only_root_the_code_cannot_be_changed_either(image: str) -> None:
    # The base image has folders for everyone, under the sticky bit as /tmp is.
    find = "find / -xdev -writable -not -type l -not -path '/proc/*' -not -perm -1000"
    found = docker("run", "--rm", "--entrypoint=sh", image, "-c", find, check=False).splitlines()
    assert {path for path in found if not path.startswith("find:")} == {"/data", "/media"}


def test_nothing_that_was_planted_is_in_it(image: str, built_project: Path) -> None:
    names = docker("run", "--rm", "--user=0", "--entrypoint=find", image, "/app", "-type", "f")
    files = {path.removeprefix("/app/") for path in names.splitlines()}
    assert not files & set(PLANTED)
    known = re.compile(
        r"(accounts|config|data|home|static|staticfiles|templates)/.+|manage\.py|pyproject\.toml|uv\.lock"
        r"|__pycache__/manage\.[\w-]+\.pyc"
    )
    assert [name for name in files if not known.fullmatch(name)] == []

    secret = re.search(r"^SECRET_KEY=(.+)$", (built_project / ".env").read_text(), re.MULTILINE)
    assert secret
    for text in (secret[1], SECRET_KEY):
        found = docker(
            "run", "--rm", "--user=0", "--entrypoint=grep", image, "-rlF", "-e", text, "/app", "/opt", "/etc",
            "/home", "/root", "/var", check=False,
        )  # fmt: skip
        assert found == "", found
        assert text not in docker("history", "--no-trunc", image)


def test_what_builds_it_stays_behind_and_everything_is_compiled(image: str) -> None:
    tools = "for tool in uv gcc cc make git curl; do command -v $tool; done"
    tools += "; find ~root/.cache /var/cache/uv -mindepth 1 2>/dev/null"
    found = docker("run", "--rm", "--user=0", "--entrypoint=sh", image, "-c", tools, check=False)
    assert found == ""
    compiled = program("find_uncompiled")
    assert docker("run", "--rm", image, "python", "-c", compiled) == "0"


def test_it_says_what_it_is(image: str) -> None:
    config = json.loads(docker("image", "inspect", image))[0]["Config"]
    labels = {
        name.removeprefix("org.opencontainers.image."): value
        for name, value in config["Labels"].items()
    }
    assert labels == {
        "title": "my-project",
        "url": "https://example.com/",
        "licenses": "MIT",
        "revision": "unknown",
    }
    assert config["User"] == "10001:10001"
    assert config["Cmd"] == ["python", "-m", "serving", "config.asgi:application"]
    assert config["StopSignal"] == "SIGTERM"
    assert config["Healthcheck"]["Test"][0] == "CMD"
    assert not [line for line in config["Env"] if "SECRET" in line]


def test_the_flags_are_those_of_the_file_and_a_variable_wins(
    start: Start, built_project: Path
) -> None:
    wanted = dotenv_values(built_project / "config" / "granian.env")
    changed = {"GRANIAN_LOG_LEVEL": "debug", "LIFESPAN": "disabled", "GRANIAN_INTERFACE": "asginl"}
    for variables in ({}, changed):
        container = start(**variables).ready()
        environment = dict(
            line.split("=", 1) for line in container.run("cat", "/proc/1/environ").split("\0") if line
        )  # fmt: skip
        assert environment.items() >= (wanted | variables).items()
    assert container.stop() == 0
    assert not [line for line in container.messages("serving.lifespan") if "started" in line]


@pytest.mark.parametrize("mode", MODES)
def test_every_mode_at_every_level_ends_with_0(start: Start, mode: str) -> None:
    containers = {level: start(GRANIAN_LOG_LEVEL=level, **MODES[mode]) for level in LEVELS}
    for level, container in containers.items():
        container.ready()
        assert container.stop() == 0, level
        assert NOISE not in container.log
        said = "\n".join(container.messages("serving.lifespan"))
        ran = mode != "disabled" and level in ("debug", "info")
        assert ("home: started in" in said, "home: stopped in" in said) == (ran, ran), level


def test_a_failed_startup_ends_the_container_with_1(start: Start, tmp_path: Path) -> None:
    broken = tmp_path / "lifespan.py"
    shutil.copy(SITES / "lifespans" / "fails.py", broken)
    broken.chmod(0o644)
    container = start(f"--volume={broken}:/app/home/lifespan.py:ro")

    assert container.wait() == 1
    (failure, *_) = [r for r in container.records if r["log.logger"] == "serving.lifespan"]
    assert failure["message"] == "startup failed: home: ConnectionError: no tea today"
    assert "Traceback" in failure["error.stack_trace"]


def test_a_missing_secret_ends_the_container_with_1(start: Start) -> None:
    container = start(SECRET_KEY="")
    assert container.wait() == 1
    assert "SECRET_KEY: Shorter than minimum length 50." in container.log
    assert "Traceback" not in container.log


def test_a_container_without_migrations_lives_and_is_not_ready(image: str) -> None:
    container = Container(image)
    try:
        container.ready("/livez").ready("/readyz", 503)
        answer = container.run(
            "python", "-I", "-m", "serving_tools.healthcheck", "/readyz", check=False
        )
        assert "migrations are missing" in answer
        wait_for(lambda: container.state["Health"]["Status"] == "healthy", "the health check")
    finally:
        container.remove()


def test_docker_stop_lets_a_request_finish(start: Start, extended: str) -> None:
    container = start(extended, SECURE_SSL_REDIRECT="false").ready()
    answers: list[httpx.Response] = []
    asking = threading.Thread(target=lambda: answers.append(container.get("/slow")))
    asking.start()
    wait_for(lambda: "the slow view has begun" in container.log, "the request to be on its way")
    assert container.stop() == 0
    asking.join()
    assert [answer.text for answer in answers] == ["done"]
    assert "home: stopped in" in container.log


@pytest.mark.parametrize("path", ["/stream", "/endless"])
def test_docker_stop_ends_a_stream_and_leaves_the_lifespan(
    start: Start, extended: str, path: str
) -> None:
    container = start(extended, SECURE_SSL_REDIRECT="false", DRAIN_TIMEOUT="2").ready()
    headers = {"Host": "example.com"}
    with httpx.stream("GET", container.address + path, headers=headers, timeout=PATIENCE) as stream:
        lines = stream.iter_lines()
        assert next(lines) == "tick"
        docker("kill", "--signal=TERM", container.id)
        rest = list(lines)
    assert ("bye" in rest) == (path == "/stream"), "who asks ends by itself; the other is ended"
    assert container.wait() == 0
    assert "home: stopped in" in container.log
    assert ("ended what was still open" in container.log) == (path == "/endless")


@pytest.mark.parametrize(("path", "oom"), [("/kill", False), ("/eat", True)])
def test_a_worker_that_is_killed_ends_the_container_which_is_started_anew(
    start: Start, extended: str, path: str, oom: bool
) -> None:
    container = start(
        extended, "--restart=on-failure", "--memory=160m", "--memory-swap=160m",
        SECURE_SSL_REDIRECT="false",
    ).ready()  # fmt: skip
    first = container.run("cat", "/proc/1/stat").split()[21]
    with pytest.raises(httpx.TransportError):
        container.get(path)

    def said() -> str:
        return docker("events", "--since=10m", "--until=0s", f"--filter=container={container.id}")

    # The engine counts a restart before it tells of the end; it tells of the start after both.
    wait_for(lambda: said().count(" container start ") == 2, "a start anew")
    container.ready()
    events = said()
    assert re.search(r"container die .*exitCode=1\b", events)
    assert ("container oom" in events) == oom
    assert container.run("cat", "/proc/1/stat").split()[21] != first


def test_two_workers_each_have_their_lifespan(start: Start) -> None:
    container = start(GRANIAN_WORKERS="2").ready()
    wait_for(lambda: container.log.count("home: started in") == 2, "two workers")
    assert container.stop() == 0
    assert container.log.count("home: stopped in") == 2


def layers(image: str) -> list[str]:
    found: list[str] = json.loads(docker("image", "inspect", image))[0]["RootFS"]["Layers"]
    return found


def test_an_edit_changes_the_last_layers_alone_and_is_served(
    image: str, built_project: Path, tmp_path: Path, data: str
) -> None:
    project = shutil.copytree(built_project, tmp_path / "project")
    views = project / "home" / "views.py"
    views.write_text(views.read_text().replace('"uptime_seconds"', '"seconds"'))
    tag = f"{image}-edited"
    build(project, tag)
    try:
        packages = docker("run", "--rm", "--entrypoint=du", image, "-sk", "/opt/venv").split()[0]
        assert int(packages) > 10_000
        changed = [layer for layer in layers(tag) if layer not in layers(image)]
        assert 1 <= len(changed) <= 2, "the code; the packages stay"
        container = Container(tag, f"--volume={data}:/data", "--env=SECURE_SSL_REDIRECT=false")
        try:
            assert "seconds" in container.ready().get("/uptime/").json()
        finally:
            container.remove()
    finally:
        docker("image", "rm", "--force", tag, check=False)


@pytest.mark.parametrize(
    ("name", "old", "new", "says"),
    [
        ("home/views.py", "import asyncio", "import asyncio, nosuch", "No module named 'nosuch'"),
        ("config/settings.py", '"home",\n', '"home",\n    "shop",\n', "No module named 'shop'"),
        ("config/settings.py", "SESSION_COOKIE_SECURE = ", "", "security.W012"),
        ("pyproject.toml", '"environs', '"tomlkit", "environs', "needs to be updated"),
    ],
)  # fmt: skip
def test_a_broken_image_is_never_made(
    built_project: Path, tmp_path: Path, image: str, name: str, old: str, new: str, says: str
) -> None:
    project = shutil.copytree(built_project, tmp_path / "project")
    text = (project / name).read_text()
    assert old in text
    (project / name).write_text(text.replace(old, new, 1))
    tag = f"{image}-broken"

    assert says in build(project, tag, check=False)
    assert docker("images", "--quiet", tag) == ""
