"""A worker whose main process is killed, a log that nobody reads, faults of native code, few open files."""

import fcntl
import json
import os
import re
import resource
import signal
import socket
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import httpx
import pytest

from tests.conftest import Run, Serve, clean_environment, with_packages
from tests.support.packages import SERVING
from tests.support.server import (
    PATIENCE,
    Server,
    free_ports,
    server_environment,
    wait_for,
)
from tests.support.sites import program, put_lifespan, put_site

GONE = "the server's main process is gone"


@pytest.fixture
def site(project: Path) -> Path:
    """A project whose views are the ones above, and whose lifespan makes a file when it is left."""
    put_site(project, "process")
    put_lifespan(project, "hangs")
    return project


def worker_pids(server: Server) -> list[int]:
    pattern = r"(?:Spawning|Respawning) worker-\d+ with PID: (\d+)"
    return [int(pid) for pid in re.findall(pattern, server.log)]


def runs(pid: int) -> bool:
    """Whether a process runs; one that nobody has waited for does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


def kill_main(server: Server) -> None:
    os.kill(server.process.pid, signal.SIGKILL)
    server.process.wait()


def all_end(pids: list[int]) -> bool:
    return not any(map(runs, pids))


# --- the main process is killed


def metrics_flags(enabled: str) -> dict[str, str]:
    """With metrics, workers are spawned; without, they are forked."""
    return {"GRANIAN_METRICS_ENABLED": enabled, "GRANIAN_METRICS_PORT": str(free_ports(3))}


@pytest.mark.parametrize("metrics", ["false", "true"], ids=["plain", "metrics"])
@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("loop", ["asyncio", "uvloop", "rloop"])
def test_workers_end_with_their_lifespan_left(
    site: Path, serve: Serve, loop: str, workers: int, metrics: str
) -> None:
    flags = {"GRANIAN_LOOP": loop, "GRANIAN_WORKERS": str(workers)}
    server = serve(site, **metrics_flags(metrics), **flags).ready(workers)
    pids = worker_pids(server)
    assert len(pids) == workers
    kill_main(server)
    wait_for(lambda: all_end(pids), f"the end of the workers; the log: {server.log}")
    assert server.log.count(GONE) == workers
    assert server.log.count("home: stopped in") == workers
    assert (site / "left").exists()
    assert not server.listens()

    follower = serve(site, port=server.port).ready()
    assert follower.stop() == 0


@pytest.mark.parametrize("workers", [1, 2])
def test_workers_end_while_they_start(site: Path, serve: Serve, workers: int) -> None:
    (site / "hang").touch()
    server = serve(site, GRANIAN_WORKERS=str(workers))
    server.wait_for_log('"enters"', workers)
    pids = worker_pids(server)
    kill_main(server)
    wait_for(lambda: all_end(pids), f"the end of the workers; the log: {server.log}")
    assert server.log.count("startup given up") == workers


def test_workers_end_that_are_importing(site: Path, serve: Serve) -> None:
    settings = site / "config" / "settings.py"
    settings.write_text(
        "import pathlib, time\npathlib.Path('imports').touch()\nwhile pathlib.Path('hang').exists():"
        f" time.sleep(0.01)\n{settings.read_text()}"
    )
    (site / "hang").touch()
    server = serve(site)
    wait_for((site / "imports").exists, "the import")
    pids = worker_pids(server)
    kill_main(server)
    wait_for(lambda: all_end(pids), f"the end of the worker; the log: {server.log}")


def test_a_request_in_flight_is_answered_first(site: Path, serve: Serve) -> None:
    server = serve(site).ready()
    pids = worker_pids(server)
    answers: list[str] = []
    asking = threading.Thread(target=lambda: answers.append(server.get("/slow").text))
    asking.start()
    server.wait_for_log("slow begins")
    kill_main(server)
    asking.join()
    assert answers == ["done"]
    wait_for(lambda: all_end(pids), "the end of the worker")
    assert (site / "left").exists()


@pytest.mark.parametrize("loop", ["asyncio", "uvloop", "rloop"])
def test_who_is_connected_when_the_order_comes_is_answered(
    project: Path, serve: Serve, loop: str
) -> None:
    """Also those whom the server has not accepted yet: no proxy sends a POST again that may have been done."""
    settings = project / "config" / "settings.py"
    settings.write_text(settings.read_text() + program("wait_for_all"))
    request = b"POST /livez HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\nConnection: close\r\n\r\ntea"
    server = serve(project, GRANIAN_LOOP=loop, GRANIAN_BACKPRESSURE="1").ready()
    address = ("127.0.0.1", server.port)
    with ExitStack() as opened:
        with socket.create_connection(address):  # the only one that is accepted
            clients = [opened.enter_context(socket.create_connection(address)) for _ in range(20)]
            for client in clients:
                client.settimeout(PATIENCE)
                client.sendall(request)
            server.signal()
            wait_for(lambda: not lets_in(address), "the order to be heard")
        assert Counter(client.recv(9) for client in clients) == {b"HTTP/1.1 ": 20}
    assert server.wait() == 0


def lets_in(address: tuple[str, int]) -> bool:
    try:
        socket.create_connection(address, timeout=0.2).close()
    except OSError:
        return False
    return True


def test_an_open_stream_is_ended(site: Path, serve: Serve) -> None:
    server = serve(site, DRAIN_TIMEOUT="0.2").ready()
    pids = worker_pids(server)
    with httpx.stream("GET", f"{server.address}/endless", timeout=PATIENCE) as answer:
        parts = answer.iter_bytes()
        next(parts)
        kill_main(server)
        assert b"tick" in b"".join(parts), "ended as if it were complete"
    wait_for(lambda: all_end(pids), "the end of the worker")
    assert (site / "left").exists()


def test_a_worker_that_does_not_stop_ends_after_the_kill_timeout(site: Path, serve: Serve) -> None:
    server = serve(site, DRAIN_TIMEOUT="60", GRANIAN_WORKERS_KILL_TIMEOUT="1").ready()
    pids = worker_pids(server)

    def ask() -> None:
        with pytest.raises(httpx.TransportError):
            server.get("/stuck")

    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    server.wait_for_log("stuck begins")
    kill_main(server)
    wait_for(lambda: all_end(pids), "the end of the worker")
    asking.join()
    assert "did not stop in 1 s" in server.log


@pytest.fixture
def watchful(site: Path) -> Path:
    """The site, with a watch that looks a hundred times a second: a false alarm would come at once."""
    parent = site / SERVING / "stopping" / "parent.py"
    text = parent.read_text()
    assert "\nINTERVAL = 1.0" in text
    parent.write_text(text.replace("\nINTERVAL = 1.0", "\nINTERVAL = 0.01"))
    return site


def goes_on(server: Server) -> None:
    for _ in range(100):
        assert server.get("/livez").status_code == 200
    assert GONE not in server.log


@pytest.mark.parametrize("metrics", ["false", "true"], ids=["plain", "metrics"])
def test_no_alarm_while_workers_are_replaced(watchful: Path, serve: Serve, metrics: str) -> None:
    flags = {"GRANIAN_WORKERS": "2", "GRANIAN_RESPAWN_INTERVAL": "1.5"}
    server = serve(watchful, **metrics_flags(metrics), **flags).ready(2)
    server.signal(signal.SIGHUP)
    server.wait_for_log("Stopped old worker-", 2)
    goes_on(server)
    assert server.stop() == 0
    assert GONE not in server.log


def test_no_alarm_when_the_shell_that_started_it_ends(
    watchful: Path, serve_by_script: Serve
) -> None:
    server = serve_by_script(watchful, 'python -m serving "$@" &')
    assert server.wait() == 0, "the shell has ended"
    wait_for(lambda: "Started worker-" in server.log and server.listens(), "a listener")
    goes_on(server)


# --- it is told to stop more than once


def test_a_storm_of_signals_ends_it_as_one_does(project: Path, serve: Serve) -> None:
    """As systemd, `make` and a terminal send some: to the main process, and its workers, at once."""
    server = serve(project, GRANIAN_WORKERS="2").ready(2)
    for _ in range(300):
        with suppress(ProcessLookupError):
            server.signal_all(signal.SIGTERM)
    assert server.wait() in (0, 1), "1: a worker has ended first"


def test_an_order_to_stop_is_not_lost_behind_one_to_reload(project: Path, serve: Serve) -> None:
    server = serve(project).ready()
    server.signal(signal.SIGHUP)
    assert server.stop() == 0


# --- nobody reads the log


def full_pipe() -> tuple[int, int]:
    return os.pipe()


def full_socket() -> tuple[int, int]:
    ours, its = socket.socketpair()
    return ours.detach(), its.detach()


def full_terminal() -> tuple[int, int]:
    return os.openpty()


class Reader:
    """Who should read the log, and does so when told."""

    def __init__(self, file: int, seconds_between: float = 0) -> None:
        self.file = file
        self.pause = seconds_between
        self.text = b""
        self.thread = threading.Thread(target=self._read, daemon=True)

    def _read(self) -> None:
        while True:
            try:
                part = os.read(self.file, 65536)
            except OSError:  # a terminal that nobody has open any more
                return
            if not part:
                return
            self.text += part
            time.sleep(self.pause)

    def start(self) -> "Reader":
        self.thread.start()
        return self

    def wait_for_lines(self, count: int) -> "Reader":
        """Waits until so many of the view's lines were read: the end of a process waits 2 s for them."""
        wait_for(lambda: self.text.count(b'"line ') >= count, f"{count} lines")
        return self

    @property
    def messages(self) -> list[str]:
        lines = self.text.decode().replace("\r\n", "\n").splitlines()
        return [json.loads(line)["message"] for line in lines]


@pytest.fixture(params=[full_pipe, full_socket, full_terminal], ids=["pipe", "socket", "terminal"])
def ends(request: pytest.FixtureRequest) -> Iterator[tuple[int, int]]:
    ours, its = request.param()
    yield ours, its
    os.close(ours)


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_log_that_nobody_reads_stops_nothing(
    site: Path, serve: Serve, ends: tuple[int, int], workers: str
) -> None:
    _, its = ends
    server = serve(site, output=its, GRANIAN_WORKERS=workers)
    os.close(its)
    wait_for(lambda: server.exited or server.listens(), "a listener")
    for first in range(0, 2000, 500):  # 1.5 MB: more than any of them holds
        assert server.get(f"/lines?from={first}&to={first + 500}&size=500").text == "said"
    assert server.get("/readyz").status_code == 200
    assert server.stop() == 0
    assert (site / "left").exists()


def test_it_is_all_there_once_somebody_reads_it(
    site: Path, serve: Serve, ends: tuple[int, int]
) -> None:
    ours, its = ends
    server = serve(site, output=its)
    os.close(its)
    wait_for(lambda: server.exited or server.listens(), "a listener")
    for first in range(0, 4000, 500):
        server.get(f"/lines?from={first}&to={first + 500}&size=300")
    reader = Reader(ours).start()
    server.get("/lines?from=4000&to=4500")
    reader.wait_for_lines(4500)
    assert server.stop() == 0
    reader.thread.join(PATIENCE)

    # A terminal takes a part of a line, and what another process says may come before the rest.
    said = re.findall(rb'"message":"line (\d+)', reader.text)
    assert said == [b"%d" % number for number in range(4500)]
    assert b"Granian shutdown completed" in reader.text


@pytest.fixture
def unopenable(site: Path) -> Path:
    """The site where its stdout can't be opened anew: another user's, or a system without /proc."""
    output = site / SERVING / "log" / "output.py"
    text = output.read_text()
    assert text.count("/proc/self/fd/") == 1
    output.write_text(text.replace("/proc/self/fd/", "/nowhere/"))
    return site


def assert_said(server: Server, pipe: int, lines: int) -> None:
    """Reads the log now and until the server has ended: every line is there, once and in order."""
    reader = Reader(pipe).start().wait_for_lines(lines)
    assert server.stop() == 0
    reader.thread.join(PATIENCE)
    os.close(pipe)
    said = [message.split()[1] for message in reader.messages if message.startswith("line ")]
    assert said == [str(number) for number in range(lines)]


def test_it_is_the_same_for_a_pipe_that_cannot_be_opened_anew(
    unopenable: Path, serve: Serve
) -> None:
    ours, its = os.pipe()
    server = serve(unopenable, output=its)
    os.close(its)
    wait_for(lambda: server.exited or server.listens(), "a listener")
    for first in range(0, 2000, 500):
        assert server.get(f"/lines?from={first}&to={first + 500}&size=500").text == "said"
    assert_said(server, ours, 2000)


def test_a_stdout_that_somebody_else_made_non_blocking(site: Path, serve: Serve) -> None:
    ours, its = os.pipe()
    os.set_blocking(its, False)
    server = serve(site, output=its)
    os.close(its)
    wait_for(lambda: server.exited or server.listens(), "a listener")
    server.get("/lines?from=0&to=1000&size=500")
    assert_said(server, ours, 1000)


def test_what_is_too_much_is_counted(site: Path, serve: Serve) -> None:
    output = site / SERVING / "log" / "output.py"
    text = output.read_text()
    output.write_text(re.sub(r"\nKEPT = .*", "\nKEPT = 100_000", text))
    ours, its = os.pipe()
    server = serve(site, output=its, GRANIAN_LOG_ACCESS_ENABLED="false")
    os.close(its)
    wait_for(lambda: server.exited or server.listens(), "a listener")
    server.get("/lines?from=0&to=3000&size=300")
    reader = Reader(ours).start()
    wait_for(lambda: b"were dropped here" in reader.text, "the count")
    server.get("/lines?from=3000&to=3100")
    assert server.stop() == 0
    reader.thread.join(PATIENCE)
    os.close(ours)

    shown = reader.messages
    (gap,) = [message for message in shown if "were dropped here" in message]
    lost = int(gap.split()[0])
    said = [int(message.split()[1]) for message in shown if message.startswith("line ")]
    assert len(said) + lost == 3100
    assert said == [*range(3000 - lost), *range(3000, 3100)], "in order, with one gap"
    place = shown.index(gap)
    assert shown[place - 1].startswith(f"line {3000 - lost - 1} ")
    assert shown[place + 1].startswith("line 3000 ")


@pytest.mark.parametrize("capacity", [4096, 65536])
def test_lines_of_several_workers_do_not_mix_for_a_slow_reader(
    site: Path, serve: Serve, capacity: int
) -> None:
    ours, its = os.pipe()
    fcntl.fcntl(its, fcntl.F_SETPIPE_SZ, capacity)
    reader = Reader(ours, 0.002).start()
    server = serve(site, output=its, GRANIAN_WORKERS="2")
    os.close(its)
    wait_for(lambda: reader.text.count(b"Started worker-") == 2, "the workers")

    def ask(part: int) -> None:
        for first in range(part * 1000, part * 1000 + 1000, 100):
            server.get(f"/lines?from={first}&to={first + 100}&size=100")

    asking = [threading.Thread(target=ask, args=(part,)) for part in range(4)]
    for thread in asking:
        thread.start()
    for thread in asking:
        thread.join()
    reader.wait_for_lines(4000)
    assert server.stop() == 0
    reader.thread.join(PATIENCE)
    os.close(ours)
    said = [int(text.split()[1]) for text in reader.messages if text.startswith("line ")]
    assert sorted(said) == list(range(4000))


def test_a_reader_that_is_gone_stops_nothing(site: Path, serve: Serve) -> None:
    ours, its = os.pipe()
    server = serve(site, output=its)
    os.close(its)
    wait_for(lambda: server.exited or server.listens(), "a listener")
    os.close(ours)
    for first in range(0, 1000, 500):
        assert server.get(f"/lines?from={first}&to={first + 500}&size=500").text == "said"
    server.stop()
    assert (site / "left").exists()


def test_no_flag_of_a_shared_file_is_changed(site: Path, serve: Serve) -> None:
    ours, its = os.pipe()
    before = fcntl.fcntl(its, fcntl.F_GETFL)
    server = serve(site, output=its)
    wait_for(lambda: server.exited or server.listens(), "a listener")
    assert fcntl.fcntl(its, fcntl.F_GETFL) == before, "the shell has this file open, too"
    assert server.stop() == 0
    os.close(ours)
    os.close(its)


def test_a_command_waits_for_who_reads_its_log(site: Path, environment: Path) -> None:
    """It serves nobody, and is to lose nothing."""
    code = "import logging\nfor n in range(30000): logging.getLogger('home').warning('line %d', n)"
    with subprocess.Popen(
        [environment / "bin" / "python", "manage.py", "shell", "-v", "0", "-c", code],
        cwd=site,
        env=with_packages(site, clean_environment() | server_environment(site)),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stderr
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(3)
        text = process.stderr.read().decode()
    assert process.returncode == 0
    assert text.count('"line ') == 30000


# --- faults of native code; few open files


def test_the_log_says_where_native_code_failed(site: Path, serve: Serve) -> None:
    server = serve(site).ready()
    with pytest.raises(httpx.TransportError):
        server.get("/segfault")
    assert server.wait() == 1
    assert "Segmentation fault" in server.log
    assert re.search(r'File ".*/home/urls.py", line \d+ in segfault', server.log)


def test_too_few_open_files(site: Path, serve: Serve) -> None:
    server = serve(site).ready()
    (worker,) = worker_pids(server)
    resource.prlimit(worker, resource.RLIMIT_NOFILE, (64, 64))
    held = []
    for _ in range(100):
        held.append(socket.create_connection(("127.0.0.1", server.port)))
    server.wait_for_log("Too many open files")
    assert "ulimit -n 4096" in server.log
    turned = cpu_seconds(worker)
    for connection in held[:20]:
        connection.settimeout(PATIENCE)
        connection.sendall(b"GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        assert connection.recv(100).startswith(b"HTTP/1.1 200")
    for connection in held:
        connection.close()
    assert server.get("/livez").status_code == 200
    assert cpu_seconds(worker) - turned < 1, "it does not spin"
    assert server.log.count("Too many open files") < 50
    assert server.stop() == 0


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def policies(worker: int) -> set[int]:
    """How the kernel schedules the event loop's thread of a worker, and Granian's that reads and writes."""
    threads = Path(f"/proc/{worker}/task").iterdir()
    names = {int(each.name): (each / "comm").read_text().strip() for each in threads}
    (sockets,) = [number for number, name in names.items() if name == "tokio-rt-worker"]
    return {os.sched_getscheduler(worker), os.sched_getscheduler(sockets)}


@pytest.mark.parametrize("metrics", ["false", "true"])
def test_the_threads_of_a_worker_take_no_core_from_each_other(
    site: Path, serve: Serve, metrics: str
) -> None:
    server = serve(site, **metrics_flags(metrics)).ready()
    (worker,) = worker_pids(server)
    assert policies(worker) == {os.SCHED_BATCH}
    assert os.sched_getscheduler(server.process.pid) == os.sched_getscheduler(0)
    assert server.stop() == 0


def test_a_project_can_have_it_otherwise(site: Path, serve: Serve) -> None:
    with (site / "config" / "settings.py").open("a") as settings:
        settings.write("\nSCHED_BATCH = False\n")
    server = serve(site).ready()
    (worker,) = worker_pids(server)
    assert policies(worker) == {os.SCHED_OTHER}
    assert server.stop() == 0


def test_a_policy_that_somebody_chose_is_kept(site: Path, serve_by_script: Serve) -> None:
    server = serve_by_script(site, 'exec chrt --idle 0 python -m serving "$@"').ready()
    (worker,) = worker_pids(server)
    assert policies(worker) == {os.SCHED_IDLE}
    assert server.stop() == 0


def test_a_low_limit_is_warned_of_at_start(site: Path, serve_by_script: Serve) -> None:
    server = serve_by_script(site, 'ulimit -n 64\nexec python -m serving "$@"').ready()
    assert "this process may open 64 files" in server.log
    assert server.stop() == 0


@pytest.mark.parametrize("closed", [">&-", ">&- 2>&-", ">/dev/full"])
def test_a_server_without_a_stdout(site: Path, serve_by_script: Serve, closed: str) -> None:
    server = serve_by_script(site, f'exec python -m serving "$@" {closed}')
    wait_for(lambda: server.exited or server.listens(), "a listener")
    assert server.get("/livez").status_code == 200
    assert server.stop() == 0
    assert (site / "left").exists()


@pytest.mark.parametrize("early", ["env_file", "process_one"])
def test_process_one_of_a_container_is_told_to_stop_in_its_first_second(
    project: Path, run: Run, early: str
) -> None:
    """Linux ignores for it what it does not handle: it went on until it was killed."""
    code = program("stop_process_one")
    done = run(project, "python", "-c", code, early, check=False, **server_environment(project))
    assert (done.returncode, done.stdout) == (128 + signal.SIGTERM, "")


@pytest.mark.parametrize("command", ["manage.py help", "-m serving --help"])
def test_nothing_that_takes_time_is_imported_before_a_signal_is_heard(
    project: Path, run: Run, command: str
) -> None:
    shown = run(
        project, "python", *"-X importtime".split(), *command.split(), **server_environment(project)
    ).stderr
    imported = re.findall(r"\|\s+([\w.]+)$", shown, re.MULTILINE)
    before = imported[: imported.index("serving.process_one")]
    assert not {"asyncio", "django", "granian", "logging"} & set(before)
