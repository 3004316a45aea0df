"""Make targets, run as people run them: an owner's in a project with its own environment, and the template's."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import httpx
import pexpect
import psutil
import pytest

from benchmarks.load import Request, at_once, at_rate, saturate
from benchmarks.results import Case, Results
from benchmarks.run import wrong_answer
from benchmarks.servers import WAYS
from tests.conftest import ROOT, bake_into, clean_environment
from tests.support.command import UV, template_make, typed_make, working_tree
from tests.support.server import PATIENCE, answering_with, free_port, wait_for

Make = Callable[..., str]


@pytest.fixture(scope="module")
def owned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project after `make setup`."""
    project = bake_into(tmp_path_factory.mktemp("owned"))
    command = ["make", f"UV={UV}", "setup"]
    subprocess.run(command, cwd=project, env=clean_environment(), check=True)
    return project


@pytest.fixture
def make(owned: Path) -> Make:
    """Runs a target, with what is typed into it; gives what it prints."""

    def run_target(*arguments: str, typed: str = "", status: int = 0) -> str:
        done = subprocess.run(
            ["make", "--no-print-directory", f"UV={UV}", *arguments], cwd=owned, env=clean_environment(), input=typed, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
        )  # fmt: skip
        assert done.returncode == status, done.stdout
        return done.stdout

    return run_target


def test_setup_makes_all_that_a_server_needs(owned: Path, make: Make) -> None:
    for name in (".venv/bin/python", ".env", "uv.lock", "db.sqlite3"):
        assert (owned / name).exists(), name
    assert "fatal" not in make("doctor", status=0)
    secret = make("secret").strip()
    assert len(secret) >= 50
    assert secret not in (owned / ".env").read_text(), "a fresh one each time"
    before = (owned / "uv.lock").read_bytes()
    make("lock")
    assert (owned / "uv.lock").read_bytes() == before


def test_a_changed_model_is_migrated_formatted_and_tested(owned: Path, make: Make) -> None:
    models = owned / "accounts" / "models.py"
    models.write_text(
        f"{models.read_text()}\n    from django.db import models\n    tea = models.CharField( max_length = 9,default='' )\n"
    )

    make("lint", status=2)
    make("format")
    make("migrations")
    assert list((owned / "accounts" / "migrations").glob("0002_*.py"))
    make("format")
    make("lint")
    make("migrate")
    assert "[X] 0002_" in make("manage", "ARGS=showmigrations accounts")
    assert "passed" in make("test")


def test_a_user_is_made_looked_at_lost_and_restored(owned: Path, make: Make) -> None:
    child = typed_make(owned, "superuser")
    for question, answer in (
        ("Username", "ada"), ("Email", "ada@example.com"), ("Password:", "open sesame"),
        (r"Password \(again\)", "open sesame"),
    ):  # fmt: skip
        child.expect(question)
        child.sendline(answer)
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0
    count = "from accounts.models import User\nprint('users:', User.objects.count())\n"
    assert "users: 1" in make("shell", typed=count)
    assert "ada" in make("dbshell", typed="SELECT username FROM accounts_user;\n.quit\n")
    assert "copy.sqlite3" in make("backup", "FILE=copy.sqlite3")
    make("shell", typed="from accounts.models import User\nUser.objects.all().delete()\n")
    assert "users: 0" in make("shell", typed=count)
    make("restore", "FILE=copy.sqlite3")
    assert "users: 1" in make("shell", typed=count)


def test_run_serves_until_ctrl_c(owned: Path) -> None:
    port = free_port()
    assert_serves_until_ctrl_c(typed_make(owned, "run", f"PORT={port}"), port)


def test_dev_serves_until_ctrl_c(owned: Path) -> None:
    port = free_port()
    assert_serves_until_ctrl_c(typed_make(owned, "dev", f"PORT={port}"), port)


def assert_serves_until_ctrl_c(child: "pexpect.spawn[str]", port: int) -> None:
    def answers() -> bool:
        try:
            return httpx.get(f"http://127.0.0.1:{port}/").status_code == 200
        except httpx.TransportError:
            return False

    wait_for(answers, f"an answer on port {port}")
    child.sendintr()
    child.expect(pexpect.EOF)
    child.close()
    assert not answers()


def test_clean_keeps_what_cannot_be_made_again(owned: Path, make: Make) -> None:
    make("clean")

    assert not (owned / ".venv").exists()
    assert not (owned / "staticfiles").exists()
    assert not list(owned.rglob("__pycache__"))
    assert (owned / ".env").exists()
    assert (owned / "db.sqlite3").exists()
    make("setup")
    assert (owned / ".venv").exists(), "what can be made again is"


# The template's


@pytest.fixture
def template(tmp_path: Path) -> Path:
    """A copy of the template, with the environment of this one."""
    working_tree(tmp_path)
    (tmp_path / ".venv").symlink_to(ROOT / ".venv")
    return tmp_path


def test_the_templates_format_and_clean(template: Path) -> None:
    rules = template / "template_rules.py"
    text = rules.read_text()
    rules.write_text(text.replace("import json\n", "import   json\n"))
    package = (
        template / "{{cookiecutter.project_slug}}/packages/django-serving/src/serving/types.py"
    )
    typed = package.read_text()
    package.write_text(f"{typed}\nx   =   1\n")
    (template / "build").mkdir()

    template_make(template, "format")

    assert rules.read_text() == text
    assert package.read_text() == f"{typed}\nx = 1\n"
    template_make(template, "clean")
    assert not (template / ".venv").exists()
    assert not (template / "build").exists()
    assert (ROOT / ".venv" / "bin").exists()


def test_the_quick_tests_are_found() -> None:
    options = "--collect-only --quiet --numprocesses=0 -p no:cacheprovider"
    found = template_make(ROOT, "test-quick", PYTEST_ADDOPTS=options)
    assert "tests/template/test_rules.py::" in found
    assert "tests/live/test_lifespan_faults.py::" not in found


def test_fuzz_says_how_to_repeat_it() -> None:
    done = template_make(ROOT, "fuzz", "FUZZ_EXAMPLES=80", "FUZZ_SEED=7")
    assert " passed" in done


class Answers(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.send_response(302 if self.path == "/moved" else 200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *_: object) -> None: ...


def test_generators_of_load_count_what_is_answered() -> None:
    core = str(min(os.sched_getaffinity(0)))
    with answering_with(Answers) as address:
        request = Request(address, {})
        asked = at_rate(core, request, 100, 2)
        assert asked.answered == 200
        assert asked.percentiles
        assert list(asked.percentiles) == ["p50", "p99", "p999"]
        assert 0 < asked.percentiles["p50"] <= asked.percentiles["p999"]
        once = at_once(core, request, 5)
        assert (once.answered, once.errors) == (5, 0)
        moved = Request(f"{address}/moved", {})
        assert saturate(core, moved, 2, 1).errors == 0, "wrk takes it for an answer"
        assert wrong_answer(moved, "ok").startswith("302")
        assert wrong_answer(request, "ok") == ""
        assert wrong_answer(request, "no")


@pytest.mark.usefixtures("turn_to_measure")
def test_bench_measures_every_server() -> None:
    ways = [way for way in WAYS if way != "bare"]
    options = "--quick --name test --fresh --rounds 1 --seconds 1 --workload sync"
    shown = template_make(ROOT, "bench", f"ARGS={options} --way {' '.join(ways)}")
    results = Results.read(ROOT / "build" / "bench" / "test" / "results.json")
    for case in (Case("sync"), Case("sync", "start", concurrency=1)):
        assert set(results.ways(case)) == set(ways)
    assert not any(sample.errors for sample in results.samples), shown
    again = template_make(
        ROOT, "bench", f"ARGS={options.replace('--fresh', '')} --way {' '.join(ways)}"
    )
    assert "round 1" not in again, "it goes on where it was"
    assert again.splitlines()[-1] == shown.splitlines()[-1]


@pytest.mark.usefixtures("turn_to_measure")
def test_bench_that_is_ended_leaves_no_server() -> None:
    options = "--quick --name ended --fresh --workload sync --way ours"
    bench = subprocess.Popen(
        [sys.executable, "-m", "benchmarks", "run", *options.split()],
        cwd=ROOT, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    started: list[psutil.Process] = []

    def is_measured() -> bool:
        """Whether load is on a server, which has workers by then."""
        assert bench.poll() is None
        found = psutil.Process(bench.pid).children(recursive=True)
        started[:] = found
        return len(found) > 2  # its main process, its worker, and the load

    try:
        wait_for(is_measured, "a server with a worker")
        bench.terminate()
        assert bench.wait(PATIENCE) == 128 + signal.SIGTERM
    finally:
        bench.kill()
        bench.wait()
    wait_for(lambda: not any(each.is_running() for each in started), "the end of all")


@pytest.mark.usefixtures("turn_to_measure")
def test_bench_flame_draws_what_computes() -> None:
    shown = template_make(ROOT, "bench-flame", "ARGS=sync --seconds 3")
    graph = Path(shown.splitlines()[-1]).read_text()
    assert "(django/core/handlers/" in graph
    assert "(serving/http/handler.py" in graph


def test_mutants_says_how_many_faults_were_noticed() -> None:
    done = template_make(ROOT, "mutants", "MODULES=template_rules", "SAMPLE=2", "SEED=1")
    assert "of a sample of 2, 0 must be noticed; SEED=1 takes it again" in done
