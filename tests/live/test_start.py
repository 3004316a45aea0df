"""What must not start in a way that would serve errors alone."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Run, Serve, clean_environment
from tests.support.server import PATIENCE, free_port, free_ports, server_environment, wait_for

ByHand = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def by_hand(environment: Path, project: Path) -> ByHand:
    """Starts Granian as somebody types it, with no variable of config/granian.env."""

    def start(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        known = server_environment(project)
        own = {name: value for name, value in known.items() if not name.startswith("GRANIAN_")}
        return subprocess.run(
            [environment / "bin" / "granian", "--port", str(free_port()), *arguments],
            cwd=project,
            env=clean_environment() | own | variables,
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE,
        )

    return start


def said_once(done: subprocess.CompletedProcess[str], words: str, workers: int = 1) -> str:
    """The line with which each worker has refused to serve, or the first of them."""
    assert done.returncode == 1
    # One that is told to stop as it writes a line, by the end of another, writes that line again at its end.
    lines = {line for line in done.stdout.splitlines() if words in line}
    assert 1 <= len(lines) <= workers, done.stdout
    assert "Traceback" not in done.stdout + done.stderr
    assert "Started worker" not in done.stdout
    return min(lines)


@pytest.mark.parametrize(
    "arguments", [(), ("--interface", "wsgi"), ("--workers", "2"), ("--reload",)]
)
@pytest.mark.parametrize("form", ["json", "console"])
def test_an_interface_that_could_serve_errors_alone(
    by_hand: ByHand, arguments: tuple[str, ...], form: str
) -> None:
    done = by_hand(*arguments, "config.asgi:application", LOG_FORMAT=form)
    line = said_once(done, "interface is", workers=2 if "--workers" in arguments else 1)
    assert "python -m serving --interface asgi config.asgi:application" in line
    assert "make run" in line


def test_it_comes_before_what_the_settings_miss(by_hand: ByHand) -> None:
    said_once(by_hand("config.asgi:application", SECRET_KEY=""), "interface is")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("config.asgi",), "told to serve config.asgi:"),
        (("config.asgi:app",), "told to serve config.asgi:app:"),
        (("--factory", "config.asgi:application"), "with --factory"),
        (("config/asgi.py",), "told to serve config/asgi.py:"),
        (("./config/asgi.py:app",), "told to serve ./config/asgi.py:app:"),
        (
            ("{folder}/config/asgi.py:app",),
            "/config/asgi.py:app: use `python -m serving --interface asgi config.",
        ),
    ],
)
def test_something_else_than_the_application(
    project: Path, by_hand: ByHand, arguments: tuple[str, ...], words: str
) -> None:
    done = by_hand("--interface", "asgi", *(each.format(folder=project) for each in arguments))
    assert "config.asgi:application" in said_once(done, words)


@pytest.mark.parametrize("name", ["other.settings", "othersettings", "config.nothing", ".settings"])
def test_settings_that_are_not_there(by_hand: ByHand, name: str) -> None:
    done = by_hand("--interface", "asgi", "config.asgi:application", DJANGO_SETTINGS_MODULE=name)
    assert "the one that asgi.py names is used" in said_once(
        done, f"DJANGO_SETTINGS_MODULE={name!r}"
    )


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("import no_such_module\n", "ModuleNotFoundError"),
        ("urlpatterns = [\n", "SyntaxError"),
        ("views = 1\n", "does not appear to have any patterns in it"),
    ],
)
def test_addresses_that_cannot_be_imported(
    project: Path, serve: Serve, code: str, words: str
) -> None:
    """Every request would be an error, while the probes say that all is well."""
    (project / "home" / "urls.py").write_text(code)
    server = serve(project)
    assert server.wait() == 1
    (record,) = [each for each in server.records if each["log.level"] == "CRITICAL"]
    assert record["log.logger"] == "serving.application"
    assert words in json.dumps(record)


def test_other_settings_are_named(project: Path, serve: Serve) -> None:
    server = serve(project, DJANGO_SETTINGS_MODULE="tests.settings").ready()
    assert "the settings are those of DJANGO_SETTINGS_MODULE=tests.settings" in server.log
    assert server.stop() == 0


def test_an_application_around_ours(project: Path, serve: Serve) -> None:
    (project / "around.py").write_text("from config.asgi import application as app\n")
    server = serve(project, "python -m serving --port {port} around:app").ready()
    assert server.get("/livez").status_code == 200
    assert server.stop() == 0


def test_by_hand_with_the_right_interface_it_serves_and_warns(
    project: Path, serve_by_script: Serve
) -> None:
    server = serve_by_script(
        project, 'unset GRANIAN_WORKERS_KILL_TIMEOUT\nexec granian "$@"'
    ).ready()
    assert "GRANIAN_WORKERS_KILL_TIMEOUT is not set" in server.log
    assert "whether another server has the port" in server.log
    assert server.get("/livez").status_code == 200
    assert server.stop() == 0


def test_by_hand_with_metrics_it_warns_of_forks(project: Path, serve: Serve, run: Run) -> None:
    """From Python 3.14 on Granian forks none."""
    flags = {"GRANIAN_METRICS_ENABLED": "true", "GRANIAN_METRICS_PORT": str(free_ports(3))}
    server = serve(project, "granian --port {port} config.asgi:application", **flags)
    server.wait_for_log("Started worker-")
    default = "import multiprocessing; print(multiprocessing.get_start_method())"
    forks = run(project, "python", "-c", default).stdout.strip() == "fork"
    warned = "with metrics, a worker that `granian` forks may hang" in server.log
    assert warned == forks
    server.kill()
    server = serve(project, **flags).ready()
    assert "forks" not in server.log
    assert server.stop() == 0


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        ("--help", 0, "APP  Application target to serve"),
        ("--nosuch", 2, "No such option"),
        ("--workers none config.asgi:application", 2, "'none' is not a valid integer"),
        ("", 2, "Missing argument 'APP'"),
    ],
)
def test_the_front_door_answers_as_granian_does(
    project: Path, serve: Serve, arguments: str, status: int, words: str
) -> None:
    server = serve(project, f"python -m serving {arguments}")
    assert server.wait() == status
    assert words in server.log
    assert server.log.count("Usage: python -m serving [OPTIONS] APP\n") == 1


@pytest.mark.parametrize("metrics", ["true", "false"])
def test_a_signal_at_once(project: Path, serve: Serve, metrics: str) -> None:
    """Whenever it comes, the server ends, and leaves no worker."""
    for delay in range(5):
        server = serve(
            project,
            GRANIAN_WORKERS="2",
            GRANIAN_METRICS_ENABLED=metrics,
            GRANIAN_METRICS_PORT=str(free_ports(3)),
        )
        wait_for(lambda: server.log.count("\n") >= delay, f"{delay} lines")  # noqa: B023
        server.stop()
        assert not server.killed_a_worker
        assert not server.listens()


def test_with_its_flags_nothing_is_warned_of(project: Path, serve: Serve) -> None:
    server = serve(project).ready()
    assert server.stop() == 0
    assert {record["log.level"] for record in server.records} == {"INFO"}
