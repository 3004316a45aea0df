"""The Compose project, by its Make targets: every database and cache, failures, scaling, replacing."""

import json
import os
import re
import shutil
import signal
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import Empty, SimpleQueue

import httpx
import pexpect
import pytest
import yaml

from tests.conftest import ROOT, clean_environment
from tests.support.command import typed_make
from tests.support.containers import UV, Compose, composed, docker, locked_project, require_engine
from tests.support.server import PATIENCE, free_port, wait_for
from tests.support.sites import SITES, put_lifespan, put_site

pytestmark = pytest.mark.container

RATE = 200  # requests a second
REQUESTS = 10_000

CHOICES = [
    {"database": "sqlite", "cache": "local"},
    {"database": "sqlite", "cache": "valkey"},
    {"database": "postgres", "cache": "local"},
    {"database": "postgres", "cache": "valkey"},
]


@pytest.fixture
def engine() -> None:
    require_engine()


def log_in(compose: Compose) -> None:
    """A person logs in to the admin: a session is read and written."""
    compose(
        "exec", "-T", "-e", "DJANGO_SUPERUSER_PASSWORD=open sesame", "web", "python", "manage.py",
        "createsuperuser", "--noinput", "--username=ada", "--email=ada@example.com",
    )  # fmt: skip
    with httpx.Client(base_url=f"http://{compose.address()}", timeout=PATIENCE) as client:
        client.headers["Host"] = "localhost"
        page = client.get("/admin/login/?next=/admin/")
        token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page.text)
        assert token
        form = {"username": "ada", "password": "open sesame", "csrfmiddlewaretoken": token[1]}
        answer = client.post("/admin/login/?next=/admin/", data=form)
        assert answer.status_code == 302, answer.text
        assert client.get("/admin/").status_code == 200, "the session lasts"


@pytest.mark.usefixtures("engine")
@pytest.mark.parametrize("answers", CHOICES, ids=lambda answers: "-".join(answers.values()))
def test_every_database_and_cache_comes_up_and_survives(
    tmp_path: Path, answers: dict[str, str]
) -> None:
    project = locked_project(tmp_path, **answers)
    with composed(project) as compose:
        compose.make("build", "up")
        assert compose.get("/readyz").json() == {"status": "ok"}
        assert compose.get("/").status_code == 200
        assert compose.get("/uptime/").json()["uptime_seconds"] > 0, "a lifespan ran"
        log_in(compose)
        assert_hardened(compose)
        web = compose.inspect("web")

        if answers["database"] == "sqlite":
            modes = ("sh", "-c", "stat -c '%a %n' /data/db.sqlite3*")
            listed = compose("exec", "-T", "web", *modes).splitlines()
            assert {line.split()[0] for line in listed} == {"600"}, "with what stands beside it"
            assert len(listed) == 3
        if answers["database"] == "postgres":
            docker("kill", compose.containers("db")[0])
            wait_for(lambda: compose.status("/readyz") == 503, "readyz to tell")
            assert compose.status("/livez") == 200
            compose("start", "db")
            wait_for(lambda: compose.status("/readyz") == 200, "readyz to recover")
            assert "csrfmiddlewaretoken" in compose.get("/admin/login/").text
        if answers["cache"] == "valkey":
            docker("kill", compose.containers("cache")[0])
            assert compose.status("/") == compose.status("/readyz") == 200
            compose("start", "cache")
        after = compose.inspect("web")
        assert (after["Id"], after["State"]["StartedAt"]) == (web["Id"], web["State"]["StartedAt"])

        # What is in the database outlives the containers.
        compose.make("down")
        compose.make("up", "LIFESPAN=disabled", "LOG_LEVEL=debug")
        environment = compose.inspect("web")["Config"]["Env"]
        assert "GRANIAN_LOG_LEVEL=debug" in environment
        assert "GRANIAN_INTERFACE=asginl" in environment
        users = "from accounts.models import User; print(User.objects.count(), 'users')"
        shell = ("python", "manage.py", "shell", "--no-imports", "-c", users)
        assert "1 users" in compose("exec", "-T", "web", *shell)


def assert_hardened(compose: Compose) -> None:
    """The engine was told all that compose.yaml promises."""
    web = compose.inspect("web")
    host = web["HostConfig"]
    assert web["Config"]["User"] == "10001:10001"
    assert web["Config"]["StopTimeout"] == 30
    assert host["ReadonlyRootfs"]
    assert host["CapDrop"] == ["ALL"]
    assert not host["CapAdd"]
    assert host["SecurityOpt"] == ["no-new-privileges:true"]
    assert host["Tmpfs"] == {"/tmp": "size=16m"}  # noqa: S108
    volumes = {mount["Destination"] for mount in web["Mounts"] if mount["Type"] == "volume"}
    assert "/var/tmp" in volumes  # noqa: S108
    assert host["PidsLimit"] == 256
    assert host["Memory"] == host["MemorySwap"] == 384 * 1024**2
    assert host["LogConfig"] == {
        "Type": "json-file",
        "Config": {"max-file": "3", "max-size": "10m"},
    }
    for service in compose("ps", "--services").splitlines():
        published = compose.inspect(service)["HostConfig"]["PortBindings"] or {}
        for bindings in published.values():
            assert {binding["HostIp"] for binding in bindings} == {"127.0.0.1"}, service
    assert compose.inspect("migrate")["State"]["ExitCode"] == 0


@pytest.fixture
def echoing(tmp_path: Path, engine: None) -> Iterator[Compose]:
    """The default project with a view that echoes, built and not yet started."""
    project = locked_project(tmp_path)
    put_site(project, "echo")
    with composed(project) as compose:
        compose.make("build")
        yield compose


def test_migrations_that_fail_keep_the_old_version_up(echoing: Compose) -> None:
    echoing.make("up")
    before = echoing.inspect("web")
    migrations = echoing.project / "accounts" / "migrations"
    shutil.copy(SITES / "failing_migration.py", migrations / "0002_fail.py")

    said = echoing.make("build", "up", check=False)

    assert "no tea today" in said
    after = echoing.inspect("web")
    assert (after["Id"], after["State"]["Running"]) == (before["Id"], True)
    assert after["State"]["StartedAt"] == before["State"]["StartedAt"]
    assert echoing.status("/") == echoing.status("/readyz") == 200

    (echoing.project / "accounts" / "migrations" / "0002_fail.py").unlink()
    echoing.make("build", "up")
    assert echoing.status("/readyz") == 200


def test_the_make_targets_do_what_they_say(echoing: Compose) -> None:
    echoing.make("up")
    started = echoing.inspect("web")["State"]["StartedAt"]
    assert re.search(r"web .*healthy", echoing.make("ps"))
    echoing.make("restart")
    wait_for(lambda: echoing.status("/readyz") == 200, "the server to be back")
    assert echoing.inspect("web")["State"]["StartedAt"] != started
    shell = typed_make(echoing.project, "sh", **echoing.variables)
    shell.sendline("echo user $(id -u) in $PWD")
    shell.expect("user 10001 in /app")
    shell.sendline("exit")
    shell.expect(pexpect.EOF)
    log = typed_make(echoing.project, "logs", **echoing.variables)
    log.expect("Started worker-1")
    assert echoing.status("/missing") == 404
    log.expect("Not Found: /missing")  # it follows
    log.sendintr()
    log.expect(pexpect.EOF)
    refused = echoing.make("deploy", check=False)
    assert "no proxy runs; set COMPOSE_FILE=compose.yaml:compose.proxy.yaml in .env" in refused
    echoing.make("down")
    assert echoing.containers("web") == []


@pytest.mark.usefixtures("engine")
def test_services_start_what_env_names_and_does_not_answer(tmp_path: Path) -> None:
    project = locked_project(tmp_path, database="postgres", cache="valkey")
    ports = {"POSTGRES_PORT": str(free_port()), "VALKEY_PORT": str(free_port())}
    with composed(project, **ports) as compose:
        compose.make("services")
        first = {service: compose.inspect(service)["Id"] for service in ("db", "cache")}
        assert compose.containers("web") == []
        compose.make("migrate")
        docker("rm", "--force", first["cache"])

        compose.make("services")

        assert compose.inspect("db")["Id"] == first["db"], "what answers is left alone"
        assert compose.inspect("cache")["State"]["Running"]


PROXIED = {"COMPOSE_FILE": "compose.yaml:compose.proxy.yaml", "WEB_REPLICAS": "3"}


def https(compose: Compose) -> str:
    """The proxy's address, under the name that its certificate has."""
    return f"https://localhost:{compose.address('proxy', 443).rpartition(':')[2]}"


def versions(compose: Compose) -> set[int]:
    """What the servers behind the proxy say that they are."""
    with httpx.Client(base_url=https(compose), verify=False, timeout=PATIENCE) as client:  # noqa: S501
        return {client.get("/echo").json()["version"] for _ in range(30)}


class Load:
    """Requests at a steady rate, half of them POST, on connections that are kept open."""

    def __init__(self, address: str) -> None:
        self.results: Counter[str] = Counter()
        self._client = httpx.Client(
            base_url=address, verify=False, timeout=PATIENCE,  # noqa: S501
            limits=httpx.Limits(max_connections=32, max_keepalive_connections=32),
        )  # fmt: skip
        self._due: SimpleQueue[int] = SimpleQueue()
        self._pool = ThreadPoolExecutor(32)
        self._done = threading.Event()
        self._pacer = threading.Thread(target=self._pace)

    def __enter__(self) -> "Load":
        for _ in range(32):
            self._pool.submit(self._ask)
        self._pacer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._pacer.join()
        self._done.set()
        self._pool.shutdown()
        self._client.close()

    def _pace(self) -> None:
        began = time.monotonic()
        for number in range(REQUESTS):
            time.sleep(max(0.0, began + number / RATE - time.monotonic()))
            self._due.put(number)

    def _ask(self) -> None:
        while True:
            try:
                number = self._due.get(timeout=0.5)
            except Empty:
                if self._done.is_set():
                    return
                continue
            try:
                if number % 2:
                    answer = self._client.post("/echo", content=str(number))
                    right = answer.status_code == 200 and answer.json()["body"] == str(number)
                else:
                    answer = self._client.get("/echo")
                    right = answer.status_code == 200
                self.results["ok" if right else f"{number % 2} {answer.status_code}"] += 1
            except httpx.HTTPError as error:
                self.results[f"{number % 2} {type(error).__name__}: {error}"] += 1


def test_behind_the_proxy_three_scale_and_are_replaced_without_losing_a_request(
    echoing: Compose,
) -> None:
    echoing.variables |= PROXIED
    echoing.make("up")
    address = https(echoing)
    old = echoing.containers("web")
    assert len(old) == 3
    assert_only_the_proxy_is_trusted(echoing, address)
    with httpx.Client(base_url=address, verify=False, timeout=PATIENCE) as client:  # noqa: S501
        assert "server" not in client.get("/readyz").headers, "nobody is told what serves here"

    # A version that does not start is taken away again, and the old one serves on.
    lifespan = echoing.project / "home" / "lifespan.py"
    kept = lifespan.read_text()
    put_lifespan(echoing.project, "fails")
    refused = echoing.make("build", "deploy", check=False)
    assert "does not become ready" in refused, refused
    assert "no tea today" in refused
    assert sorted(echoing.containers("web")) == sorted(old)
    assert versions(echoing) == {1}
    lifespan.write_text(kept)

    urls = echoing.project / "home" / "urls.py"
    urls.write_text(urls.read_text().replace('"version": 1', '"version": 2'))
    echoing.make("build")
    with Load(address) as load:
        echoing.make("deploy")
    print(dict(load.results))
    assert load.results == {"ok": REQUESTS}
    new = echoing.containers("web")
    assert len(new) == 3
    assert not set(new) & set(old)
    assert versions(echoing) == {2}

    echoing("up", "--detach", "--wait", "--scale", "web=2")
    assert len(echoing.containers("web")) == 2
    assert versions(echoing) == {2}


def assert_only_the_proxy_is_trusted(compose: Compose, address: str) -> None:
    """TLS, HTTP/2, compression; and what a client says of itself is not believed."""
    command = [
        "curl",
        "--silent",
        "--insecure",
        "--http2",
        "--output",
        "/dev/null",
        "--write-out",
        "%{http_version}",
    ]
    shown = subprocess.run([*command, address], capture_output=True, text=True, check=True)
    assert shown.stdout == "2"
    plain = f"http://localhost:{compose.address('proxy', 80).rpartition(':')[2]}"
    assert httpx.get(plain, verify=False).status_code == 308  # noqa: S501
    lie = {"X-Forwarded-For": "203.0.113.7", "X-Forwarded-Proto": "http", "Accept-Encoding": "gzip"}
    with httpx.Client(base_url=address, verify=False, timeout=PATIENCE) as client:  # noqa: S501
        assert client.get("/").headers["content-encoding"] == "gzip"
        told = client.get("/echo", headers=lie).json()
    assert told["secure"] is True, "the proxy's word"
    assert told["client"] != "203.0.113.7"

    # From another container of the network: not the proxy, so not believed.
    network = f"{compose.name}_proxy"
    ask = (
        "import http.client as h; c = h.HTTPConnection('web', 8000);"
        "c.request('GET', '/echo', headers={'Host': 'localhost', 'X-Forwarded-For': '203.0.113.7',"
        " 'X-Forwarded-Proto': 'https'}); print(c.getresponse().status)"
    )
    stranger = docker(
        "run", "--rm", f"--network={network}", "--entrypoint=python", compose.name, "-c", ask
    )
    assert stranger == "301", "as every request that did not come by TLS"
    assert (
        compose("port", "web", "8000", check=False) in ("", ":0")
        or not json.loads(docker("inspect", compose.containers("web")[0]))[0]["HostConfig"][
            "PortBindings"
        ]
    )


@pytest.mark.usefixtures("engine")
@pytest.mark.parametrize("answers", CHOICES, ids=lambda answers: "-".join(answers.values()))
def test_scan_finds_nothing_and_the_files_follow_the_schema(
    tmp_path: Path, answers: dict[str, str]
) -> None:
    project = locked_project(tmp_path, **answers)
    with composed(project) as compose:
        compose.make("scan", UV_NO_SYNC="0", UV_PROJECT_ENVIRONMENT=str(tmp_path / "scan"))
        schema = [
            str(ROOT / ".venv/bin/check-jsonschema"),
            "--builtin-schema",
            "vendor.compose-spec",
        ]
        whole = compose("-f", "compose.yaml", "-f", "compose.proxy.yaml", "config")
        (project / "whole.yaml").write_text(whole)
        done = subprocess.run(
            [*schema, "compose.yaml", "compose.override.yaml", "whole.yaml"],
            cwd=project, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout
        services = yaml.safe_load(whole)["services"]
        assert ("db" in services) == (answers["database"] == "postgres")
        assert ("cache" in services) == (answers["cache"] == "valkey")
        (project / "Dockerfile").write_text("FROM python\nRUN cd /x && apt-get install curl\n")
        assert "DL3006" in compose.make(
            "scan", check=False, UV_NO_SYNC="0", UV_PROJECT_ENVIRONMENT=str(tmp_path / "scan")
        )


@pytest.mark.usefixtures("engine")
def test_watch_serves_an_edit(tmp_path: Path) -> None:
    project = locked_project(tmp_path)
    said = tmp_path / "watch.log"
    with composed(project) as compose:
        with said.open("w") as log:
            watching = subprocess.Popen(
                ["make", f"UV={UV}", "watch"], cwd=project, stdout=log, stderr=subprocess.STDOUT,
                env=clean_environment() | compose.variables, start_new_session=True,
            )  # fmt: skip
        try:
            wait_for(lambda: compose.status("/readyz") == 200, "the server")
            wait_for(lambda: "Watch enabled" in said.read_text(), "the watch")
            views = project / "home" / "views.py"
            views.write_text(views.read_text().replace('"uptime_seconds"', '"seconds"'))

            def edited() -> bool:
                try:
                    return "seconds" in compose.get("/uptime/").json()
                except httpx.TransportError:
                    return False

            wait_for(edited, "the edit to be served")
        finally:
            os.killpg(watching.pid, signal.SIGTERM)
            watching.wait(PATIENCE)
