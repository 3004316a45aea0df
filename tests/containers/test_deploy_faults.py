"""`make deploy` against an engine that fails where a real one can't be made to: a program that plays it."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import bake_into, clean_environment, with_packages
from tests.support.server import PATIENCE, wait_for
from tests.support.sites import program


class Engine:
    """The program, its state, and a project whose deployment asks it."""

    def __init__(self, folder: Path, project: Path, replicas: int, running: int) -> None:
        self.project = project
        self.program = folder / "engine"
        source = program("fake_engine")
        self.program.write_text(f"#!{sys.executable} -IS\n{source}")
        self.program.chmod(0o755)
        self.file = folder / "state.json"
        old = {f"old{number}": container("web", number) for number in range(running)}
        self.state: dict[str, Any] = {
            "containers": {"proxy0": container("proxy", 0), **old},
            "replicas": replicas, "faults": {}, "gone_after": None,
            "least": 1_000_000, "calls": [], "counts": {}, "tags": {"latest": "sha256:built"},
            "proxy": "old.example", "needed": {},
        }  # fmt: skip

    def deploy(self, *tool: str, **changes: Any) -> tuple[int, str]:
        """The exit status of a deployment, and what it says."""
        process = self.start(*tool or ("replace",), **changes)
        said, _ = process.communicate(timeout=PATIENCE)
        return process.returncode, said

    def start(
        self, tool: str = "replace", *arguments: str, **changes: Any
    ) -> "subprocess.Popen[str]":
        self.state |= changes | {"calls": [], "counts": {}}
        self.file.write_text(json.dumps(self.state))
        return subprocess.Popen(
            [sys.executable, "-I", "packages/serving-tools/src", f"deploy.{tool}", *arguments],
            cwd=self.project, text=True,
            env=clean_environment() | {"ENGINE": str(self.program), "MIGRATIONS": "keep"},
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip

    def look(self) -> dict[str, Any]:
        self.state = json.loads(self.file.read_text())
        return self.state

    def images(self, service: str) -> set[str]:
        found = self.look()["containers"].values()
        return {one["image"] for one in found if one["service"] == service}

    @property
    def web(self) -> list[str]:
        """The ids of the servers, sorted."""
        found = self.look()["containers"].items()
        return sorted(name for name, one in found if one["service"] == "web")


def container(service: str, created: int) -> dict[str, Any]:
    return {
        "service": service, "created": created, "restarts": 0, "running": True, "ready": True,
        "status": "running", "image": "sha256:before", "command": ["serve"],
        "env": ["SITE_ADDRESS=old.example", "PRICE=$5"], "oneoff": False,
    }  # fmt: skip


@pytest.fixture(scope="module")
def baked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bake_into(tmp_path_factory.mktemp("faults"))


@pytest.fixture
def engine(tmp_path: Path, baked: Path) -> Engine:
    """Two servers that run, and two that are wanted."""
    return Engine(tmp_path, baked, replicas=2, running=2)


def test_each_is_replaced_and_one_always_serves(engine: Engine) -> None:
    status, said = engine.deploy()
    assert status == 0, said
    assert engine.web == ["new1", "new2"]
    assert engine.look()["least"] >= 3, "two servers and the proxy"


def test_a_proxy_of_another_configuration_is_said_before_anything_changes(engine: Engine) -> None:
    """Else the servers that are new send what it does not know."""
    status, said = engine.deploy(proxy="new.example")
    assert status == 1
    (line,) = said.splitlines()
    assert "the proxy is older than what Compose's files and .env say of it" in line
    assert " compose up --detach --no-deps --force-recreate proxy` " in line
    assert engine.web == ["old0", "old1"]
    assert not [call for call in engine.look()["calls"] if "migrate" in call]
    status, said = engine.deploy(proxy="old.example")
    assert status == 0, said


def test_a_dollar_of_the_proxys_variables_is_no_difference(engine: Engine) -> None:
    """Compose writes it twice, as in the hash of a password."""
    engine.state["containers"]["proxy0"]["env"] = ["SITE_ADDRESS=$2a$14$tea"]
    status, said = engine.deploy(proxy="$2a$14$tea")
    assert status == 0, said


@pytest.mark.parametrize(
    ("changes", "service", "said"),
    [
        ({"running": False, "status": "exited"}, {}, "no db runs, and a deployment starts none: "),
        (
            {},
            {"environment": {"PRICE": "$6"}},
            "the db is older than what Compose's files and .env ",
        ),
        (
            {},
            {"command": ["serve", "-c", "more"]},
            "the db is older than what Compose's files and .e",
        ),
        (
            {},
            {"volumes": [{"target": "/var/lib"}]},
            "the db is older than what Compose's files and .e",
        ),
    ],
)
def test_a_database_is_neither_started_nor_replaced_by_a_deployment(
    engine: Engine, changes: dict[str, Any], service: dict[str, Any], said: str
) -> None:
    """The servers that run would lose it, which lose no request else."""
    engine.state["containers"]["db0"] = container("db", 0) | changes
    status, line = engine.deploy(needed={"db": service})
    assert status == 1
    assert line.startswith(f"deploy: {said}"), line
    assert line.count("\n") == 1
    assert " compose up --detach --no-deps --force-recreate --wait db`" in line
    assert engine.web == ["old0", "old1"]

    engine.state["containers"]["db0"] = container("db", 0)
    as_it_runs = {"environment": {"PRICE": "$5"}, "command": ["serve"]}
    status, line = engine.deploy(needed={"db": as_it_runs})
    assert status == 0, line
    (migrated,) = [call for call in engine.look()["calls"] if call.startswith("compose run")]
    assert migrated == "compose run --rm -T --no-deps migrate"


def test_a_full_disk_leaves_what_runs(engine: Engine) -> None:
    status, said = engine.deploy(faults={"new2": "full"})
    assert status == 1
    assert "no space left on device" in said
    assert engine.web == ["new1", "old1"], (
        "the first was in place already; nothing half done is left"
    )
    assert engine.look()["least"] >= 3
    engine.state["containers"]["old0"] = engine.state["containers"].pop("new1")
    status, said = engine.deploy(faults={})
    assert status == 0, said
    assert engine.web == ["new1", "new2"]


@pytest.mark.parametrize("calls", [3, 12, 24, 36])
def test_an_engine_that_goes_is_said_and_the_next_run_sees_to_it(
    engine: Engine, calls: int
) -> None:
    status, said = engine.deploy(gone_after=calls)
    if status:
        assert "Cannot connect to the Docker daemon" in said
        assert "Traceback" not in said
    assert engine.look()["least"] >= 3
    left = engine.state["containers"]
    engine.state["containers"] = {f"was-{name}": one for name, one in left.items()}
    status, said = engine.deploy(gone_after=None)
    assert status == 0, said
    assert engine.web == ["new1", "new2"]
    assert engine.look()["least"] >= 3


def test_one_that_falls_ill_again_keeps_the_rest_of_the_old(engine: Engine) -> None:
    status, said = engine.deploy(faults={"new1": "falls ill"})
    assert status == 1
    assert "new1 was ready and is so no longer, so the others stay" in said
    assert engine.web == ["new1", "old1"]
    engine.state["containers"]["ill"] = engine.state["containers"].pop("new1")
    status, said = engine.deploy(faults={})
    assert status == 0, said
    assert engine.web == ["new1", "new2"]


def test_one_that_is_started_again_and_again_has_failed(engine: Engine) -> None:
    status, said = engine.deploy(faults={"new1": "restarts"})
    assert status == 1
    assert "the new container has ended" in said
    assert "no tea today" in said
    assert sum(call.startswith("exec") for call in engine.look()["calls"]) <= 2, (
        "no polls of a corpse"
    )
    assert engine.web == ["old0", "old1"]


def test_workers_that_a_failed_deployment_has_replaced_are_named_and_put_back(
    engine: Engine,
) -> None:
    engine.state["containers"]["old_worker"] = container("worker", 0)
    status, said = engine.deploy(faults={"new2": "restarts"})
    assert status == 1
    assert "every worker is replaced already: `make rollback` puts that back" in said
    assert (engine.images("worker"), engine.images("web")) == ({"sha256:built"}, {"sha256:before"})

    engine.state["containers"]["left"] = engine.state["containers"].pop("new1")
    status, said = engine.deploy("rollback", faults={})

    assert status == 0, said
    assert engine.images("worker") == engine.images("web") == {"sha256:before"}
    made = [call.split()[-1] for call in engine.look()["calls"] if call.startswith("compose up")]
    assert made == ["web", "web", "worker"], "nobody enqueues what no worker knows"
    assert engine.look()["tags"] == {"latest": "sha256:before", "previous": "sha256:built"}


@pytest.mark.parametrize(("moment", "replaced"), [("run", 0), ("new1", 0), ("new2", 1)])
def test_code_whose_migrations_have_not_run_never_serves(
    engine: Engine, moment: str, replaced: int
) -> None:
    """Compose makes each container of what has the name then, and a build may end at any moment."""
    status, said = engine.deploy(faults={moment: "built"})
    assert status == 1
    assert "sha256:later" not in engine.images("web")
    assert len(engine.web) == 2
    assert engine.look()["least"] >= 3
    line = said.splitlines()[-1]
    assert line.startswith(
        "deploy: shop:latest is no longer built, whose migrations have run: a build has ended meanwhile."
        f" {replaced} of 2 are replaced, "
    )
    assert line.endswith("the others stay as they are; `make deploy` replaces all")

    left = engine.state["containers"]
    engine.state["containers"] = {f"was-{name}": one for name, one in left.items()}
    status, said = engine.deploy(faults={})
    assert status == 0, said
    assert engine.images("web") == {"sha256:later"}, "nothing stays half"
    assert sum(call.startswith("compose run") for call in engine.look()["calls"]) == 1


def test_a_rollback_puts_back_nothing_but_its_image_and_takes_no_name_from_a_build(
    engine: Engine,
) -> None:
    engine.state["tags"]["previous"] = "sha256:before"
    for name in ("old0", "old1"):
        engine.state["containers"][name]["image"] = "sha256:built"
    status, said = engine.deploy("rollback", faults={"new2": "built"})
    assert status == 1
    assert engine.images("web") == {"sha256:before", "sha256:built"}
    assert "`make rollback TAG=before` replaces all" in said
    assert engine.look()["tags"]["latest"] == "sha256:later"


def test_a_removal_that_is_in_progress_is_one(engine: Engine) -> None:
    status, said = engine.deploy(faults={"old0": "in progress"})
    assert status == 0, said
    assert engine.web == ["new1", "new2"]


@pytest.mark.parametrize(("running", "replicas"), [(0, 2), (1, 3), (4, 2), (3, 1)])
def test_whatever_runs_the_number_wanted_is_there(
    tmp_path: Path, baked: Path, running: int, replicas: int
) -> None:
    engine = Engine(tmp_path, baked, replicas, running)
    for number in range(running, running + 2):
        ended = container("web", number) | {"running": False, "ready": False, "status": "exited"}
        engine.state["containers"][f"ended{number}"] = ended
    status, said = engine.deploy()
    assert status == 0, said
    assert engine.web == sorted(f"new{number + 1}" for number in range(replicas))
    assert engine.look()["least"] >= min(running, 1)


def test_of_the_old_those_that_do_not_serve_go_first(engine: Engine) -> None:
    engine.state["containers"]["old1"]["ready"] = False
    status, said = engine.deploy(faults={"new2": "full"})
    assert status == 1, said
    assert engine.web == ["new1", "old0"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_at_any_moment_leaves_no_surplus_and_no_gap(engine: Engine, number: int) -> None:
    process = engine.start()
    process.communicate(timeout=PATIENCE)
    calls = len(engine.look()["calls"])
    for moment in range(4, calls, 6 if number == signal.SIGINT else 20):
        names = {f"old{n}": container("web", n) for n in range(2)}
        state: dict[str, Any] = {
            "containers": {"proxy0": container("proxy", 0), **names},
            "least": 1_000_000,
        }
        process = engine.start(**state)
        wait_for(lambda m=moment: len(engine.look()["calls"]) >= m, "the moment")  # type: ignore[misc]
        os.killpg(process.pid, number)
        said, _ = process.communicate(timeout=PATIENCE)
        assert process.returncode in (0, 128 + number), said
        assert len(engine.web) == 2, said
        assert engine.look()["least"] >= 3


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_signals_without_end_are_one(engine: Engine, number: int) -> None:
    """Of an impatient person: they come while a command begins, and when all is done, too."""
    engine.start().communicate(timeout=PATIENCE)
    calls = len(engine.look()["calls"])
    for moment in (4, calls // 2, calls - 1, calls):
        names = {f"old{n}": container("web", n) for n in range(2)}
        state: dict[str, Any] = {
            "containers": {"proxy0": container("proxy", 0), **names},
            "least": 1_000_000,
        }
        process = engine.start(**state)
        wait_for(lambda m=moment: len(engine.look()["calls"]) >= m, "the moment")  # type: ignore[misc]
        while process.poll() is None:
            os.killpg(process.pid, number)
            time.sleep(0.0005)
        said, _ = process.communicate(timeout=PATIENCE)
        assert process.returncode in (0, 128 + number), said
        assert len(engine.web) == 2, said
        assert engine.look()["least"] >= 3


def test_a_lock_of_a_killed_one_holds_nobody_up(engine: Engine) -> None:
    process = engine.start(faults={"new1": "hangs"})
    wait_for(lambda: "new1" in engine.web, "the new container")
    second = subprocess.run(
        [sys.executable, "-I", "packages/serving-tools/src", "deploy.replace"], cwd=engine.project, text=True, check=False,
        env=clean_environment() | {"ENGINE": str(engine.program)}, capture_output=True,
    )  # fmt: skip
    assert second.returncode == 1
    assert f"another one runs (process {process.pid}, started by " in second.stderr
    process.kill()
    process.communicate()
    engine.look()
    engine.state["containers"]["left"] = engine.state["containers"].pop("new1")
    status, said = engine.deploy(faults={})
    assert status == 0, said
    assert engine.web == ["new1", "new2"]


def test_up_migrates_and_then_starts_and_notes_what_ran(engine: Engine) -> None:
    status, said = engine.deploy("up", faults={"run": "fails"})
    assert status == 1, said
    assert engine.look()["tags"] == {"latest": "sha256:built"}
    assert not [call for call in engine.state["calls"] if call.startswith("compose up")]
    status, said = engine.deploy("up", faults={})
    assert status == 0, said
    assert engine.look()["tags"] == {"latest": "sha256:built", "previous": "sha256:before"}
    assert engine.state["calls"][-1] == "compose up --detach --wait"


def test_a_build_that_ends_meanwhile_is_said_where_there_is_no_proxy(engine: Engine) -> None:
    """`make up` would replace what runs before the new image's migrations had succeeded."""
    status, said = engine.deploy("up", faults={"run": "built"}, proxy="")
    assert status == 1
    assert said.startswith("up: shop:latest is no longer the image whose migrations have run: ")
    assert engine.images("web") == {"sha256:before"}
    status, said = engine.deploy("up", faults={})
    assert (status, engine.images("web")) == (0, {"sha256:later"}), said

    # Where there is no image yet, Compose builds it.
    status, said = engine.deploy("up", faults={"run": "built"}, tags={"previous": "sha256:before"})
    assert (status, engine.images("web")) == (0, {"sha256:later"}), said

    status, said = engine.deploy("rollback", faults={"new1": "built"})
    assert status == 1
    assert "; `make rollback TAG=before` again" in said
    assert engine.look()["tags"]["latest"] == "sha256:later", "it is what the folder holds"
    status, said = engine.deploy("rollback", faults={})
    assert (status, engine.images("web")) == (0, {"sha256:before"}), said


def test_two_builds_of_two_checkouts_may_end_at_one_moment(engine: Engine) -> None:
    """The engine removes what has no name for one of them alone."""
    status, said = engine.deploy(
        "images", "built", faults={"prune": "a prune operation is already running"}
    )
    assert status == 0, said
    status, said = engine.deploy("images", "built", faults={"prune": "no space left on device"})
    assert (status, said.splitlines()[-1]) == (
        1,
        "images: Error response from daemon: no space left on device",
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_two_never_migrate_at_once(engine: Engine, number: int) -> None:
    """Neither of which would wait for the other: both find the same migrations to run."""

    def runs() -> list[str]:
        return [call for call in engine.look()["calls"] if call.startswith("compose run")]

    process = engine.start("up", faults={"run": "hangs"})
    wait_for(runs, "the migrations")
    for tool in ("up", "replace", "rollback"):
        second = subprocess.run(
            [sys.executable, "-I", "packages/serving-tools/src", f"deploy.{tool}"], cwd=engine.project, text=True,
            check=False, env=clean_environment() | {"ENGINE": str(engine.program)}, capture_output=True,
        )  # fmt: skip
        assert second.returncode == 1
        assert f"another one runs (process {process.pid}, started by " in second.stderr
    os.killpg(process.pid, number)
    said, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 128 + number, said
    assert len(runs()) == 1
    assert not [call for call in engine.state["calls"] if call.startswith("compose up")]


@pytest.mark.parametrize("tool", ["up", "replace"])
def test_migrations_that_a_killed_one_has_left_running_are_said(engine: Engine, tool: str) -> None:
    left = container("migrate", 0) | {"oneoff": True}
    engine.state["containers"]["left"] = left
    status, said = engine.deploy(tool)
    assert status == 1
    assert "migrations run already, in container left: wait for them, or end them with " in said
    engine.state["containers"]["left"] = left | {"running": False, "status": "exited"}
    status, said = engine.deploy(tool)
    assert status == 0, said
    assert "left" not in engine.look()["containers"]


def test_a_signal_may_interrupt_a_line(baked: Path, tmp_path: Path) -> None:
    """Ctrl-C pressed twice: the handler's own line may be what the second one interrupts."""
    with (tmp_path / "said").open("w") as said:
        process = subprocess.Popen(
            [sys.executable, "-c", program("speak")], stdout=said, stderr=said,
            env=with_packages(baked, clean_environment()),
        )  # fmt: skip
    wait_for((tmp_path / "said").read_text, "a line")
    for _ in range(20_000):
        process.send_signal(signal.SIGINT)
    alive = process.poll() is None
    process.kill()
    process.wait()
    lines = set((tmp_path / "said").read_text().splitlines()[:-1])
    assert alive, lines - {"deploy: (1 of 2)"}
    assert lines == {"deploy: (1 of 2)", "deploy: SIGINT: undoing what is half done"}
