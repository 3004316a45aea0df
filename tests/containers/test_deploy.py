"""`make deploy` that is interrupted, met by another one, or fails; and two checkouts on one machine."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conftest import bake_into, clean_environment, with_packages
from tests.support.containers import (
    UV,
    Compose,
    composed,
    docker,
    locked_project,
    make,
    require_engine,
)
from tests.support.server import PATIENCE, free_port, wait_for
from tests.support.sites import put_lifespan

pytestmark = pytest.mark.container

# What a container does wrong, by variables of one deployment.
WRONG = """
services:
  web:
    environment:
      SLOW_START: ${SLOW_START:-0}
      EXIT_AT_START: ${EXIT_AT_START:-}
  migrate:
    environment:
      SLOW_MIGRATION: ${SLOW_MIGRATION:-0}
      FAIL_MIGRATION: ${FAIL_MIGRATION:-}
"""


MIGRATE = """
import os, sys, time
if sys.argv[1:2] == ["migrate"]:
    time.sleep(float(os.environ.get("SLOW_MIGRATION", "0")))
    if os.environ.get("FAIL_MIGRATION"):
        sys.exit("no tea for migrations")
"""

REPLICAS = 2


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Compose]:
    """A proxy and two servers. Each test leaves two servers that answer."""
    require_engine()
    project = locked_project(tmp_path_factory.mktemp("deploy"))
    put_lifespan(project, "slow")
    (project / "manage.py").write_text(MIGRATE + (project / "manage.py").read_text())
    (project / "compose.wrong.yaml").write_text(WRONG)
    files = "compose.yaml:compose.proxy.yaml:compose.wrong.yaml"
    with composed(project, COMPOSE_FILE=files, WEB_REPLICAS=str(REPLICAS)) as compose:
        compose.make("build", "up")
        yield compose


@pytest.fixture(autouse=True)
def _whole(request: pytest.FixtureRequest) -> Iterator[None]:
    """Whatever a test did to the site, nothing of it is left."""
    yield
    if "site" in request.fixturenames:
        site: Compose = request.getfixturevalue("site")
        assert_whole(site, REPLICAS)


def states(site: Compose) -> list[str]:
    """What each web container is, ready ones as "ready"."""
    return ["ready" if is_ready(container) else "other" for container in site.containers("web")]


def is_ready(container: str) -> bool:
    ask = ("python", "-I", "-m", "serving_tools.healthcheck", "/readyz")
    done = subprocess.run(["docker", "exec", container, *ask], capture_output=True, check=False)
    return done.returncode == 0


def oneoff(site: Compose) -> list[str]:
    """The containers of `compose run`."""
    mine = f"--filter=label=com.docker.compose.project={site.name}"
    return docker(
        "ps", "--all", "--quiet", mine, "--filter=label=com.docker.compose.oneoff=True"
    ).splitlines()


def assert_whole(site: Compose, replicas: int) -> None:
    assert states(site) == ["ready"] * replicas
    assert oneoff(site) == []


class Deploying:
    """`make deploy`, or another target, as it runs."""

    def __init__(self, site: Compose, target: str = "deploy", **variables: str) -> None:
        self.log = site.project.parent / f"deploy-{uuid.uuid4().hex[:8]}.log"
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                ["make", "--no-print-directory", f"UV={UV}", target], cwd=site.project,
                env=clean_environment() | site.variables | variables,
                stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip

    @property
    def said(self) -> str:
        return self.log.read_text()

    def wait_for(self, condition: Callable[[], object], what: str) -> None:
        def true_or_over() -> bool:
            assert self.process.poll() is None, f"it ended before {what}: {self.said}"
            return bool(condition())

        wait_for(true_or_over, what)

    def signal(self, number: int) -> None:
        """To all of them, as a terminal does."""
        os.killpg(self.process.pid, number)

    def wait(self) -> int:
        return self.process.wait(PATIENCE)


def test_a_proxy_that_is_older_than_its_configuration_is_said(site: Compose) -> None:
    """Before anything changes: the new servers would send what an older one does not know."""
    before = site.containers("web")
    caddyfile = site.project / "deploy" / "Caddyfile"
    old = caddyfile.read_text()

    def refused(what: str, **variables: str) -> bool:
        said = site.make("deploy", check=False, **variables)
        (line,) = [line for line in said.splitlines() if line.startswith("deploy: ")]
        assert line.startswith(f"deploy: the proxy is older than {what}, and ")
        (command,) = re.findall(r"`docker (compose .*?)`", line)
        assert site.containers("web") == before
        site(*command.split()[1:])
        return True

    assert refused("what Compose's files and .env say of it", MAX_BODY_SIZE="1000000")
    with caddyfile.open("a") as file:  # as some editors do, and `sed -i` does not
        file.write("# Tea\n")
    os.utime(
        caddyfile, (time.time() + 2,) * 2
    )  # not within the second in which the proxy was started
    assert refused("deploy/Caddyfile")
    other = caddyfile.with_name("other")
    other.write_text(old)
    other.replace(caddyfile)
    assert refused("deploy/Caddyfile")
    site.make("deploy")
    assert not set(site.containers("web")) & set(before)


Step = Callable[[Compose, Deploying], bool]
STEPS: dict[str, tuple[dict[str, str], Step]] = {
    "migrations": ({"SLOW_MIGRATION": "600"}, lambda site, _: len(oneoff(site)) == 1),
    "start": ({"SLOW_START": "600"}, lambda site, _: len(site.containers("web")) == REPLICAS + 1),
    "half-way": ({}, lambda _, deploying: "(1 of 2)" in deploying.said),
}


@pytest.mark.parametrize(
    ("step", "number"),
    [
        ("migrations", signal.SIGINT),
        ("migrations", signal.SIGTERM),
        ("start", signal.SIGINT),
        ("start", signal.SIGTERM),
        ("start", signal.SIGHUP),
        ("half-way", signal.SIGINT),
    ],
)
def test_an_interrupted_deployment_is_undone(site: Compose, step: str, number: int) -> None:
    variables, reached = STEPS[step]
    before = set(site.containers("web"))
    deploying = Deploying(site, **variables)
    deploying.wait_for(lambda: reached(site, deploying), step)

    deploying.signal(number)
    deploying.signal(number)  # people press twice

    assert deploying.wait() != 0, deploying.said
    # make may end before the process that it started, which undoes.
    wait_for(lambda: not make_holds_the_lock(site.project), "the lock to be free")
    assert_whole(site, REPLICAS)
    kept = before & set(site.containers("web"))
    assert len(kept) == (REPLICAS - 1 if step == "half-way" else REPLICAS)


def make_holds_the_lock(project: Path) -> bool:
    ask = "from serving_tools.deploy.lock import holder; print(holder())"
    done = subprocess.run(
        [sys.executable, "-c", ask], cwd=project, env=with_packages(project, clean_environment()),
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return done.stdout.strip() != "None"


def test_a_second_one_says_who_has_the_lock_and_up_and_down_wait_too(site: Compose) -> None:
    first = Deploying(site, SLOW_START="600")
    first.wait_for(lambda: len(site.containers("web")) == REPLICAS + 1, "a new container")

    for target in ("build", "deploy", "rollback", "up", "down", "restart"):
        said = site.make(target, check=False)
        assert re.search(
            r"runs \(process \d+, started by \w+ at \d\d:\d\d:\d\d\); wait for it", said
        )

    first.signal(signal.SIGINT)
    first.wait()
    wait_for(lambda: not make_holds_the_lock(site.project), "the lock to be free")


def test_nobody_migrates_while_up_does(site: Compose) -> None:
    before = site.containers("web")
    first = Deploying(site, "up", SLOW_MIGRATION="600")
    first.wait_for(lambda: oneoff(site), "the migrations")

    for target in ("deploy", "rollback", "up", "build"):
        said = site.make(target, check=False)
        assert re.search(r"runs \(process \d+, started by \w+ at [\d:]+\); wait for it", said)
    assert len(oneoff(site)) == 1

    first.signal(signal.SIGINT)
    assert first.wait() != 0
    wait_for(lambda: not make_holds_the_lock(site.project), "the lock to be free")
    wait_for(lambda: not oneoff(site), "the migrations to end")
    assert site.containers("web") == before


def test_what_a_killed_one_left_behind_is_taken_away(site: Compose) -> None:
    killed = Deploying(site, SLOW_START="600")
    killed.wait_for(lambda: len(site.containers("web")) == REPLICAS + 1, "a new container")
    killed.signal(signal.SIGKILL)
    killed.wait()
    docker("stop", "--time=1", site.containers("web")[0])
    assert len(site.containers("web")) == REPLICAS + 1
    before = set(site.containers("web"))

    site.make("deploy")

    assert not before & set(site.containers("web"))


def test_the_number_of_replicas_is_applied(site: Compose) -> None:
    for replicas in (3, 1, REPLICAS):
        before = set(site.containers("web"))
        said = site.make("deploy", WEB_REPLICAS=str(replicas))
        assert_whole(site, replicas)
        assert not before & set(site.containers("web"))
        assert f"({replicas} of {replicas})" in said
    assert "would leave nobody" in site.make("deploy", check=False, WEB_REPLICAS="0")


def test_one_that_has_ended_fails_at_once_with_its_log(site: Compose) -> None:
    before = site.containers("web")
    said = site.make("deploy", check=False, EXIT_AT_START="yes")
    assert "the new container has ended: it does not become ready, so it is removed" in said
    assert "no tea today" in said
    assert sorted(site.containers("web")) == sorted(before)


def test_nothing_is_touched_where_the_image_is_missing_or_migrations_fail(site: Compose) -> None:
    before = site.containers("web")
    said = site.make("deploy", check=False, TAG="nosuch")
    assert f"there is no image {site.name}:nosuch; `make build` builds it" in said
    said = site.make("deploy", check=False, FAIL_MIGRATION="yes")
    assert "no tea for migrations" in said
    assert "the migrations failed; what runs stays as it is" in said
    assert site.containers("web") == before
    assert site.inspect("web")["RestartCount"] == 0


def test_a_database_is_left_alone_or_what_it_lacks_is_said(tmp_path: Path) -> None:
    """Compose would have started it anew with the migrations, and all servers had lost it."""
    require_engine()
    project = locked_project(tmp_path, database="postgres", cache="valkey")
    files = "compose.yaml:compose.proxy.yaml"
    with composed(project, COMPOSE_FILE=files, WEB_REPLICAS="1") as site:
        site.make("build", "up")
        needed = {name: site.inspect(name)["State"]["StartedAt"] for name in ("db", "cache")}

        def refused(said: str, **variables: str) -> None:
            before = site.containers("web")
            (line,) = re.findall("deploy: .*", site.make("deploy", check=False, **variables))
            assert line.startswith(f"deploy: {said}"), line
            assert site.containers("web") == before
            (command,) = re.findall(r"`docker (compose .*?)`", line)
            docker(*command.split(), check=True, cwd=project, **site.variables | variables)

        site.make("deploy")
        assert {name: site.inspect(name)["State"]["StartedAt"] for name in needed} == needed
        more = {"DATABASE_MAX_CONNECTIONS": "150"}
        refused("the db is older than what Compose's files and .env say of it", **more)
        docker("stop", site.containers("cache")[0])
        refused("no cache runs, and a deployment starts none", **more)
        site.make("deploy", check=True, **more)


# Two checkouts on one machine


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    require_engine()
    project = bake_into(tmp_path)
    make(project, ".env", UV_NO_SYNC="1")
    return project


@pytest.fixture
def name() -> Iterator[str]:
    """A Compose project's name, whose containers are removed."""
    name = f"test-{uuid.uuid4().hex[:8]}"
    yield name
    mine = f"--filter=label=com.docker.compose.project={name}"
    for container in docker("ps", "--all", "--quiet", mine).splitlines():
        docker("rm", "--force", container)
    for volume in docker("volume", "ls", "--quiet", mine).splitlines():
        docker("volume", "rm", "--force", volume)


def started(name: str, folder: Path, *options: str, command: str = "create") -> str:
    """A container as Compose starts it in a folder."""
    return docker(
        command, f"--label=com.docker.compose.project={name}",
        f"--label=com.docker.compose.project.working_dir={folder}", *options, "caddy:2",
    ).splitlines()[0]  # fmt: skip


def ask_checkout(project: Path, *arguments: str, **variables: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-I", "packages/serving-tools/src", "deploy.checkout", *arguments], cwd=project,
        env=clean_environment() | variables, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout


@pytest.mark.parametrize(
    "target", ["build", "up", "down", "restart", "watch", "deploy", "rollback"]
)
def test_no_target_touches_the_containers_of_another_checkout(
    checkout: Path, tmp_path: Path, name: str, target: str
) -> None:
    (checkout / "uv.lock").touch()
    first = shutil.copytree(checkout, tmp_path / "first")
    container = started(name, first)

    said = make(checkout, target, check=False, COMPOSE_PROJECT_NAME=name, PORT="0")

    words = f"the containers named {name} are those of {first}, and this is {checkout}"
    assert said.count(words) == 1, said
    assert f"COMPOSE_PROJECT_NAME={name}-2" in said
    assert "TAKE_OVER=true" in said
    assert json.loads(docker("inspect", container))[0]["State"]["Status"] == "created"
    assert docker("images", "--quiet", name) == ""


def test_a_checkout_that_was_moved_or_takes_over_has_its_containers(
    checkout: Path, tmp_path: Path, name: str
) -> None:
    first = shutil.copytree(checkout, tmp_path / "first")
    started(name, first)
    variables = {"COMPOSE_PROJECT_NAME": name, "PORT": "0"}
    assert ask_checkout(first, "up", **variables) == (0, "")
    linked = tmp_path / "current"
    linked.symlink_to(first)
    assert ask_checkout(linked, "up", **variables) == (0, "")
    assert ask_checkout(checkout, "up", **variables)[0] == 1
    assert ask_checkout(checkout, "up", TAKE_OVER="true", **variables) == (0, "")
    first.rename(tmp_path / "moved")
    assert ask_checkout(tmp_path / "moved", "up", **variables) == (0, "")


def test_one_variable_names_all_and_another_name_is_another_site(checkout: Path) -> None:
    for variables, name in (({}, "my-project"), ({"COMPOSE_PROJECT_NAME": "other"}, "other")):
        done = subprocess.run(
            ["docker", "compose", "config", "--format=json"], cwd=checkout, check=True,
            env=clean_environment() | variables, capture_output=True,
        )  # fmt: skip
        configured = json.loads(done.stdout)
        assert configured["name"] == name
        assert configured["services"]["web"]["image"] == f"{name}:latest"
        assert configured["volumes"]["data"]["name"] == f"{name}_data"


def test_a_new_env_file_gives_a_second_checkout_a_name_of_its_own(
    tmp_path: Path, name: str
) -> None:
    project = bake_into(tmp_path, project_slug=name)

    def named(folder: Path) -> str:
        (folder / ".env").unlink(missing_ok=True)
        make(folder, ".env", UV_NO_SYNC="1")
        found = re.search(
            "^COMPOSE_PROJECT_NAME=(.+)$", (folder / ".env").read_text(), re.MULTILINE
        )
        assert found
        return found[1]

    assert named(project) == name
    assert named(shutil.copytree(project, tmp_path / f"{name}-fix")) == f"{name}-fix"
    assert named(shutil.copytree(project, tmp_path / "My App")) == f"{name}-my-app"
    container = started(name, project)
    assert named(project) == name, "its own"
    second = shutil.copytree(project, tmp_path / "b" / name)
    assert named(second) == f"{name}-2"
    docker("rm", container)
    docker("volume", "create", f"--label=com.docker.compose.project={name}", f"{name}_data")
    assert named(second) == f"{name}-2", "nor does it take the data of one that is down"


def test_a_port_that_is_taken_is_said_with_its_holder(
    checkout: Path, tmp_path: Path, name: str
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        holder = Path("/proc/self/comm").read_text().strip()  # pytest-xdist may have named it
        status, said = ask_checkout(checkout, "up", PORT=port)
        assert (status, said) == (
            1,
            f"up: port {port} of web is taken by {holder} (process {os.getpid()}): set PORT in .env to another, or stop"
            " that one\n",
        )
    port = str(free_port())
    assert ask_checkout(checkout, "up", PORT=port) == (0, "")
    started(name, tmp_path / "other", f"--publish=127.0.0.1:{port}:80", "--detach", command="run")
    status, said = ask_checkout(checkout, "up", PORT=port)
    assert status == 1
    assert re.search(rf"port {port} of web is taken by container \w+ of {tmp_path}/other", said)
    assert ask_checkout(checkout, "down", PORT=port) == (0, "")
    assert ask_checkout(checkout, "up", PORT=port, COMPOSE_PROJECT_NAME=name, TAKE_OVER="true") == (
        0,
        "",
    ), "its own container has it"


def test_addresses_that_another_network_has_are_said(checkout: Path, name: str) -> None:
    variables = {
        "COMPOSE_FILE": "compose.yaml:compose.proxy.yaml",
        "PROXY_NETWORK": "10.198.77", "PORT": "0", "HTTP_PORT": "0", "HTTPS_PORT": "0",
    }  # fmt: skip
    assert ask_checkout(checkout, "up", **variables) == (0, "")
    docker("network", "create", "--subnet=10.198.64.0/20", name)
    try:
        status, said = ask_checkout(checkout, "up", **variables)
    finally:
        docker("network", "rm", name)
    assert status == 1
    assert f"10.198.77.0/24 are those of the network {name}: set PROXY_NETWORK in .env" in said


def test_where_no_engine_answers_nothing_is_said(checkout: Path) -> None:
    assert ask_checkout(checkout, "up", ENGINE="nosuch") == (0, "")
    assert ask_checkout(checkout, "up", DOCKER_HOST="tcp://127.0.0.1:1") == (0, "")
