"""The lifespan under every fault, each against real Granian: what the apps do, what must happen."""

import os
import re
import signal
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import httpx
import psutil
import pytest
from dotenv import dotenv_values

from tests.conftest import Serve
from tests.support.server import PATIENCE, Server, wait_for
from tests.support.sites import SITES, put_site

Install = Callable[..., Path]

MODES = ["required", "optional"]


def app(entering: str = "pass", yields: str = "{}", leaving: str = "pass") -> str:
    """A lifespan.py that does this while it is entered, and that while it is left."""
    text = (SITES / "lifespans" / "faulty.py").read_text()
    for line, asked in (
        ("# entering", entering),
        ("yield {}", f"yield {yields}"),
        ("# leaving", leaving),
    ):
        assert text.count(line) == 1
        text = text.replace(line, asked)
    return text


@pytest.fixture
def install(project: Path) -> Install:
    """Adds apps to the project: `install(one=app(), two="...")` with the text of each lifespan.py."""
    (project / "faulty.py").write_text("from config.settings import *\n")
    put_site(project, "lifespan_faults")
    (project / "home" / "lifespan.py").write_text("class HomeState: ...\n" + app())

    def add(**apps: str) -> Path:
        for name, text in apps.items():
            (project / name).mkdir()
            (project / name / "__init__.py").touch()
            (project / name / "lifespan.py").write_text(text)
        with (project / "faulty.py").open("a") as settings:
            settings.write(f"INSTALLED_APPS = [*INSTALLED_APPS, *{list(apps)}]\n")
        return project

    return add


def faulty(serve: Serve, project: Path, **variables: str) -> Server:
    return serve(project, DJANGO_SETTINGS_MODULE="faulty", **variables)


def enters_and_leaves(server: Server, *apps: str) -> list[str]:
    """What the apps said, in order: "one enters", "two enters", "one leaves"."""
    names = {f"{name}.lifespan" for name in apps}
    return [
        f"{record['log.logger'].split('.')[0]} {record['message']}"
        for record in server.records
        if record["log.logger"] in names and record["message"] in ("enters", "leaves")
    ]


def must_fail(server: Server, mode: str, says: str) -> None:
    """What a failed startup does: exit 1 with the reason in the log, or one warning and serving on."""
    if mode == "required":
        assert server.wait() == 1
    else:
        server.ready()
        assert server.get("/readyz").status_code == 200
        assert "startup failed" in server.get("/missing").text
        assert server.stop() == 0
    failures = [r for r in server.records if re.search(says, r["message"])]
    (failure,) = [r for r in failures if r["log.logger"] == "serving.lifespan"]
    assert failure["log.level"] == ("ERROR" if mode == "required" else "WARNING")
    assert "ASGI Lifespan errored" not in server.log


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("raised", "says"),
    [
        ("ValueError('no tea')", "two: ValueError: no tea"),
        ("SystemExit(3)", "two: SystemExit: 3"),
        ("KeyboardInterrupt()", "two: KeyboardInterrupt"),
        ("asyncio.CancelledError()", "two: CancelledError"),
        ("ExceptionGroup('g', [ValueError('a\\\\nb')])", r"two: ExceptionGroup: g \(1 sub-exception\)"),
    ],
)  # fmt: skip
def test_startup_raises(install: Install, serve: Serve, mode: str, raised: str, says: str) -> None:
    project = install(one=app(), two=app(f"raise {raised}"), three=app())
    server = faulty(serve, project, LIFESPAN=mode)

    must_fail(server, mode, f"^startup failed: {says}")
    assert ('"error.stack_trace"' in server.log) == (mode == "required")
    assert enters_and_leaves(server, "one", "two", "three") == [
        "one enters",
        "two enters",
        "one leaves",
    ]


@pytest.mark.parametrize("mode", MODES)
def test_startup_cancels_its_own_task(install: Install, serve: Serve, mode: str) -> None:
    """It can't be told from a cancellation by the server: the server ends in either mode."""
    cancels = "asyncio.current_task().cancel(); await asyncio.sleep(3600)"
    server = faulty(serve, install(one=app(), two=app(cancels)), LIFESPAN=mode)

    assert server.wait() == 1
    assert "startup failed: two: its task was cancelled" in server.log
    assert enters_and_leaves(server, "one", "two") == ["one enters", "two enters", "one leaves"]


@pytest.mark.parametrize("workers", ["1", "2"])
def test_startup_raises_in_every_worker(install: Install, serve: Serve, workers: str) -> None:
    server = faulty(serve, install(one=app("raise ValueError")), GRANIAN_WORKERS=workers)
    assert server.wait() == 1


def test_startup_fails_in_one_worker_while_another_starts(install: Install, serve: Serve) -> None:
    """The other one is told to stop: it leaves what it had entered, and is not killed."""
    fails_in_one = """
    try:
        open("taken", "x").close()
    except FileExistsError:
        await asyncio.sleep(3600)
    while open("../entered").read().count("x") < 2:
        await asyncio.sleep(0.02)
    raise ValueError"""
    counted = app('print("x", file=open("../entered", "a"))')
    server = faulty(serve, install(one=counted, two=app(fails_in_one)), GRANIAN_WORKERS="2")

    assert server.wait() == 1
    assert "startup given up: the server was told to stop" in server.log
    assert enters_and_leaves(server, "one").count("one leaves") == 2
    assert not server.killed_a_worker


@pytest.mark.parametrize("mode", MODES)
def test_startup_hangs(install: Install, serve: Serve, mode: str) -> None:
    project = install(one=app(), two=app("await asyncio.sleep(3600)"))
    server = faulty(serve, project, LIFESPAN=mode, LIFESPAN_STARTUP_TIMEOUT="0.5")

    must_fail(server, mode, "^startup failed: two: not started after 0.5 s")
    assert enters_and_leaves(server, "one", "two") == ["one enters", "two enters", "one leaves"]


@pytest.mark.parametrize("mode", MODES)
def test_startup_blocks_the_event_loop(install: Install, serve: Serve, mode: str) -> None:
    """No timeout can fire, and nothing can be served: the server ends in either mode."""
    project = install(one=app("time.sleep(3600)"))
    server = faulty(serve, project, LIFESPAN=mode, LIFESPAN_STARTUP_TIMEOUT="0.5")

    assert server.wait() == 1
    assert "one: blocks the event loop" in server.log
    assert "time.sleep(3600)" in server.log, "the line that blocks is shown"


@pytest.mark.parametrize("mode", MODES)
def test_startup_hangs_in_a_thread(install: Install, serve: Serve, mode: str) -> None:
    """Python waits for its threads at the end, for ever if need be: the process ends without."""
    project = install(one=app(), two=app("await asyncio.to_thread(time.sleep, 3600)"))
    server = faulty(serve, project, LIFESPAN=mode, LIFESPAN_STARTUP_TIMEOUT="0.5")

    must_fail(server, mode, "^startup failed: two: not started after 0.5 s")
    assert enters_and_leaves(server, "one", "two") == ["one enters", "two enters", "one leaves"]
    assert "two: hung, and threads still run: asyncio_0" in server.log
    assert not server.killed_a_worker


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (app().replace("yield {}", "return; yield"), "one: lifespan\\(\\) never yields"),
        (app(yields="None"), "one: lifespan\\(\\) yields NoneType, not a mapping"),
        (app(yields="{'two words': 1}"), "one: .* the name 'two words', which can't be an attribute"),
        (app().replace("@asynccontextmanager", ""), "one: lifespan\\(\\) returns a async_generator, not an async"),
        ("async def lifespan(): ...", "one: lifespan\\(\\) returns a coroutine, not an async"),
        ("def lifespan(): yield {}", "one: lifespan\\(\\) returns a generator, not an async"),
        ("lifespan = 1", "one: lifespan.py defines no function `lifespan`"),
        ("import nowhere", "one: ModuleNotFoundError: No module named 'nowhere'"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("mode", MODES)
def test_a_lifespan_that_is_none(
    install: Install, serve: Serve, mode: str, text: str, says: str
) -> None:
    must_fail(faulty(serve, install(one=text), LIFESPAN=mode), mode, f"^startup failed: {says}")


def test_two_apps_yield_one_name(install: Install, serve: Serve) -> None:
    project = install(one=app(yields="{'tea': 1}"), two=app(yields="{'tea': 2}"))
    server = faulty(serve, project)

    must_fail(server, "required", "two: lifespan\\(\\) yields 'tea', as one does; rename one")
    assert enters_and_leaves(server, "one", "two") == [
        "one enters",
        "two enters",
        "two leaves",
        "one leaves",
    ]


def test_a_lifespan_that_yields_twice_is_told_so_at_the_end(install: Install, serve: Serve) -> None:
    server = faulty(serve, install(one=app(leaving="yield {}"))).ready()
    assert server.stop() == 0
    assert "shutdown failed: one: lifespan() yields twice" in server.log


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize(
    ("leaving", "says"),
    [
        ("raise ValueError('spilt')", "shutdown failed: two: ValueError: spilt"),
        ("await asyncio.sleep(3600)", r"shutdown failed: two: not stopped after [\d.]+ s"),
        ("await asyncio.to_thread(time.sleep, 3600)", r"shutdown failed: two: not stopped after"),
        ("sys.exit(3)", "shutdown failed: two: SystemExit: 3"),
    ],
)
def test_shutdown_fails(
    install: Install, serve: Serve, leaving: str, says: str, workers: int
) -> None:
    project = install(one=app(), two=app(leaving=leaving), three=app())
    server = faulty(
        serve, project, GRANIAN_WORKERS=str(workers), LIFESPAN_SHUTDOWN_TIMEOUT="1"
    ).ready(workers)

    assert server.stop() == 0
    assert len(re.findall(says, server.log)) == workers
    said = enters_and_leaves(server, "one", "two", "three")
    assert said.count("one leaves") == said.count("three leaves") == workers
    if workers == 1:
        assert said[3:] == ["three leaves", "two leaves", "one leaves"]
    assert not server.killed_a_worker


def test_shutdown_blocks_the_event_loop(install: Install, serve: Serve) -> None:
    project = install(one=app(leaving="time.sleep(3600)"))
    server = faulty(serve, project, LIFESPAN_SHUTDOWN_TIMEOUT="0.5").ready()
    server.stop()
    assert "one: blocks the event loop" in server.log


@pytest.mark.parametrize("mode", MODES)
def test_sigterm_during_startup(install: Install, serve: Serve, mode: str) -> None:
    """It ends at once, long before the startup timeout of 30 s."""
    server = faulty(serve, install(one=app(), two=app("await asyncio.sleep(3600)")), LIFESPAN=mode)
    wait_for(lambda: "two enters" in enters_and_leaves(server, "two"), "two to be entered")

    server.stop()
    assert "startup given up: the server was told to stop" in server.log
    assert enters_and_leaves(server, "one", "two")[-1] == "one leaves"
    assert "not started after" not in server.log
    assert not server.killed_a_worker


@pytest.mark.parametrize("loop", ["uvloop", "rloop", "asyncio"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize(
    "entering", ["await asyncio.sleep(3600)", "time.sleep(1)", "sum(range(2 * 10**7))"]
)
def test_workers_told_twice_during_startup(
    install: Install, serve: Serve, entering: str, number: int, loop: str
) -> None:
    """By a terminal and by their parent: Granian stands still, told twice before it serves."""
    project = install(one=app(), two=app(entering, leaving="await asyncio.sleep(0.2)"))
    server = faulty(serve, project, GRANIAN_LOOP=loop, GRANIAN_WORKERS="2")
    wait_for(lambda: enters_and_leaves(server, "two").count("two enters") == 2, "startup")

    server.signal_all(number)
    server.wait()
    assert not server.killed_a_worker
    said = enters_and_leaves(server, "one", "two")
    assert said.count("one leaves") == 2
    assert "two enters" not in said[said.index("one leaves") :]


@pytest.mark.parametrize("loop", ["uvloop", "rloop", "asyncio"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_workers_told_again_and_again(
    install: Install, serve: Serve, number: int, loop: str
) -> None:
    """As by an impatient Ctrl-C: Granian stands still, told a third time while responses are open."""
    project = install(one=app())
    server = faulty(serve, project, GRANIAN_LOOP=loop, DRAIN_TIMEOUT="1").ready()
    with httpx.stream("GET", server.address + "/endless", timeout=PATIENCE) as answer:
        parts = answer.iter_bytes()
        next(parts)
        server.signal_all(number)
        server.wait_for_log("Stopping worker-")
        for _ in range(3):
            next(parts)
            server.signal_all(number)
        assert b"tick" in b"".join(parts), "ended as if it were complete"
    assert server.wait() == 0
    assert not server.killed_a_worker
    assert enters_and_leaves(server, "one") == ["one enters", "one leaves"]


@pytest.mark.parametrize("interface", ["asgi", "asginl"])
def test_sigterm_while_django_is_imported(install: Install, serve: Serve, interface: str) -> None:
    project = install()
    with (project / "faulty.py").open("a") as settings:
        settings.write("import time\nprint('importing', flush=True)\ntime.sleep(3600)\n")
    server = faulty(serve, project, GRANIAN_INTERFACE=interface)
    server.wait_for_log("importing")

    assert server.stop() == 0
    assert not server.killed_a_worker
    assert "Traceback" not in server.log


@pytest.mark.parametrize("loop", ["uvloop", "rloop", "asyncio"])
def test_sigterm_the_moment_that_a_worker_has_started(
    install: Install, serve: Serve, loop: str
) -> None:
    """Between startup and serving the loop stands still, and some loops lose a signal then."""
    project = install(one=app())
    for _ in range(4):
        server = faulty(serve, project, GRANIAN_LOOP=loop, GRANIAN_WORKERS="2")
        while server.log.count("Started worker-") < 2:
            assert not server.exited, server.log
        assert server.stop() == 0
        assert not server.killed_a_worker
        assert enters_and_leaves(server, "one").count("one leaves") == 2


@pytest.mark.parametrize("path", ["/slow", "/slow-sync"])
def test_sigterm_with_50_requests_in_flight(install: Install, serve: Serve, path: str) -> None:
    project = install(one=app())
    server = faulty(serve, project, SERVING_THREADS="50").ready()
    answers: list[httpx.Response] = []
    clients = [threading.Thread(target=lambda: answers.append(server.get(path))) for _ in range(50)]
    for client in clients:
        client.start()
    (worker,) = server.workers
    wait_for(lambda: established(worker, server.port) >= 50, "50 connections")

    server.signal()
    server.wait_for_log("Stopping worker-")
    (project / "release").touch()

    assert server.wait() == 0
    for client in clients:
        client.join()
    assert [answer.text for answer in answers] == ["done"] * 50
    assert enters_and_leaves(server, "one") == ["one enters", "one leaves"]


def established(worker: psutil.Process, port: int) -> int:
    """How many connections a worker has accepted."""
    return sum(
        connection.status == psutil.CONN_ESTABLISHED and connection.laddr.port == port
        for connection in worker.net_connections("tcp")
    )


@pytest.mark.parametrize("path", ["/endless", "/for-ever"])
def test_sigterm_with_an_endless_response_open(install: Install, serve: Serve, path: str) -> None:
    server = faulty(serve, install(one=app()), DRAIN_TIMEOUT="0.5").ready()
    received: list[bytes] = []
    status: list[int] = []

    def listen() -> None:
        with httpx.stream("GET", server.address + path, timeout=PATIENCE) as answer:
            status.append(answer.status_code)
            received.extend(answer.iter_bytes())

    client = threading.Thread(target=listen)
    client.start()
    if path == "/for-ever":
        (worker,) = server.workers
        wait_for(lambda: established(worker, server.port), "a connection")
    else:
        wait_for(lambda: len(received) > 2, "some of the stream")

    assert server.stop() == 0
    client.join()
    assert status == [503 if path == "/for-ever" else 200], "ended well, as the client sees it"
    assert (
        f"ended what was still open 0.5 s after the order to stop (DRAIN_TIMEOUT): GET {path}"
        in server.log
    )
    assert enters_and_leaves(server, "one") == ["one enters", "one leaves"], "before any kill"
    if path == "/endless":
        assert server.messages("stream") == ["closed"], "its `finally` ran"


def test_sigterm_with_a_client_that_does_not_read(install: Install, serve: Serve) -> None:
    """Granian waits for it until it kills the worker; the lifespans are left before."""
    server = faulty(
        serve, install(one=app()), DRAIN_TIMEOUT="0.5", GRANIAN_WORKERS_KILL_TIMEOUT="6"
    ).ready()
    with socket.create_connection(("127.0.0.1", server.port)) as client:
        client.sendall(b"GET /flood HTTP/1.1\r\nHost: localhost\r\n\r\n")
        server.wait_for_log("the client does not read")

        assert server.stop() == 0
    assert any("GET /flood" in message for message in server.messages("serving.stopping"))
    assert enters_and_leaves(server, "one") == ["one enters", "one leaves"], "before the kill"


def test_a_stream_that_asks_ends_by_itself(install: Install, serve: Serve) -> None:
    server = faulty(serve, install(one=app())).ready()
    with httpx.stream("GET", server.address + "/polite", timeout=PATIENCE) as answer:
        parts = answer.iter_bytes()
        assert b"hello" in next(parts)
        server.signal()
        assert b"bye" in b"".join(parts)
    assert server.wait() == 0
    assert "still open" not in server.log


@pytest.mark.parametrize("respawn", ["false", "true"])
def test_a_worker_is_killed(install: Install, serve: Serve, respawn: str) -> None:
    project = install(one=app())
    server = faulty(
        serve, project, GRANIAN_WORKERS="2", GRANIAN_RESPAWN_FAILED_WORKERS=respawn
    ).ready(2)
    first, second = server.workers
    answers: list[httpx.Response] = []

    def ask() -> None:
        with suppress(httpx.TransportError):  # a request to the worker that is killed fails
            answers.append(server.get("/slow"))

    # The kernel deals the connections out: ask until the other worker has one.
    clients: list[threading.Thread] = []
    while not established(second, server.port):
        clients.append(threading.Thread(target=ask))
        clients[-1].start()
        wait_for(
            lambda: sum(established(w, server.port) for w in (first, second)) >= len(clients),
            "the connection",
        )
    first.kill()
    server.wait_for_log("Unexpected exit from worker-")
    (project / "release").touch()
    for client in clients:
        client.join()
    assert [answer.text for answer in answers].count("done") >= 1, "the other worker's survive"

    if respawn == "true":
        server.wait_for_log("Started worker-", 3)
        assert server.get("/show").status_code == 200
        assert server.stop() == 0
    else:
        assert server.wait() == 1


@pytest.mark.parametrize("workers", [1, 2])
def test_sighup_under_load(install: Install, serve: Serve, workers: int) -> None:
    project = install(one=app(yields="{'one': time.monotonic_ns()}"))
    server = faulty(serve, project, GRANIAN_WORKERS=str(workers)).ready(workers)
    states: list[str] = []
    failures: list[object] = []
    done = threading.Event()

    def load() -> None:
        while not done.is_set():
            try:
                states.append(retried())
            except httpx.TransportError as error:
                failures.append(error)

    def retried() -> str:
        """A worker that stops may close a connection that it has accepted and not yet read from.

        RFC 9112, section 9.3.1, has clients and proxies ask again then; once, and for this alone.
        """
        try:
            return server.get("/show").text
        except httpx.RemoteProtocolError as error:
            if str(error) != "Server disconnected without sending a response.":
                raise
            return server.get("/show").text

    client = threading.Thread(target=load)
    client.start()
    wait_for(lambda: len(states) > 5, "load")
    server.signal(signal.SIGHUP)
    server.wait_for_log("Started worker-", 2 * workers)
    # The request that is under way may be one of an old worker; once that has left, none is.
    wait_for(
        lambda: enters_and_leaves(server, "one").count("one leaves") == workers, "the old to leave"
    )
    count = len(states) + 1
    wait_for(lambda: len(states) > count + 5, "more load")
    done.set()
    client.join()

    assert failures == []
    assert len(set(states)) > 1, "a new worker has a state of its own"
    assert states[0] not in states[count:], "the old one is gone"
    assert server.stop() == 0
    assert enters_and_leaves(server, "one").count("one leaves") == 2 * workers


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("loop", ["uvloop", "asyncio", "rloop"])
@pytest.mark.parametrize("presses", [1, 3])
def test_ctrl_c(install: Install, serve: Serve, workers: int, loop: str, presses: int) -> None:
    """A terminal signals the workers as well, and then the main process does, once more."""
    flags = {"GRANIAN_WORKERS": str(workers), "GRANIAN_LOOP": loop, "DRAIN_TIMEOUT": "1"}
    server = faulty(serve, install(one=app()), **flags).ready(workers)
    with httpx.stream("GET", server.address + "/endless", timeout=PATIENCE) as answer:
        parts = answer.iter_bytes()
        for _ in range(presses):
            for _ in range(3):
                next(parts)
            os.killpg(server.process.pid, signal.SIGINT)
        assert b"tick" in b"".join(parts)

    server.wait()  # with 1, where a worker ends before the main process has looked at its signal
    assert not server.killed_a_worker
    assert enters_and_leaves(server, "one").count("one leaves") == workers
    assert "Traceback" not in server.log


def test_the_state_changed_by_one_request_is_unchanged_for_another(
    install: Install, serve: Serve
) -> None:
    server = faulty(serve, install(one=app(yields="{'one': 'first'}"))).ready()
    assert "state.one cannot be set" in server.get("/replace").text
    assert server.get("/show").text == "first"


@pytest.mark.parametrize("path", ["/missing", "/missing-async"])
def test_a_name_that_nobody_yields_says_what_there_is(
    install: Install, serve: Serve, path: str
) -> None:
    server = faulty(serve, install(one=app(yields="{'tea': 1, 'milk': 2}"))).ready()
    assert server.get(path).text == (
        "the lifespan's state has no 'nothing': no app's lifespan.py yields it; there are: milk, tea"
        " (LIFESPAN=required)"
    )


@pytest.mark.parametrize(
    ("interface", "why"), [("asginl", "this server ran no lifespan"), ("asgi", "LIFESPAN=disabled")]
)
def test_disabled(install: Install, serve: Serve, interface: str, why: str) -> None:
    server = faulty(serve, install(one=app()), LIFESPAN="disabled", GRANIAN_INTERFACE=interface)
    server.ready()
    assert why in server.get("/missing").text
    assert server.get("/readyz").status_code == 200
    assert server.stop() == 0
    assert enters_and_leaves(server, "one", "home") == []
    assert [r for r in server.records if r["log.level"] not in ("INFO", "DEBUG")] == []


def test_a_stream_is_ended_in_a_server_without_lifespan_too(install: Install, serve: Serve) -> None:
    server = faulty(
        serve, install(), LIFESPAN="disabled", GRANIAN_INTERFACE="asginl", DRAIN_TIMEOUT="0.5"
    ).ready()
    with httpx.stream("GET", server.address + "/endless", timeout=PATIENCE) as answer:
        parts = answer.iter_bytes()
        next(parts)
        server.signal()
        assert b"tick" in b"".join(parts)
    assert server.wait() == 0


def test_no_lifespan_anywhere(install: Install, serve: Serve) -> None:
    project = install()
    (project / "home" / "lifespan.py").rename(project / "home" / "states.py")
    for path in (project / "home").glob("*.py"):
        path.write_text(path.read_text().replace("home.lifespan", "home.states"))
    server = faulty(serve, project).ready()

    assert "there are: none" in server.get("/missing").text
    assert server.get("/readyz").status_code == 200
    assert server.stop() == 0
    assert server.messages("serving.lifespan") == []


def test_a_background_task_that_dies_makes_the_server_unready_and_asks_for_a_restart(
    install: Install, serve: Serve, project: Path
) -> None:
    dies = (SITES / "lifespans" / "dies.py").read_text()
    server = faulty(
        serve, install(one=app(), two=dies.replace("started_at", "two"), three=app())
    ).ready()
    assert server.get("/readyz").status_code == 200

    (project / "die").touch()
    wait_for(lambda: server.get("/readyz").status_code == 503, "unreadiness")

    assert "two: ExceptionGroup" in server.get("/livez").json()["problems"]["lifespan"]
    assert "ended while serving: two" in server.get("/missing").text
    assert server.stop() == 0
    assert "ConnectionError: cannot reach" in server.log
    assert enters_and_leaves(server, "one", "three") == [
        "one enters", "three enters", "three leaves", "one leaves"
    ]  # fmt: skip
    assert "ASGI Lifespan errored" not in server.log


def test_the_shutdown_budget_adds_up(default_project: Path) -> None:
    """What may follow the order to stop fits into the time until a worker is killed."""
    flags = dotenv_values(default_project / "config" / "granian.env")
    settings = (default_project / "config" / "settings.py").read_text()

    def default(name: str) -> float:
        found = re.search(rf'"{name}", ([\d.]+)', settings)
        assert found
        return float(found[1])

    spare = 2  # half a second for a blocked loop, and the rest for a busy machine
    longest = default("DRAIN_TIMEOUT") + default("LIFESPAN_SHUTDOWN_TIMEOUT") + spare
    assert longest <= float(flags["GRANIAN_WORKERS_KILL_TIMEOUT"] or 0)
