"""What must not start: on an address that is taken, or in a way that would serve errors."""

import json
import os
import signal
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from tests.conftest import Run, Serve, clean_environment
from tests.support.server import PATIENCE, Server, free_port, server_environment, wait_for
from tests.support.sites import put_site

BY_VARIABLES = "python -m serving config.asgi:application"


def refusal(server: Server) -> str:
    """The one line with which a server has refused to start, before a worker was spawned."""
    assert server.wait() == 1
    (line,) = server.log.splitlines()
    record = json.loads(line)
    assert record["log.level"] == "CRITICAL"
    assert record["log.logger"] == "serving"
    message: str = record["message"]
    return message


@pytest.fixture(params=["127.0.0.1", "0.0.0.0", "::1", "::"])  # noqa: S104
def host(request: pytest.FixtureRequest) -> str:
    value: str = request.param
    return value


def url(host: str, port: int) -> str:
    asked = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104
    return f"http://[{asked}]:{port}/livez" if ":" in asked else f"http://{asked}:{port}/livez"


def answers(address: str) -> bool:
    try:
        return httpx.get(address).status_code == 200
    except httpx.TransportError:
        return False


# --- an address that is taken


def test_a_second_server_on_the_same_port(project: Path, serve: Serve, host: str) -> None:
    port = free_port()
    flags = {"GRANIAN_HOST": host, "GRANIAN_PORT": str(port), "GRANIAN_WORKERS": "2"}
    first = serve(project, BY_VARIABLES, **flags)
    wait_for(lambda: answers(url(host, port)), "an answer")
    words = refusal(serve(project, BY_VARIABLES, **flags))
    where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    assert words.startswith(f"cannot listen on {where}: Address already in use; ")
    assert "GRANIAN_PORT" in words
    assert answers(url(host, port))
    assert first.stop() == 0
    again = serve(project, BY_VARIABLES, **flags)
    wait_for(lambda: answers(url(host, port)), "an answer")
    assert again.stop() == 0


@pytest.mark.parametrize(
    ("its", "ours"),
    [
        ("127.0.0.1", "127.0.0.1"), ("127.0.0.1", "0.0.0.0"), ("0.0.0.0", "127.0.0.1"),  # noqa: S104
        ("127.0.0.1", "::"), ("::", "127.0.0.1"), ("::1", "::"),
    ],
)  # fmt: skip
def test_a_listener_of_another_kind(project: Path, serve: Serve, its: str, ours: str) -> None:
    family = socket.AF_INET6 if ":" in its else socket.AF_INET
    with socket.create_server((its, 0), family=family, dualstack_ipv6=its == "::") as listener:
        port = listener.getsockname()[1]
        words = refusal(serve(project, BY_VARIABLES, GRANIAN_HOST=ours, GRANIAN_PORT=str(port)))
    assert f":{port}: Address already in use" in words


@pytest.mark.parametrize("form", ["json", "console"])
def test_the_port_of_the_metrics(project: Path, serve: Serve, form: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        server = serve(
            project,
            GRANIAN_METRICS_ENABLED="true",
            GRANIAN_METRICS_PORT=str(port),
            LOG_FORMAT=form,
        )
        assert server.wait() == 1
    (line,) = server.log.splitlines()
    assert f"127.0.0.1:{port}: Address already in use" in line
    assert "GRANIAN_METRICS_PORT" in line


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ({"GRANIAN_HOST": "localhost"}, "GRANIAN_HOST='localhost' is not an IP address"),
        ({"GRANIAN_HOST": "192.0.2.1"}, "cannot listen on 192.0.2.1:"),
        ({"GRANIAN_HOST": "[::]"}, "GRANIAN_HOST='[::]' is not an IP address"),
        (
            {"GRANIAN_UDS": "/none/web.sock"},
            "/none/web.sock: No such file or directory; set another",
        ),
        ({"GRANIAN_UDS": "/" + "x" * 120}, "AF_UNIX path too long; set another GRANIAN_UDS"),
        ({"GRANIAN_UDS": "manage.py"}, "manage.py: Address already in use; something else has it"),
    ],
)
def test_an_address_that_cannot_be_had(
    project: Path, serve: Serve, flags: dict[str, str], words: str
) -> None:
    assert words in refusal(serve(project, **flags))


def test_a_number_that_is_no_port(project: Path, serve: Serve) -> None:
    words = refusal(serve(project, BY_VARIABLES, GRANIAN_PORT="99999"))
    assert words == "GRANIAN_PORT=99999 is not a port: they go up to 65535"


def test_connections_that_an_earlier_server_has_closed_are_not_in_the_way(
    project: Path, serve: Serve
) -> None:
    first = serve(project).ready()
    port = first.port
    held = [socket.create_connection(("127.0.0.1", port)) for _ in range(5)]
    for connection in held:
        connection.sendall(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert connection.recv(20).startswith(b"HTTP/1.1 200")
    assert first.stop() == 0  # it closes them, so they are in TIME_WAIT
    assert serve(project, port=port).ready().stop() == 0
    for connection in held:
        connection.close()


def test_a_server_that_still_answers_its_last_request_is_not_in_the_way(
    project: Path, serve: Serve
) -> None:
    put_site(project, "hangs")
    first = serve(project).ready()
    with socket.create_connection(("127.0.0.1", first.port)) as asker:
        asker.sendall(b"GET /hang HTTP/1.1\r\nHost: localhost\r\n\r\n")
        wait_for((project / "hangs").exists, "the request")
        first.signal()
        wait_for(lambda: not first.listens(), "the end of the listener")
        second = serve(project, port=first.port).ready()
        assert answers(f"{first.address}/livez")
        (project / "hangs").unlink()
        assert b"at last" in asker.recv(4096)
    assert first.wait() == 0
    assert second.stop() == 0


def test_a_port_that_becomes_free_in_time(project: Path, serve: Serve) -> None:
    first = serve(project).ready()
    os.kill(first.process.pid, signal.SIGKILL)  # its worker serves until it finds that out
    second = serve(project, port=first.port).ready()
    assert answers(f"{first.address}/livez")
    assert second.stop() == 0


def test_workers_share_the_port_and_are_replaced(project: Path, serve: Serve) -> None:
    server = serve(project, GRANIAN_WORKERS="2", GRANIAN_RESPAWN_INTERVAL="2").ready(2)
    server.signal(signal.SIGHUP)
    server.wait_for_log("Stopped old worker-", 2)
    assert server.get("/livez").status_code == 200
    assert "taken" not in server.log
    assert server.stop() == 0


def test_reload_starts_workers_anew(project: Path, serve: Serve) -> None:
    server = serve(project, GRANIAN_RELOAD="true").ready()
    views = project / "home" / "views.py"
    server.wait_for_log("Started worker-", 1)

    def reloaded() -> bool:
        views.touch()
        return "Changes detected" in server.log

    wait_for(reloaded, "the reload")
    server.wait_for_log("Started worker-", 2)
    wait_for(server.listens, "a listener")
    assert server.get("/livez").status_code == 200
    assert "taken" not in server.log
    assert server.stop() == 0


def test_port_0(project: Path, serve: Serve) -> None:
    server = serve(project, BY_VARIABLES, GRANIAN_PORT="0")
    server.wait_for_log("Started worker-")
    assert server.stop() == 0


@pytest.fixture
def uds(project: Path) -> str:
    return str(project / "web.sock")


def uds_answers(path: str) -> bool:
    with socket.socket(socket.AF_UNIX) as asker:
        try:
            asker.connect(path)
            asker.sendall(b"GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            return asker.recv(20).startswith(b"HTTP/1.1 200")
        except OSError:
            return False


def test_a_socket_that_nobody_serves_any_more(project: Path, serve: Serve, uds: str) -> None:
    first = serve(project, GRANIAN_UDS=uds)
    wait_for(lambda: uds_answers(uds), "an answer")
    first.kill()
    assert Path(uds).exists()
    second = serve(project, GRANIAN_UDS=uds)
    wait_for(lambda: second.exited or uds_answers(uds), "an answer")
    assert second.stop() == 0, second.log


def test_a_socket_that_another_server_serves(project: Path, serve: Serve, uds: str) -> None:
    first = serve(project, GRANIAN_UDS=uds)
    wait_for(lambda: uds_answers(uds), "an answer")
    words = refusal(serve(project, GRANIAN_UDS=uds))
    assert words.startswith(f"cannot listen on {uds}: Address already in use; ")
    assert uds_answers(uds)
    assert first.stop() == 0


# --- a wrong way to start it


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
    lines = [line for line in done.stdout.splitlines() if words in line]
    assert 1 <= len(lines) <= workers, done.stdout
    assert "Traceback" not in done.stdout + done.stderr
    assert "Started worker" not in done.stdout
    return lines[0]


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
    flags = {"GRANIAN_METRICS_ENABLED": "true", "GRANIAN_METRICS_PORT": str(free_port())}
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
            GRANIAN_METRICS_PORT=str(free_port()),
        )
        wait_for(lambda: server.log.count("\n") >= delay, f"{delay} lines")  # noqa: B023
        server.stop()
        assert not server.killed_a_worker
        assert not server.listens()


def test_with_its_flags_nothing_is_warned_of(project: Path, serve: Serve) -> None:
    server = serve(project).ready()
    assert server.stop() == 0
    assert {record["log.level"] for record in server.records} == {"INFO"}
