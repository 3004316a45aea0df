"""A project on a real Valkey that is there and does not serve: each refusal, provoked at the server."""

import json
import shutil
import signal
import socket
import socketserver
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from threading import Thread
from typing import Any

import httpx
import pytest

from tests.conftest import Run, Serve, add_ada, bake_site, clean_environment
from tests.support.server import PATIENCE, Server, free_port, server_environment, wait_for
from tests.support.services import Valkey, running
from tests.support.sites import program

PREFIX = "my-project:1:"


@pytest.fixture(scope="session")
def cached_project(tmp_path_factory: pytest.TempPathFactory, run: Run) -> Path:
    """A project that keeps its cache in Valkey, with a user "ada"; to be copied."""
    folder = bake_site(tmp_path_factory.mktemp("refused"), run, "sessions", cache="valkey")
    add_ada(folder, run)
    return folder


class Process:
    """A process of the project: `process("cache.get('tea')")` evaluates there."""

    def __init__(self, python: Path, project: Path, url: str) -> None:
        variables = {"CACHE_URL": url, "DJANGO_SETTINGS_MODULE": "config.settings"}
        self._process = subprocess.Popen(
            [python, "-c", program("evaluate_lines")], cwd=project, text=True,
            env=clean_environment() | server_environment(project) | variables,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip

    def __call__(self, expression: str) -> Any:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(f"{expression}\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    @property
    def said(self) -> list[str]:
        found: list[str] = self("said")
        return found

    def end(self) -> None:
        self._process.kill()
        self._process.communicate()


Start = Callable[[str], Process]


@pytest.fixture
def start(cached_project: Path, environment: Path) -> Iterator[Start]:
    """Starts processes of the project with this CACHE_URL."""
    with ExitStack() as stack:

        def start_one(url: str) -> Process:
            process = Process(environment / "bin" / "python", cached_project, url)
            stack.callback(process.end)
            return process

        yield start_one


def config(valkey: Valkey, *settings: str) -> None:
    for setting in settings:
        answer = valkey.ask(f"CONFIG SET {setting}")
        assert answer.startswith("+OK"), answer


@contextmanager
def full(valkey: Valkey) -> Iterator[None]:
    config(valkey, "maxmemory-policy noeviction", "maxmemory 1")
    yield
    config(valkey, "maxmemory 0")


@contextmanager
def without_replicas(valkey: Valkey) -> Iterator[None]:
    config(valkey, "min-replicas-to-write 1")
    yield
    config(valkey, "min-replicas-to-write 0")


@contextmanager
def unsaved(valkey: Valkey) -> Iterator[None]:
    """Its snapshot failed, for it may not write into its folder."""
    config(valkey, 'save "3600 1"')
    valkey.folder.chmod(0o500)
    valkey.ask("BGSAVE")
    wait_for(lambda: valkey.info("rdb_last_bgsave_status") == "err", "a failed snapshot")
    yield
    valkey.folder.chmod(0o700)
    valkey.ask("BGSAVE")
    wait_for(lambda: valkey.info("rdb_last_bgsave_status") == "ok", "a snapshot")


@contextmanager
def replica(valkey: Valkey) -> Iterator[None]:
    """Of a primary that does not answer, as after a failover; it serves what it has."""
    valkey.ask(f"REPLICAOF 127.0.0.1 {free_port()}")
    yield
    valkey.ask("REPLICAOF NO ONE")


@contextmanager
def not_permitted(valkey: Valkey) -> Iterator[None]:
    assert valkey.ask("ACL SETUSER default -@write").startswith("+OK")
    yield
    valkey.ask("ACL SETUSER default +@all")


@contextmanager
def lost(valkey: Valkey) -> Iterator[None]:
    config(valkey, "replica-serve-stale-data no")
    with replica(valkey):
        yield


@contextmanager
def busy(valkey: Valkey) -> Iterator[None]:
    config(valkey, "busy-reply-threshold 10")
    with socket.create_connection(("127.0.0.1", valkey.port)) as script:
        script.sendall(b"EVAL 'while true do end' 0\r\n")
        wait_for(lambda: valkey.ask("PING").startswith("-BUSY"), "a busy server")
        yield
        valkey.ask("SCRIPT KILL")


@contextmanager
def crowded(valkey: Valkey) -> Iterator[None]:
    """All its connections are taken by others."""
    config(valkey, "maxclients 12")
    valkey.ask("CLIENT KILL TYPE normal SKIPME yes")
    others = [socket.create_connection(("127.0.0.1", valkey.port)) for _ in range(20)]
    for other in others:
        other.sendall(b"PING\r\n")
    yield
    for other in others:
        other.close()
    wait_for(lambda: "+PONG" in valkey.ask("PING"), "a free connection")


Refusing = Callable[[Valkey], AbstractContextManager[None]]


def name_of(refusing: Refusing) -> str:
    return getattr(refusing, "__name__", "")


# What each says.
WRITES_REFUSED: dict[Refusing, str] = {
    full: "it is full",
    without_replicas: "it has too few replicas",
    unsaved: "it can't save to its disk",
    replica: "it is a replica",
    not_permitted: "its ACL does not permit the command to this user: correct the ACL, or CACHE_URL (",
}
ALL_REFUSED: dict[Refusing, str] = {
    lost: "it is a replica that has lost its primary",
    busy: "it is busy with a script",
    crowded: "",
}


@pytest.mark.parametrize("refusing", WRITES_REFUSED, ids=name_of)
def test_a_refused_write_is_a_dropped_write(
    start: Start, valkey: Valkey, refusing: Refusing
) -> None:
    one, other = start(valkey.url), start(valkey.url)
    for key in ("changed", "added", "many", "touched", "deleted", "kept"):
        one(f"cache.set('{key}', 'oolong')")
    one("cache.set('cups', 3)")
    assert other("cache.get('kept')") == "oolong"

    with refusing(valkey):
        for _ in range(3):
            assert one("cache.set('changed', 'green')") is None
            assert one("cache.add('new', 'green')") is False
            assert one("cache.set_many({'many': 'green', 'more': 'green'})") == []
            assert one(
                "cache.incr('cups')"
            ) == "ValueError: Key 'my-project:1:cups' not found." or (refusing is full)
            assert one("cache.get_or_set('absent', 'default')") in ("default", None)
            assert one("cache.touch('touched', 9)") in (True, False)
            assert one("cache.delete('deleted')") in (True, False)
            assert one("cache.delete_many(['deleted', 'never'])") is None
            assert one("cache.get('kept')") == "oolong", "a read is answered"
            assert one("cache.get_many(['kept', 'changed', 'many'])") == {"kept": "oolong"}
            assert one("cache.has_key('kept')") is True
            for key in ("changed", "many", "cups", "deleted", "new"):
                assert one(f"cache.get('{key}')") is None, "what the server has is out of date"
                assert one(f"cache.has_key('{key}')") is False
        assert other("cache.get('kept')") == "oolong"
        (warning,) = one.said
        assert WRITES_REFUSED[refusing] in warning
        level = "ERROR" if refusing is not_permitted else "WARNING"
        assert warning.startswith(f"{level} the cache refuses writes, which are dropped: ")

    wait_for(lambda: one("cache.set('after', 1)") or one("cache.get('after')"), "a write")
    keys = valkey.ask("KEYS *")
    for key in ("changed", "many", "cups", "deleted", "new"):
        assert f"{PREFIX}{key}\n" not in keys.replace("\r", ""), "it was deleted first"
    assert f"{PREFIX}kept\n" in keys.replace("\r", "")
    assert len(one.said) == 2
    assert one.said[1].startswith("WARNING the cache takes writes again, after ")
    assert one("cache.incr('after')") == 2
    assert other.said == []


@pytest.mark.parametrize("refusing", ALL_REFUSED, ids=name_of)
def test_a_server_that_refuses_all_is_done_without(
    start: Start, valkey: Valkey, refusing: Refusing
) -> None:
    one = start(valkey.url)
    one("cache.set('changed', 'oolong')")
    with refusing(valkey):
        for _ in range(3):
            assert one("cache.get('changed')") is None
            assert one("cache.set('changed', 'green')") is None
            assert one("cache.set_many({'many': 'green'})") == []
            assert one("cache.get_many(['changed'])") == {}
            assert one("cache.has_key('changed')") is False
            assert one("cache.clear()") in (False, True)
        assert ALL_REFUSED[refusing] in one.said[0]
        assert len(one.said) == 1
    wait_for(lambda: one("cache.set('after', 1)") or one("cache.get('after')"), "a write")
    assert one("cache.get('changed')") is None
    assert len(one.said) == 2


def test_one_that_loads_is_waited_for(start: Start, valkey: Valkey) -> None:
    one = start(valkey.url)
    for number in range(300):
        valkey.ask(f"SET key{number} {'x' * 5000}")
    one("cache.set('tea', 'oolong')")
    valkey.ask("SAVE")
    valkey.stop(signal.SIGKILL)
    plain = valkey.command()
    slow = ["--key-load-delay", "20000", "--loading-process-events-interval-bytes", "1024"]
    valkey.command = lambda: [*plain, *slow]  # type: ignore[method-assign]
    valkey.start()
    assert "-LOADING" in valkey.ask("GET tea")

    for _ in range(3):
        assert one("cache.get('tea')") is None
        assert one("cache.set('tea', 'green')") is None
    assert "it loads its data" in one.said[0]
    wait_for(lambda: "-LOADING" not in valkey.ask("GET tea"), "the end of loading")
    wait_for(lambda: one("cache.set('after', 1)") or one("cache.get('after')"), "a write")
    assert one("cache.get('tea')") is None
    assert len(one.said) == 2


class Node(Valkey):
    """A node of a cluster, whose own port is by default 10,000 above the other, and may be none."""

    def __init__(self) -> None:
        super().__init__()
        self.bus = free_port()

    def command(self) -> list[str | Path]:
        return [*super().command(), "--cluster-enabled", "yes", "--cluster-port", str(self.bus)]


def test_a_node_of_a_cluster_is_named(start: Start) -> None:
    with running(Node()) as first, running(Node()) as second:
        one = start(first.url)
        assert one("cache.set('tea', 'oolong')") is None
        assert one("cache.get('tea')") is None
        assert "its cluster is down" in one.said[0]
        first.ask("CLUSTER ADDSLOTSRANGE 0 8191")
        second.ask("CLUSTER ADDSLOTSRANGE 8192 16383")
        first.ask(f"CLUSTER MEET 127.0.0.1 {second.port} {second.bus}")
        wait_for(lambda: "cluster_state:ok" in first.ask("CLUSTER INFO"), "a cluster")
        fresh = start(first.url)
        for number in range(20):
            assert fresh(f"cache.set('{number}', 'oolong')") is None
            fresh(f"cache.get('{number}')")
            fresh("cache.get_many(['1', '2', '3'])")
            fresh("cache.delete_many(['1', '2', '3'])")
        assert "CACHE_URL must name a server that is in none" in fresh.said[0]
        assert len(fresh.said) < 6, "one line for each fault"


@pytest.mark.parametrize(
    ("url", "advice"),
    [
        ("redis://:hunter2@127.0.0.1:{port}/0", "it refuses the user or the password"),
        ("redis://eve:hunter2@127.0.0.1:{port}/0", "it refuses the user or the password"),
        ("redis://127.0.0.1:{port}/0", "it asks for a password"),
        ("redis://:sesame@127.0.0.1:{port}/99", "it has no such database number"),
    ],
)
def test_a_wrong_address_is_an_error_that_says_what_to_correct(
    start: Start, valkey: Valkey, url: str, advice: str
) -> None:
    config(valkey, "requirepass sesame")
    one = start(url.format(port=valkey.port))
    for _ in range(3):
        assert one("cache.get('tea')") is None
        assert one("cache.set('tea', 'green')") is None
    (error,) = one.said
    assert error.startswith("ERROR ")
    assert advice in error
    assert "CACHE_URL" in error
    assert "hunter2" not in error


def test_what_is_no_valkey_is_done_without(start: Start) -> None:
    """A port that is another program's: it greets before it is asked, as many do."""
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Greeting) as other:
        Thread(target=other.serve_forever, daemon=True).start()
        one = start(f"redis://127.0.0.1:{other.server_address[1]}/0")
        for _ in range(3):
            assert one("cache.set('tea', 'green')") is None
            assert one("cache.get('tea')") is None
        other.shutdown()
    (error,) = one.said
    assert error.startswith("ERROR ")
    assert "what answers is no Valkey: correct host and port in CACHE_URL" in error


class Greeting(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        self.request.sendall(b"220 mail.example ESMTP\r\n")
        self.request.recv(1024)


def test_a_password_may_have_commas_in_it(start: Start, valkey: Valkey) -> None:
    config(valkey, "requirepass a,b;c:d")
    one = start(valkey.url.replace("//", "//:a,b;c:d@"))
    assert one("cache.set('tea', 'oolong')") or one("cache.get('tea')") == "oolong"
    assert one.said == []


def test_a_mistake_of_the_program_is_raised(start: Start, valkey: Valkey) -> None:
    one = start(valkey.url)
    valkey.ask(f"LPUSH {PREFIX}list 1")
    one("cache.set('tea', 'oolong')")

    assert "WRONGTYPE" in one("cache.get('list')")
    assert "ResponseError" in one("cache.incr('tea')")
    assert one("cache.set('lambda', lambda: 1)").startswith(
        ("TypeError", "PicklingError", "Attrib")
    )
    assert "ValueError" in one("cache.incr('never')")
    assert one.said == []


def test_clear_does_without_flushdb(start: Start, valkey: Valkey) -> None:
    """Which an ACL often keeps from an application; what others have there stays."""
    valkey.ask("ACL SETUSER default -@dangerous")
    valkey.ask("SET another:1:tea oolong")
    one = start(valkey.url)
    one("cache.set_many({'a': 1, 'b': 2})")

    assert one("cache.clear()") is True
    assert one("cache.get_many(['a', 'b'])") == {}
    assert "oolong" in valkey.ask("GET another:1:tea")
    assert one("cache.set('a', 3)") or one("cache.get('a')") == 3
    assert one.said == []


@pytest.mark.parametrize(
    "refusing",
    [full, without_replicas, unsaved, replica, not_permitted],
    ids=name_of,
)
def test_sessions_are_neither_lost_nor_stale(
    cached_project: Path,
    tmp_path: Path,
    serve: Serve,
    valkey: Valkey,
    refusing: Refusing,
) -> None:
    """Two servers share the cache, and one of them never writes while it is refused."""
    project = shutil.copytree(cached_project, tmp_path / "project")
    variables = {"CACHE_URL": valkey.url}
    servers = [serve(project, **variables).ready() for _ in range(2)]
    with httpx.Client(timeout=PATIENCE) as ada:

        def ask(server: Server, path: str) -> str:
            answer = ada.get(server.address + path)
            assert answer.status_code == 200, server.log
            return answer.text.split()[0] if answer.text else ""

        ask(servers[0], "/in")
        counts = [ask(server, "/count") for server in servers * 2]
        assert counts == ["1", "2", "3", "4"]
        session = {"sessionid": ada.cookies["sessionid"]}
        with refusing(valkey):
            paths = ["/count", "/count-async"] * 4
            found = [ask(servers[n % 2], path) for n, path in enumerate(paths)]
            assert found == [str(number) for number in range(5, 13)]
            assert ask(servers[1], "/who") == "ada"
            ask(servers[0], "/out")
            for server in servers:
                stale = httpx.get(f"{server.address}/who", cookies=session, timeout=PATIENCE)
                assert stale.text == "AnonymousUser", "who has logged out is logged out everywhere"
            ask(servers[1], "/in")
            assert ask(servers[0], "/count") == "1"
            assert ask(servers[1], "/count") == "2"
        wait_for(lambda: "takes writes again" in told(servers[0], ask), "a write")
        wait_for(lambda: "takes writes again" in told(servers[1], ask), "a write")
        number = int(ask(servers[0], "/count"))
        assert ask(servers[1], "/count") == str(number + 1)
        for server in servers:
            stale = httpx.get(f"{server.address}/who", cookies=session, timeout=PATIENCE)
            assert stale.text == "AnonymousUser", "nor does it come back with the server"
            assert "Traceback" not in server.log
            warnings = server.messages("data.valkey")
            assert len(warnings) == 2, warnings


def told(server: Server, ask: Callable[[Server, str], str]) -> str:
    ask(server, "/count")
    return server.log


def test_a_deploy_meanwhile_forgets_nothing(start: Start, valkey: Valkey) -> None:
    """A process ends with what it has dropped; the one after it deletes all that may be out of date."""
    one = start(valkey.url)
    one("cache.set('tea', 'oolong')")
    with without_replicas(valkey):
        one("cache.set('tea', 'green')")
        one.end()
        two = start(valkey.url)
        two("cache.set('cups', 1)")
    wait_for(lambda: two("cache.set('after', 1)") or two("cache.get('after')"), "a write")
    assert two("cache.get('tea')") is None


def test_a_refusal_is_told_at_the_start(
    cached_project: Path, tmp_path: Path, serve: Serve, valkey: Valkey
) -> None:
    """A wrong password shows in the log before the first request does without the cache."""
    config(valkey, "requirepass sesame")
    project = shutil.copytree(cached_project, tmp_path / "project")
    server = serve(project, CACHE_URL=valkey.url).ready()

    server.wait_for_log("it asks for a password")
