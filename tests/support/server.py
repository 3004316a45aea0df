"""A real Granian server of a generated project, for tests that make requests and read its log."""

import itertools
import json
import os
import re
import shlex
import signal
import socket
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import psutil
from dotenv import dotenv_values

SECRET_KEY = "for-tests-only-" + "0123456789" * 5

# How long a condition may take to come true. Not a measure of speed: it ends a test that would
# otherwise hang.
PATIENCE = 180.0

NUMBERS = count(1)  # of servers: two may have one port, one after the other

HELD: deque[socket.socket] = deque()  # the newest of the sockets that keep a port free
HELD_AT_MOST = 256


def server_environment(project: Path) -> dict[str, str]:
    """The variables that `make run` gives a server, with a secret of the tests' own."""
    flags = dotenv_values(project / "config" / "granian.env")
    local = dotenv_values(project / ".env.example")
    made = {**flags, **local, "SECRET_KEY": SECRET_KEY}
    return {name: value for name, value in made.items() if value is not None}


def dev_variables(project: Path) -> dict[str, str]:
    """The variables that `make dev` gives a server, as the shell would read them."""
    recipe = subprocess.run(
        ["make", "--dry-run", "--assume-old=.env", "dev"],
        cwd=project, capture_output=True, text=True, check=True,
    ).stdout.replace("\\\n", " ")  # fmt: skip
    (command,) = [line for line in recipe.splitlines() if "GRANIAN_RELOAD=" in line]
    words = itertools.takewhile(lambda word: re.match(r"[A-Z_\d]+=", word), shlex.split(command))
    variables = {name: value for name, _, value in (word.partition("=") for word in words)}
    return {name: re.sub(r"^\$\{\w+:-(\w+)\}$", r"\1", value) for name, value in variables.items()}


def free_port() -> int:
    """A port that nobody listens on, and that the kernel gives to no connection or server of others."""
    return free_ports(1)


def free_ports(number: int) -> int:
    """The first of so many in a row.

    This process keeps a socket bound to each, which never listens: a server that was told the port may share
    it (SO_REUSEADDR, which all but the simplest set), and the kernel chooses it for nobody else.
    """
    while True:
        first = hold(0)
        if all(hold(first + further) for further in range(1, number)):
            return first


def hold(port: int) -> int:
    """Binds a socket to a port, or to one that the kernel chooses for 0; 0 if somebody has it."""
    held = socket.socket()
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        held.bind(("127.0.0.1", port))
    except OSError:
        held.close()
        return 0
    HELD.append(held)
    if len(HELD) > HELD_AT_MOST:
        HELD.popleft().close()
    found: int = held.getsockname()[1]
    return found


def listens(port: int) -> bool:
    """Whether somebody listens at a port of this machine."""
    with socket.socket() as asker:
        asker.bind(("127.0.0.2", 0))  # from that port itself it would reach itself
        return asker.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def answering_with(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    """The address of a server of this process's own, which is another service to those under test."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def wait_for[T](condition: Callable[[], T], what: str, pause: float = 0.02) -> T:
    """Asks until the answer is true, and returns it. Fails with `what` when it never comes.

    `pause`: seconds between two questions.
    """
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if answer := condition():
            return answer
        time.sleep(pause)
    raise AssertionError(f"waited {PATIENCE:g} s in vain for {what}")


def workers_of(pid: int) -> list[psutil.Process]:
    """The workers of Granian's main process, the oldest first.

    Where it spawns them, as with metrics, multiprocessing has a process of its own beside them.
    """
    children = psutil.Process(pid).children()
    return [child for child in children if "resource_tracker" not in "".join(child.cmdline())]


class Server:
    """A server process. Its log goes to a file, one JSON object a line unless LOG_FORMAT says else.

    `output`: the open file that it goes to instead. `port`: one that may be taken; else one that is free.
    """

    def __init__(
        self,
        programs: Path,
        project: Path,
        base: Mapping[str, str],
        variables: Mapping[str, str],
        command: str = "python -m serving --port {port} config.asgi:application",
        output: int | None = None,
        port: int | None = None,
    ) -> None:
        self.port = port or free_port()
        program, *arguments = command.format(port=self.port).split()
        self.address = f"http://127.0.0.1:{self.port}"
        self.log_file = project.parent / f"server-{self.port}-{next(NUMBERS)}.log"
        environment = {**base, **server_environment(project), **variables}
        with self.log_file.open("w") as log:
            self.process = subprocess.Popen(
                [programs / program, *arguments],
                cwd=project,
                env=environment,
                stdout=log if output is None else output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def log(self) -> str:
        """Everything the server has printed so far."""
        return self.log_file.read_text()

    @property
    def records(self) -> list[dict[str, Any]]:
        """The log's records, parsed; lines that are no JSON are left out, and one that is being written."""
        written, _, _ = self.log.rpartition("\n")
        return [json.loads(line) for line in written.splitlines() if line.startswith("{")]

    def messages(self, logger: str) -> list[str]:
        """What one logger has said so far."""
        return [record["message"] for record in self.records if record["log.logger"] == logger]

    @property
    def killed_a_worker(self) -> bool:
        """Whether Granian waited in vain for a worker, and killed it."""
        return any(record["message"].startswith("Killing worker-") for record in self.records)

    def wait_for_log(self, text: str, count: int = 1) -> None:
        """Waits until the log holds a text so many times."""
        try:
            wait_for(lambda: self.log.count(text) >= count or self.exited, f"{text!r} in the log")
        except AssertionError as error:
            raise AssertionError(f"{error}; it says:\n{self.log}") from None
        assert self.log.count(text) >= count, f"no {text!r} (x{count}) in the log:\n{self.log}"

    @property
    def workers(self) -> list[psutil.Process]:
        """Its worker processes, the oldest first."""
        return workers_of(self.process.pid)

    @property
    def exited(self) -> bool:
        return self.process.poll() is not None

    def ready(self, workers: int = 1) -> "Server":
        """Waits until every worker has started, and the server answers.

        A worker says that it has started just before it listens.
        """
        self.wait_for_log("Started worker-", workers)
        wait_for(lambda: self.exited or self.listens(), "a listener")
        return self

    def listens(self) -> bool:
        """Whether somebody listens, asked without a request that the access log would show."""
        return listens(self.port)

    def answering(self) -> "Server":
        """Waits until the server answers: at some levels the log does not say that it started."""

        def answers() -> bool:
            assert not self.exited, self.log
            try:
                return self.get("/livez").status_code == 200
            except httpx.TransportError:
                return False

        wait_for(answers, "an answer")
        return self

    def get(self, path: str, **options: Any) -> httpx.Response:
        """One request, on a connection of its own."""
        # It is http: to make a TLS context would take longer than the request.
        return httpx.get(self.address + path, timeout=PATIENCE, verify=False, **options)  # noqa: S501

    def signal(self, number: int = signal.SIGTERM) -> None:
        self.process.send_signal(number)

    def signal_all(self, number: int) -> None:
        """Sends a signal to the server and its workers, as Ctrl-C in a terminal and systemd do."""
        os.killpg(self.process.pid, number)

    def wait(self) -> int:
        """Waits for the end; returns the exit status."""
        return self.process.wait(PATIENCE)

    def stop(self) -> int:
        """Sends SIGTERM, as an orchestrator does; returns the exit status."""
        self.signal()
        return self.wait()

    def kill(self) -> None:
        """Ends the server and its workers, whatever they do."""
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            return
        self.process.wait()
