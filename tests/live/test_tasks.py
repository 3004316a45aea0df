"""Background tasks of a project on real processes: a server that enqueues, and workers that run."""

import os
import re
import shutil
import signal
import sqlite3
import subprocess
import time
from collections import Counter
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pexpect
import psutil
import pytest

from tests.conftest import BUILD, ROOT, Run, Serve, add_ada, bake_into
from tests.live.test_metrics import figures
from tests.support import readme
from tests.support.owner import Owner
from tests.support.packages import TOOLS
from tests.support.server import (
    PATIENCE,
    Server,
    dev_variables,
    free_ports,
    server_environment,
    wait_for,
)
from tests.support.services import Postgres
from tests.support.sites import SITES, program, put_lifespan

PAGE = ROOT / "docs" / "tasks.md"
SETTINGS = {"DJANGO_SETTINGS_MODULE": "config.settings"}
WORKER = "python manage.py worker --interval 0.05"


def with_errands(folder: Path, **answers: Any) -> Path:
    """A project with background tasks, and the app of tests/sites/errands/."""
    project = bake_into(folder, tasks="database", **answers)
    ignore = shutil.ignore_patterns("__pycache__")
    shutil.copytree(SITES / "errands", project / "errands", ignore=ignore)
    replace_in(project, "settings", "INSTALLED_APPS = [\n", 'INSTALLED_APPS = [\n    "errands",\n')
    set_option(project, '"BACKOFF_INITIAL": 0.2')
    address = '    path("errands/", include("errands.urls")),\n'
    replace_in(project, "urls", "urlpatterns = [\n", f"urlpatterns = [\n{address}")
    return project


def replace_in(project: Path, name: str, old: str, new: str) -> None:
    """Replaces a text of a module of config/, which stands there once."""
    file = project / "config" / f"{name}.py"
    assert file.read_text().count(old) == 1, old
    file.write_text(file.read_text().replace(old, new))


def set_option(project: Path, option: str) -> None:
    """Adds an option of the tasks' backend to a project's settings."""
    replace_in(project, "settings", '"TASK_TIMEOUT": ', f'{option},\n            "TASK_TIMEOUT": ')


@pytest.fixture(scope="session")
def errands(tmp_path_factory: pytest.TempPathFactory, run: Run) -> Path:
    """Such a project with its SQLite database and a user, to be copied."""
    project = with_errands(tmp_path_factory.mktemp("errands"))
    add_ada(project, run)
    collect = ("manage.py", "collectstatic", "--noinput", "--verbosity", "0")
    run(project, "python", *collect, **server_environment(project))
    return project


@dataclass
class Site:
    """A project, its server, and what its database holds."""

    project: Path
    serve: Serve
    server: Server

    def worker(self, **variables: str) -> Server:
        """A worker that has begun to ask for tasks."""
        worker = self.serve(self.project, WORKER, **variables)
        worker.wait_for_log(" starting: queues=")
        return worker

    def enqueue(self, name: str, **arguments: object) -> str:
        """The id of a task that a page has enqueued."""
        headers = {"X-Request-ID": f"of-{name}"}
        answer = self.server.get(f"/errands/{name}/", params=arguments, headers=headers)
        assert answer.status_code == 200, answer.text
        return answer.text

    def row(self, key: str) -> tuple[Any, ...]:
        """Status, attempts and errors of a task."""
        with closing(sqlite3.connect(self.project / "db.sqlite3")) as database:
            found: tuple[Any, ...] = database.execute(
                "SELECT status, attempts, errors FROM django_ox_oxtask WHERE id = ?",
                [key.replace("-", "")],
            ).fetchone()
        return found

    def becomes(self, key: str, status: str) -> tuple[Any, ...]:
        wait_for(lambda: self.row(key)[0] == status, f"{key} to be {status}: {self.row(key)}")
        return self.row(key)


@pytest.fixture
def site(tmp_path: Path, errands: Path, serve: Serve) -> Site:
    project = shutil.copytree(errands, tmp_path / "project")
    return Site(project, serve, serve(project).ready())


def lines(file: Path) -> list[str]:
    return file.read_text().splitlines() if file.exists() else []


def has_ended(file: Path) -> bool:
    return "ended" in lines(file)


# What a task finds


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("look", "sync: open=True, users=1, postgres://ada:********@db/shop"),
        ("look_async", "async: open=True, users=1, own loop=True"),
        ("async/look", "sync: open=True, users=1, postgres://ada:********@db/shop"),
    ],
)
def test_a_task_has_the_requests_id_and_what_the_lifespan_opened(
    site: Site, name: str, said: str
) -> None:
    worker = site.worker()
    answer = site.server.get(f"/errands/{name}/", headers={"X-Request-ID": "tea-1"})

    site.becomes(answer.text, "SUCCESSFUL")

    (seen,) = [record for record in worker.records if record["log.logger"] == "errands.tasks"]
    assert seen["message"] == said
    assert seen["http.request.id"] == "tea-1"
    worker.wait_for_log("succeeded in")  # which it says after it has written that
    (done,) = [record for record in worker.records if "succeeded in" in record["message"]]
    assert done["http.request.id"] == "tea-1"
    assert done["task_id"] == answer.text
    assert worker.stop() == 0
    assert not [line for line in worker.log.splitlines() if not line.startswith("{")]
    assert "hunter2" not in worker.log
    stopped = [record["message"] for record in worker.records][-2:]
    assert any(re.fullmatch(r"errands: stopped in \d+ ms", message) for message in stopped)


@pytest.mark.parametrize("name", ["link", "link_async"])
def test_a_link_that_a_task_makes_has_the_sites_path(site: Site, tmp_path: Path, name: str) -> None:
    key = site.enqueue(name, file=tmp_path / "links")
    site.worker(GRANIAN_URL_PATH_PREFIX="/app")

    site.becomes(key, "SUCCESSFUL")

    assert lines(tmp_path / "links") == ["/app/errands/look/"]


def test_what_a_transaction_takes_back_is_not_run(site: Site, tmp_path: Path) -> None:
    site.worker()
    found = {"file": tmp_path / "noted", "line": "rolled back"}
    assert site.server.get("/errands/rolled-back/note/", params=found).status_code == 200

    site.becomes(site.enqueue("note", file=tmp_path / "noted", line="kept"), "SUCCESSFUL")

    assert lines(tmp_path / "noted") == ["kept"]


def test_without_a_lifespan_tasks_run_or_the_worker_ends_as_the_server_does(
    site: Site, tmp_path: Path
) -> None:
    put_lifespan(site.project, "fails_with_a_secret")

    refused = site.serve(site.project, WORKER)
    assert refused.wait() == 1
    assert "startup failed: home: " in refused.log
    assert "hunter2" not in refused.log
    assert not [line for line in refused.log.splitlines() if not line.startswith("{")]

    optional = site.worker(LIFESPAN="optional")
    optional.wait_for_log("tasks run without the apps' state")
    site.becomes(site.enqueue("note", file=tmp_path / "noted", line="tea"), "SUCCESSFUL")
    optional.kill()
    disabled = site.worker(LIFESPAN="disabled")
    site.becomes(site.enqueue("note", file=tmp_path / "noted", line="tea"), "SUCCESSFUL")
    assert disabled.stop() == 0
    assert "started in" not in disabled.log


# The end


def test_sigterm_lets_a_task_end(site: Site, tmp_path: Path) -> None:
    worker = site.worker()
    key = site.enqueue("hold", begun=tmp_path / "begun", release=tmp_path / "release")
    wait_for(lambda: lines(tmp_path / "begun"), "the task to begin")

    worker.signal()
    worker.wait_for_log("draining")
    (tmp_path / "release").touch()

    assert worker.wait() == 0
    assert site.row(key)[0] == "SUCCESSFUL"
    assert "given back" not in worker.log


def test_signals_that_come_together_are_one_order(site: Site, tmp_path: Path) -> None:
    """systemd signals each process of a service, and uv and make pass theirs on."""
    worker = site.worker()
    key = site.enqueue("hold", begun=tmp_path / "begun", release=tmp_path / "release")
    wait_for(lambda: lines(tmp_path / "begun"), "the task to begin")

    worker.signal(signal.SIGTERM)
    worker.signal(signal.SIGINT)  # a second SIGTERM might become one with the first
    worker.wait_for_log("draining")
    (tmp_path / "release").touch()

    assert worker.wait() == 0
    assert site.row(key)[0] == "SUCCESSFUL"


def test_a_second_order_ends_a_worker_at_once(site: Site, tmp_path: Path) -> None:
    worker = site.worker(DRAIN_TIMEOUT="600")
    site.enqueue("hold", begun=tmp_path / "begun", release=tmp_path / "release")
    wait_for(lambda: lines(tmp_path / "begun"), "the task to begin")

    def ends() -> bool:
        worker.signal()
        return worker.exited

    wait_for(ends, "an end that waits for no task")
    assert worker.wait() == 130


def test_a_task_that_takes_longer_is_given_back_and_run_by_another(
    site: Site, tmp_path: Path
) -> None:
    worker = site.worker(DRAIN_TIMEOUT="0.5")
    key = site.enqueue("hold", begun=tmp_path / "begun", release=tmp_path / "release")
    other = site.enqueue("hold_async", begun=tmp_path / "async")
    wait_for(lambda: lines(tmp_path / "begun") and lines(tmp_path / "async"), "both to begin")

    assert worker.stop() == 0

    assert site.row(key)[:2] == ("READY", 1)
    assert site.row(other)[:2] == ("READY", 1)
    given = [r for r in worker.records if "was given back: it took longer" in r["message"]]
    assert {r["http.request.id"] for r in given} == {"of-hold", "of-hold_async"}
    assert all("than DRAIN_TIMEOUT=0.5" in r["message"] for r in given)
    assert "errands: stopped in" in worker.log
    assert lines(tmp_path / "async") == ["begun", "open=True"], "it cleans up before"
    assert "heard of a cut task: open=True" in worker.log, "and its thread, too"
    (tmp_path / "release").touch()
    site.worker()
    site.becomes(key, "SUCCESSFUL")
    assert lines(tmp_path / "begun") == ["begun", "begun", "ended"]
    wait_for(lambda: lines(tmp_path / "async").count("begun") == 2, "the other to begin again")


@pytest.mark.parametrize("how", ["block", "wait_in_a_thread"])
def test_a_task_that_keeps_the_event_loop_is_given_back_and_the_process_ends(
    site: Site, tmp_path: Path, how: str
) -> None:
    worker = site.worker(DRAIN_TIMEOUT="0.5", LIFESPAN_SHUTDOWN_TIMEOUT="0.5")
    key = site.enqueue(how, begun=tmp_path / "begun")
    wait_for(lambda: lines(tmp_path / "begun"), "it to begin")

    assert worker.stop() == 0

    assert site.row(key)[:2] == ("READY", 1)
    assert "shutdown: not done after 2.5 s, so the process ends without" in worker.log
    assert ("errands: stopped in" in worker.log) == (how == "wait_in_a_thread")


def test_a_worker_that_a_task_blocks_is_replaced(site: Site, tmp_path: Path) -> None:
    set_option(site.project, '"TASK_TIMEOUT_GRACE": 0.2')
    worker = site.worker(TASK_TIMEOUT="0.2", LIFESPAN_SHUTDOWN_TIMEOUT="0.5")
    site.enqueue("block", begun=tmp_path / "begun")

    worker.wait_for_log("recycling: no new claims")

    assert worker.wait() == 75
    (stuck,) = [r for r in worker.records if " did not stop 0.2s after " in r["message"]]
    assert stuck["http.request.id"] == "of-block"


def test_what_is_left_in_time_is_left_whole(site: Site) -> None:
    """However short the time for tasks was."""
    put_lifespan(site.project, "leaves_slowly")
    worker = site.worker(DRAIN_TIMEOUT="0.5")

    assert worker.stop() == 0

    assert "home: left" in worker.log


def test_without_the_database_the_lifespans_are_left(site: Site, tmp_path: Path) -> None:
    worker = site.worker(DRAIN_TIMEOUT="0.5")
    site.enqueue("hold", begun=tmp_path / "begun", release=tmp_path / "release")
    wait_for(lambda: lines(tmp_path / "begun"), "it to begin")
    site.project.joinpath("db.sqlite3").rename(site.project / "gone")

    assert worker.stop() == 0

    assert "giving tasks back failed" in worker.log
    assert "errands: stopped in" in worker.log


def test_a_lifespan_that_ends_by_itself_ends_the_worker(site: Site) -> None:
    put_lifespan(site.project, "dies")
    worker = site.worker()

    (site.project / "die").touch()

    assert worker.wait() == 1
    assert "a lifespan ended by itself, so this worker takes no more tasks" in worker.log
    assert "hunter2" not in worker.log


# Retries, limits, schedules


def test_a_task_that_fails_is_retried_later_each_time_and_its_errors_are_kept(
    site: Site, tmp_path: Path
) -> None:
    worker = site.worker()
    key = site.enqueue("fail_twice", file=tmp_path / "times")

    _, attempts, errors = site.becomes(key, "SUCCESSFUL")

    first, second, third = map(float, lines(tmp_path / "times"))
    assert second - first >= 0.2
    assert third - second >= 0.4
    assert attempts == 3
    assert errors.count("ConnectionError") >= 2
    assert "smtp://ada:********@mail refuses" in errors
    assert "hunter2" not in errors
    assert "hunter2" not in worker.log
    retried = [r for r in worker.records if "retrying in" in r["message"]]
    assert [r["error.message"] for r in retried] == ["smtp://ada:********@mail refuses"] * 2
    assert worker.log.count('"log.level":"WARNING"') == 2


def test_of_a_task_that_is_gone_the_log_says_why(site: Site) -> None:
    key = site.enqueue("look")
    with closing(sqlite3.connect(site.project / "db.sqlite3")) as database, database:
        database.execute("UPDATE django_ox_oxtask SET task_path = 'errands.tasks.gone'")
    worker = site.worker()

    worker.wait_for_log("task path=errands.tasks.gone can't be run")

    (said, *_) = [r for r in worker.records if "can't be run" in r["message"]]
    assert (said["error.type"], said["task_id"]) == ("ImportError", key)


def test_a_task_that_is_lost_for_good_is_an_error(site: Site) -> None:
    """So that a tracker and ADMINS hear of it: its last worker has gone, and nobody tries again."""
    key = site.enqueue("look")
    with closing(sqlite3.connect(site.project / "db.sqlite3")) as database, database:
        database.execute(
            "UPDATE django_ox_oxtask SET status = 'RUNNING', attempts = max_attempts, locked_by = 'gone',"
            " locked_at = '2020-01-01', lease_expires_at = '2020-01-01'"
        )
    worker = site.worker()

    site.becomes(key, "LOST")

    worker.wait_for_log("-> LOST")
    (said,) = [r for r in worker.records if "-> LOST" in r["message"]]
    assert said["log.level"] == "ERROR"
    assert key in said["message"]
    assert "errands.tasks.look" in said["message"]
    assert said["http.request.id"] == "of-look"


def test_a_task_has_a_time_limit(site: Site, tmp_path: Path) -> None:
    worker = site.worker(TASK_TIMEOUT="0.5")
    site.enqueue("spin", file=tmp_path / "spun")

    worker.wait_for_log("ran past its 0.5s timeout")

    wait_for(lambda: "interrupted" in lines(tmp_path / "spun"), "the task to be interrupted")


def test_a_task_runs_later_and_another_each_second(site: Site, tmp_path: Path, run: Run) -> None:
    noted = f'"args": [{str(tmp_path / "beats")!r}, "x"]'
    beat = f'"beat": {{"task": "errands.tasks.note", "every": 1, {noted}}}, '
    replace_in(site.project, "settings", '"SCHEDULES": {', f'"SCHEDULES": {{{beat}')
    variables = server_environment(site.project) | SETTINGS
    run(site.project, "python", "-c", program("enqueue_late"), str(tmp_path / "late"), **variables)
    asked = time.monotonic()

    site.worker()
    site.worker()  # both look, and one enqueues

    wait_for(lambda: lines(tmp_path / "late"), "the late one")
    assert time.monotonic() - asked > 0.5
    wait_for(lambda: len(lines(tmp_path / "beats")) >= 3, "three beats")
    with closing(sqlite3.connect(site.project / "db.sqlite3")) as database:
        ticks = database.execute("SELECT scheduled_for FROM django_ox_oxscheduletick").fetchall()
    assert len(ticks) == len(set(ticks))


def test_what_ended_long_ago_is_pruned(site: Site, run: Run) -> None:
    worker = site.worker()
    key = site.enqueue("look")
    site.becomes(key, "SUCCESSFUL")
    with closing(sqlite3.connect(site.project / "db.sqlite3")) as database, database:
        database.execute("UPDATE django_ox_oxtask SET finished_at = '2020-01-01'")
    variables = server_environment(site.project) | SETTINGS
    run(site.project, "python", "-c", program("enqueue_prune"), **variables)

    wait_for(lambda: site.row(key) is None, "it to be pruned")
    worker.wait_for_log("Deleted 1 SUCCESSFUL/DISCARDED task row(s)")
    assert not [line for line in worker.log.splitlines() if not line.startswith("{")]


@pytest.mark.parametrize(
    ("name", "arguments", "error"),
    [
        ("leave", {}, "SystemExit: 3"),
        ("give", {}, "TypeError"),
        ("shadow", {}, "BaseExceptionGroup"),
        ("look", {"no": "such argument"}, "unexpected keyword argument"),
    ],
)
def test_no_task_ends_its_worker_or_changes_the_next_one(
    site: Site, name: str, arguments: dict[str, str], error: str
) -> None:
    set_option(site.project, '"MAX_ATTEMPTS": 1')
    site.server.stop()
    site.server = site.serve(site.project).ready()
    worker = site.worker(WORKER_CONCURRENCY="1")

    _, _, errors = site.becomes(site.enqueue(name, **arguments), "FAILED")

    assert error in errors
    answer = site.server.get("/errands/look/", headers={"X-Request-ID": "tea-2"})
    site.becomes(answer.text, "SUCCESSFUL")
    assert [r["http.request.id"] for r in worker.records if "sync: " in r["message"]] == ["tea-2"]
    assert worker.stop() == 0


# Kills


@pytest.mark.parametrize("database", ["sqlite", "postgres"])
def test_a_killed_worker_loses_nothing_and_repeats_what_it_was_at_alone(
    database: str,
    site: Site,
    tmp_path: Path,
    serve: Serve,
    run: Run,
    request: pytest.FixtureRequest,
) -> None:
    """With few kills; `python -m benchmarks.tasks kill` has many, and the database's restarts."""
    if database == "postgres":
        postgres: Postgres = request.getfixturevalue("postgres")
        (tmp_path / "postgres").mkdir()
        project = with_errands(tmp_path / "postgres", database="postgres")
        postgres.query("CREATE DATABASE errands")
        request.addfinalizer(lambda: postgres.query("DROP DATABASE errands WITH (FORCE)"))
        environ = {"DATABASE_URL": postgres.url("errands")}
        variables = server_environment(project) | environ
        run(project, "python", "manage.py", "migrate", "--verbosity", "0", **variables)
        site = Site(project, serve, serve(project, **environ).ready())
    else:
        environ = {}
    set_option(site.project, '"LOCK_TIMEOUT": 2')
    worker = site.worker(**environ)
    noted = tmp_path / "noted"
    released = tmp_path / "release"
    for number in range(3):
        for place in range(20):
            site.enqueue("note", file=noted, line=f"{number}-{place}")
        site.enqueue("hold", begun=tmp_path / f"begun{number}", release=released)
        wait_for(partial(lines, tmp_path / f"begun{number}"), "it to begin")
        worker.kill()
        worker = site.worker(**environ)
    released.touch()
    for number in range(3):
        begun = tmp_path / f"begun{number}"
        wait_for(partial(has_ended, begun), "its end")
        seen = Counter(lines(begun))
        assert seen["ended"] == 1
        assert 2 <= seen["begun"] <= 4 - number, "once for each kill that it met, and once more"
    wait_for(lambda: len(set(lines(noted))) == 60, "all of them")
    assert worker.stop() == 0
    found = Counter(lines(noted))
    # A worker runs four at once: those it was at may come twice.
    assert sum(found.values()) - 60 <= 3 * 4


# Around it


def test_the_healthcheck_sees_whether_a_worker_asks_for_tasks(
    site: Site, tmp_path: Path, environment: Path
) -> None:
    file = tmp_path / "heartbeat"

    def check() -> tuple[int, str]:
        python = environment / "bin" / "python"
        done = subprocess.run(
            [python, "-I", site.project / TOOLS, "healthcheck", "--heartbeat", file],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        return done.returncode, done.stderr.strip()

    assert check() == (
        1,
        f"{file}: No such file or directory: no worker has begun to ask for tasks",
    )
    worker = site.serve(site.project, f"{WORKER} --heartbeat-file {file}")
    site.enqueue("hold", begun=tmp_path / "begun", release=tmp_path / "release")
    wait_for(lambda: lines(tmp_path / "begun"), "the task to begin")
    touched = file.stat().st_mtime_ns
    wait_for(lambda: file.stat().st_mtime_ns > touched, "a touch while a task lasts")
    assert check() == (0, "")

    worker.kill()
    old = time.time() - 61

    os.utime(file, (old, old))
    status, said = check()
    assert status == 1
    assert re.fullmatch(rf"{file}: the worker has not asked for tasks for 6\d s", said)


def test_the_queues_figures_are_among_the_servers(site: Site, tmp_path: Path) -> None:
    port = free_ports(2)
    site.server.stop()
    variables = {"GRANIAN_METRICS_ENABLED": "true", "GRANIAN_METRICS_PORT": str(port)}
    site.server = site.serve(site.project, **variables).ready()
    site.server.wait_for_log(f"metrics at http://127.0.0.1:{port + 1}/metrics")
    for _ in range(3):
        site.enqueue("hold", begun=tmp_path / "begun", release=tmp_path / "release")

    text = httpx.get(f"http://127.0.0.1:{port + 1}/metrics", timeout=PATIENCE).text
    assert 'django_ox_tasks{queue="default",status="ready"} 3.0' in text
    assert 'django_ox_tasks{queue="default",status="running"} 0.0' in text
    assert 'django_ox_tasks{queue="default",status="failed"} 0.0' in text
    first = figures(port + 1)["django_ox_oldest_ready_age_seconds"]
    wait_for(lambda: figures(port + 1)["django_ox_oldest_ready_age_seconds"] > first, "it to age")

    site.project.joinpath("db.sqlite3").rename(site.project / "gone")
    assert "serving_threads_bound" in figures(port + 1)
    site.server.wait_for_log("no figures of the tasks: OperationalError")


def test_make_dev_runs_tasks_too_and_the_edited_code(
    site: Site, tmp_path: Path, environment: Path
) -> None:
    site.server.stop()
    variables = dev_variables(site.project) | {"LOG_FORMAT": "json"}
    site.server = site.serve(site.project, **variables).ready()
    site.server.wait_for_log(" starting: queues=")
    site.becomes(site.enqueue("note", file=tmp_path / "noted", line="tea"), "SUCCESSFUL")

    edited = site.project / "errands" / "tasks.py"
    edited.write_text(edited.read_text().replace('f"{line}\\n"', 'f"edited {line}\\n"'))
    site.server.wait_for_log(" starting: queues=", 2)
    site.server.wait_for_log("Started worker-", 2)
    wait_for(site.server.listens, "a listener")
    site.becomes(site.enqueue("note", file=tmp_path / "noted", line="tea"), "SUCCESSFUL")
    assert lines(tmp_path / "noted") == ["tea", "edited tea"]

    children = psutil.Process(site.server.process.pid).children(recursive=True)
    assert [child for child in children if "worker" in child.cmdline()]
    site.server.signal(signal.SIGINT)
    site.server.wait()
    psutil.wait_procs(children, timeout=PATIENCE)
    assert not [child for child in children if child.is_running()]


def test_make_dev_replaces_a_worker_that_a_task_blocks(site: Site, tmp_path: Path) -> None:
    site.server.stop()
    set_option(site.project, '"TASK_TIMEOUT_GRACE": 0.2')
    set_option(site.project, '"MAX_ATTEMPTS": 1')
    variables = dev_variables(site.project) | {"LOG_FORMAT": "json", "TASK_TIMEOUT": "0.2"}
    site.server = site.serve(site.project, **variables, LIFESPAN_SHUTDOWN_TIMEOUT="0.5").ready()
    site.server.wait_for_log(" starting: queues=")
    site.enqueue("block", begun=tmp_path / "begun")

    site.server.wait_for_log(" starting: queues=", 2)

    site.becomes(site.enqueue("note", file=tmp_path / "noted", line="tea"), "SUCCESSFUL")
    site.server.signal(signal.SIGINT)
    site.server.wait()


def test_ctrl_c_at_make_dev_lets_a_task_end(site: Site, tmp_path: Path) -> None:
    site.server.stop()
    variables = dev_variables(site.project) | {"LOG_FORMAT": "json", "DRAIN_TIMEOUT": "10"}
    site.server = site.serve(site.project, **variables).ready()
    site.server.wait_for_log(" starting: queues=")
    key = site.enqueue("hold", begun=tmp_path / "begun", release=tmp_path / "release")
    wait_for(lambda: lines(tmp_path / "begun"), "the task to begin")

    site.server.signal_all(signal.SIGINT)  # as a terminal does
    site.server.wait_for_log("draining 1 in-flight")
    (tmp_path / "release").touch()

    site.server.wait()
    site.becomes(key, "SUCCESSFUL")


def test_staff_see_tasks_in_the_admin_and_retry_one(site: Site) -> None:
    set_option(site.project, '"MAX_ATTEMPTS": 1')
    site.server.stop()
    site.server = site.serve(site.project).ready()
    worker = site.worker()
    key = site.enqueue("fail")
    site.becomes(key, "FAILED")
    worker.stop()
    with httpx.Client(base_url=site.server.address, timeout=PATIENCE, verify=False) as browser:  # noqa: S501
        browser.headers["Referer"] = site.server.address

        def post(path: str, **form: str) -> httpx.Response:
            browser.get(path)
            token = browser.cookies["csrftoken"]
            return browser.post(path, data=form | {"csrfmiddlewaretoken": token})

        post("/admin/login/", username="ada", password="open sesame")
        listed = browser.get("/admin/django_ox/oxtask/")
        assert "errands.tasks.fail" in listed.text
        shown = browser.get(f"/admin/django_ox/oxtask/{key}/change/")
        assert "ConnectionError" in shown.text
        action = re.search(r'<option value="(\w*retry\w*)"', listed.text)
        assert action
        post("/admin/django_ox/oxtask/", action=action[1], _selected_action=key)
    assert site.row(key)[:2] == ("READY", 1)


def test_a_worker_takes_no_more_connections_than_are_counted(
    tmp_path: Path, serve: Serve, run: Run, postgres: Postgres, request: pytest.FixtureRequest
) -> None:
    project = with_errands(tmp_path, database="postgres")
    postgres.query("CREATE DATABASE counted")
    request.addfinalizer(lambda: postgres.query("DROP DATABASE counted WITH (FORCE)"))
    environ = {"DATABASE_URL": postgres.url("counted"), "WORKER_CONCURRENCY": "3"}
    variables = server_environment(project) | environ
    run(project, "python", "manage.py", "migrate", "--verbosity", "0", **variables)
    count = program("count_connections")
    counted, threads = map(
        int, run(project, "python", "-c", count, **variables, **SETTINGS).stdout.split()
    )
    assert (counted, threads) == (14, (100 - 10 - 14) // 2 - 1)
    site = Site(project, serve, serve(project, **environ).ready())
    site.worker(**environ)
    for number in range(30):
        site.enqueue(("look", "look_async")[number % 2])
    unfinished = "SELECT count(*) FROM django_ox_oxtask WHERE status <> 'SUCCESSFUL'"
    wait_for(lambda: postgres.query(unfinished, "counted") == ["0"], "all of them")
    names = postgres.query(
        "SELECT application_name, count(*) FROM pg_stat_activity WHERE datname = 'counted'"
        " AND application_name LIKE 'my-project-%' GROUP BY 1 ORDER BY 2"
    )
    most = max(int(name.partition("|")[2]) for name in names)
    assert most <= counted // 2, names


def test_the_page_says_what_works(tmp_path: Path, serve: Serve, run: Run) -> None:
    """What docs/tasks.md shows, copied into a project: linted, typed and run."""
    project = with_errands(tmp_path)
    for _, name, text in readme.files(PAGE):
        file = project / name
        file.parent.mkdir(exist_ok=True)
        (file.parent / "__init__.py").touch()
        file.write_text(text.partition("\n")[2])
    replace_in(project, "settings", "INSTALLED_APPS = [\n", 'INSTALLED_APPS = [\n    "shop",\n')
    replace_in(
        project,
        "urls",
        "urlpatterns = [\n",
        'urlpatterns = [\n    path("order/<tea>/", shop.views.order),\n',
    )
    replace_in(project, "urls", "\nurlpatterns", "import shop.views\nurlpatterns")
    run(project, "ruff", "check", "--no-cache", "shop")
    run(project, "mypy", "--strict", "--cache-dir", str(BUILD / "mypy"), "shop")
    run(project, "python", "manage.py", "migrate", "-v", "0", **server_environment(project))

    site = Site(project, serve, serve(project).ready())
    worker = site.worker()
    key = site.server.get("/order/oolong/").json()["task"]

    site.becomes(key, "SUCCESSFUL")
    worker.wait_for_log("counted shelf 7")
    assert worker.messages("shop.tasks") == ["ordered oolong", "counted shelf 7"]


def test_make_worker_runs_tasks_until_ctrl_c(site: Site, tmp_path: Path, environment: Path) -> None:
    owner = Owner(site.project, environment)
    command = ["make", "--no-print-directory", f"UV={owner.variables['UV']}", "worker"]
    child = pexpect.spawn(
        command[0], command[1:], cwd=str(site.project), env=owner.variables,
        encoding="utf-8", timeout=PATIENCE,
    )  # fmt: skip
    try:
        site.becomes(site.enqueue("note", file=tmp_path / "noted", line="tea"), "SUCCESSFUL")
        child.expect("succeeded in")
        child.sendintr()
        child.expect("errands: stopped in")
        child.expect(pexpect.EOF)
    finally:
        child.close(force=True)
