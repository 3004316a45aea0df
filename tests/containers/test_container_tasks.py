"""The service `worker` of a project with background tasks: hardened, healthy, scaled, replaced, rolled back."""

import json
from collections.abc import Iterator

import pytest

from tests.containers.test_container_compose import PROXIED
from tests.support.containers import Compose, composed, docker, locked_project, require_engine
from tests.support.server import wait_for
from tests.support.sites import program, put_lifespan

pytestmark = pytest.mark.container


@pytest.fixture
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Compose]:
    """A proxy, a server and two workers."""
    require_engine()
    project = locked_project(tmp_path_factory.mktemp("tasks"), tasks="database")
    with composed(project, **PROXIED, WORKER_REPLICAS="2") as compose:
        compose.variables |= {"WEB_REPLICAS": "1"}
        compose.make("build", "up")
        yield compose


def ask(site: Compose, name: str, word: str, *arguments: str) -> str:
    """What a program of tests/sites/programs/ prints behind a word, in the server's container."""
    env = ("-e", "DJANGO_SETTINGS_MODULE=config.settings")
    said = site("exec", "-T", *env, "web", "python", "-c", program(name), *arguments)
    return next(line.split()[1] for line in said.splitlines() if line.startswith(f"{word} "))


def run_one(site: Compose) -> None:
    """A task that the server's container enqueues is done by a worker."""
    key = ask(site, "enqueue_prune", "task")
    wait_for(lambda: ask(site, "show_task", "now", key) == "SUCCESSFUL", "the task")


def test_workers_run_tasks_and_are_replaced_with_the_server(site: Compose) -> None:
    old = site.containers("worker")
    assert len(old) == 2
    for container in old:
        found = json.loads(docker("inspect", container))[0]
        host = found["HostConfig"]
        assert found["Config"]["User"] == "10001:10001"
        assert found["State"]["Health"]["Status"] == "healthy"
        assert host["ReadonlyRootfs"]
        assert host["CapDrop"] == ["ALL"]
        assert host["SecurityOpt"] == ["no-new-privileges:true"]
        assert not host["PortBindings"]
        assert host["Memory"] == host["MemorySwap"] == 384 * 1024**2
    run_one(site)
    said = docker("logs", old[0]) + "\n" + docker("logs", old[1])
    assert "succeeded in" in said
    assert not [line for line in said.splitlines() if line and not line.startswith("{")]

    # A version that does not start takes the place of nothing.
    lifespan = site.project / "home" / "lifespan.py"
    kept = lifespan.read_text()
    web = site.containers("web")
    put_lifespan(site.project, "fails")
    refused = site.make("build", "deploy", check=False)
    assert "does not become ready" in refused, refused
    assert "no tea today" in refused
    assert sorted(site.containers("worker")) == sorted(old)
    assert site.containers("web") == web
    lifespan.write_text(f"{kept}\n# another version\n")

    site.make("build", "deploy")
    new = site.containers("worker")
    assert len(new) == 2
    assert not set(new) & set(old)
    assert site.containers("web") != web
    run_one(site)

    site.make("rollback")
    assert len(site.containers("worker")) == 2
    assert not set(site.containers("worker")) & set(new)
    run_one(site)

    docker("stop", "--time=30", site.containers("worker")[0])
    assert json.loads(docker("inspect", site.containers("worker")[0]))[0]["State"]["ExitCode"] == 0
