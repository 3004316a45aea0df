"""Faults of Granian, by itself and as a server."""

import asyncio
import inspect
import json
import logging.config
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from granian import asgi, cli, log
from granian.net import SocketSpec, UnixSocketSpec
from granian.server.common import AbstractServer
from granian.server.mp import WorkerProcess
from granian.utils.proxies import wrap_asgi_with_proxy_headers

from tests.serving.upstream import works_around


@works_around("granian", "v2.8.1/src/workers.rs#L39-L57", "stopping.signals.set_loop_signals")
def test_a_worker_stands_still_when_it_is_told_twice():
    code = """
import faulthandler
from granian._granian import WorkerSignal
told = WorkerSignal()
told.set()
faulthandler.dump_traceback_later(1, exit=True)
told.set()
print("goes on")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert "line 7 in <module>" in done.stderr


@works_around("granian", "v2.8.1/src/net.rs#L82", "the check that nobody has the port")
def test_two_servers_get_one_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    held = [SocketSpec("127.0.0.1", port, 128).build() for _ in range(2)]
    assert len(held) == 2


@works_around("granian", "v2.8.1/src/net.rs#L211", "the removal of a socket that was left behind")
def test_a_socket_that_was_left_behind_is_in_the_way(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # a socket's path must be short
    with socket.socket(socket.AF_UNIX) as killed:
        killed.bind("socket")
    with pytest.raises(RuntimeError, match="in use"):
        UnixSocketSpec("socket", 128, None).build()


@works_around("granian", "v2.8.9/granian/server/common.py#L494-L500", "choose_start_method")
def test_workers_are_forked_beside_the_threads_of_the_metrics(monkeypatch):
    monkeypatch.setattr(multiprocessing, "get_start_method", lambda: "fork")
    assert WorkerProcess(None, 0, print, ())._spawn_method == "fork"
    startup = inspect.getsource(AbstractServer.startup)
    assert startup.index("._start_ipc()") < startup.index("._spawn_workers(")


@works_around("granian", "v2.8.9/granian/server/common.py#L485-L486", "ended_at_once")
def test_threads_for_metrics_are_not_waited_for():
    last = inspect.getsource(AbstractServer._stop_metrics).splitlines()[-1]
    assert last.strip() == "self._metrics_sig.set()"


@works_around("granian", "v2.8.9/granian/server/common.py#L338-L340", "Interrupt")
def test_the_main_process_waits_for_an_event_with_a_lock_that_a_handler_takes():
    assert "= threading.Event()" in inspect.getsource(AbstractServer.__init__)
    handler = inspect.getsource(AbstractServer.signal_handler_interrupt)
    assert handler.strip().endswith("self.main_loop_interrupt.set()")
    assert ".main_loop_interrupt.wait()" in inspect.getsource(AbstractServer._serve_loop)


@works_around(
    "python", "v3.13.0/Lib/multiprocessing/popen_fork.py#L70", "Finalize in take_over_process"
)
def test_a_worker_that_was_forked_forgets_what_atexit_held():
    code = """
import atexit, multiprocessing, os
atexit.register(lambda: print("ends", os.getpid() == main, flush=True))
main = os.getpid()
worker = multiprocessing.get_context("fork").Process(target=int)
worker.start()
worker.join()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "ends True\n"


@works_around("python", "v3.13.0/Lib/multiprocessing/popen_fork.py#L25-L35", "see_workers_end")
def test_a_process_lives_where_another_thread_saw_it_end():
    code = """
import multiprocessing, os
worker = multiprocessing.get_context("fork").Process(target=int)
worker.start()
os.waitpid(worker.pid, 0)
print(worker.is_alive(), flush=True)
os._exit(0)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "True\n"


@works_around("granian", "v2.8.9/granian/log.py#L69", "GranianLevelFilter")
def test_the_level_that_a_configuration_gives_the_server_is_replaced(monkeypatch):
    used = {}
    monkeypatch.setattr(logging.config, "dictConfig", used.update)
    log.configure_logging(log.LogLevels.info, {"loggers": {"_granian": {"level": "ERROR"}}})
    assert used["loggers"]["_granian"]["level"] == logging.INFO


@works_around("granian", "v2.8.9/granian/asgi.py#L139-L162", "hold_requests")
def test_each_request_makes_a_record_with_a_local_time(monkeypatch):
    logged = []
    monkeypatch.setattr(log.access_logger, "info", lambda _, fields: logged.append(fields))
    scope = {"client": ("", 0), "http_version": "1.1", "path": "/", "query_string": b""}
    asgi._build_access_logger("%(path)s")(0.0, 0.0, {**scope, "scheme": "http"}, 200)
    assert logged[0]["time"][:4] in ("1969", "1970")


@works_around("granian", "v2.8.9/granian/asgi.py#L31-L42", "the `failed` of a broken-off startup")
@pytest.mark.parametrize("error", [ValueError, asyncio.CancelledError])
def test_a_startup_that_breaks_off_passes_for_a_success(error):
    async def app(scope, receive, send):
        raise error

    protocol = asgi.LifespanProtocol(app)
    asyncio.run(protocol.startup())
    assert not protocol.interrupt


@works_around("granian", "#728", "what the new option does: for bodies, streams, lifespan or drain")
def test_no_option_limits_a_body_a_response_a_startup_or_the_drain():
    known = """blocking_threads_idle_timeout http1_header_read_timeout http2_keep_alive_timeout
        http2_max_concurrent_streams http2_max_frame_size http2_max_headers_size
        http2_max_send_buffer_size workers_kill_timeout workers_max_rss"""
    found = {option.name for option in cli.cli.params}
    limits = {name for name in found if any(word in name for word in ("timeout", "limit", "max"))}
    assert limits == set(known.split())


MAPPED = ("::ffff:10.0.0.1", b"192.0.2.1", b"https")
WITH_PORT = ("10.0.0.1", b"192.0.2.1:5000", b"https")
TWO_WORDS = ("10.0.0.1", b"192.0.2.1", b"https, https")


@works_around("granian", "#389", "Proxy, if the wrapper does all the rest as well")
@pytest.mark.parametrize(("peer", "client", "proto"), [MAPPED, WITH_PORT, TWO_WORDS])
def test_what_some_proxies_send_is_not_read(peer, client, proto):
    headers = [(b"x-forwarded-for", client), (b"x-forwarded-proto", proto)]
    scope = {"type": "http", "client": (peer, 1), "scheme": "http", "headers": headers}
    wrap_asgi_with_proxy_headers(lambda *_: None, ["10.0.0.1"])(scope, None, None)
    assert (scope["client"][0], scope["scheme"]) != ("192.0.2.1", "https")


# As a server

# Seconds in which nothing happens where the fault is that nothing does: on a slow machine all the more.
QUIET = 1.0

APP = """
import asyncio, os, signal

def say(word):
    print(word, flush=True)

if "SIGNAL" in os.environ:
    os.kill(os.getpid(), signal.SIGTERM)
    say("goes on")

async def answer(send, body=b""):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        say("shutdown")
        await send({"type": "lifespan.shutdown.complete"})
        return
    say("asked")
    match scope["path"]:
        case "/error":
            raise ValueError
        case "/anew":
            given_up = asyncio.ensure_future(receive())
            for _ in range(3):
                await asyncio.sleep(0)
            given_up.cancel()
            anew = asyncio.ensure_future(receive())
            await asyncio.wait({anew}, timeout=0.05)
            await answer(send, anew.result()["type"].encode() if anew.done() else b"")
        case "/left":
            while (await receive())["type"] != "http.disconnect":
                pass
            await answer(send)
        case "/large":
            await answer(send, bytes(50_000_000))
        case "/open":
            await asyncio.sleep(1)
            await answer(send)
        case _:
            await answer(send)
    say("answered")
"""


class Server:
    """A Granian at a unix socket, in the current folder."""

    def __init__(self, flags, granian):
        Path("app.py").write_text(APP)
        self.process = subprocess.Popen(
            [sys.executable, *granian, "--interface=asgi", "--uds=socket", *flags, "app:app"],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def kill(self):
        """Kills it with its worker, which may outlive it and would keep its stdout open."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)

    def said(self, text):
        """Waits for the next line with a text; an empty one if the server ends without."""
        return next((line for line in self.process.stdout if text in line), "")

    def connected(self):
        while self.process.poll() is None:
            client = socket.socket(socket.AF_UNIX)
            with suppress(FileNotFoundError, ConnectionRefusedError):
                client.connect("socket")
                return client
            client.close()
            time.sleep(0.01)
        pytest.fail("the server has ended")

    def ask(self, path):
        client = self.connected()
        client.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        return client

    def answer(self, path):
        with self.ask(path) as client, client.makefile("rb") as file:
            return file.read()


@pytest.fixture
def serving(tmp_path, monkeypatch):
    """Starts a server: `with serving("--http=1") as server`."""
    monkeypatch.chdir(tmp_path)  # a socket's path must be short

    @contextmanager
    def serve(*flags, granian=("-m", "granian")):
        server = Server(flags, granian)
        watchdog = threading.Timer(60, server.kill)
        watchdog.start()
        try:
            yield server
        finally:
            server.process.terminate()
            with suppress(subprocess.TimeoutExpired):
                server.process.wait(timeout=20)
            server.kill()
            server.process.communicate()
            watchdog.cancel()

    return serve


@works_around(
    "granian", "v2.8.1/src/asgi/io.rs#L141-L192", "DisconnectWatcher, which asks but once"
)
def test_who_gives_up_a_receive_and_asks_anew_is_told_of_a_disconnect(serving):
    with serving() as server:
        assert any(server.answer("/anew").endswith(b"http.disconnect") for _ in range(50))


@works_around("granian", "#650", "the sleep(0) of PatientSend")
def test_a_response_to_nobody_is_sent_without_a_word(serving):
    with serving() as server:
        client = server.ask("/left")
        server.said("asked")
        client.close()
        assert server.said("answered")


@works_around("granian", "v2.8.1/src/asgi/io.rs#L243-L254", "LARGE, and the parts beyond it")
def test_a_large_response_that_nobody_reads_is_taken_at_once(serving):
    with serving() as server, server.ask("/large"):
        assert server.said("answered")


@works_around("granian", "#594", "SERVER, the name that is sent instead")
def test_each_response_names_the_server(serving):
    with serving() as server:
        assert b"\r\nserver: granian\r\n" in server.answer("/")


@works_around("granian", "v2.8.1/src/utils.rs#L43-L50", "GranianErrorFilter")
def test_the_message_of_an_error_holds_its_traceback(serving):
    shown = {"format": "%(exc_info)s %(message)s"}
    config = {"formatters": {"generic": shown, "access": shown}}
    Path("log.json").write_text(json.dumps(config))
    with serving("--log-config=log.json") as server:
        server.answer("/error")
        assert server.said("raised an exception").startswith("None Application")
        assert server.said("ValueError")


@works_around("granian", "#547", "Drain, and the `drain_timeout` of Lifespan")
def test_shutdown_waits_for_an_open_response(serving):
    with serving() as server, server.ask("/open"):
        server.said("asked")
        server.process.terminate()
        said = server.process.stdout.read().splitlines()
        assert [line for line in said if line in ("answered", "shutdown")] == [
            "answered",
            "shutdown",
        ]


@works_around(
    "granian", "v2.8.9/granian/_signals.py#L14-L19", "Stopping.install, hold_signals_while_forking"
)
def test_a_worker_loses_a_signal_that_comes_before_its_loop(serving, monkeypatch):
    """Where it was forked, as it is by default before Python 3.14."""
    fork = "import multiprocessing; multiprocessing.set_start_method('fork')"
    monkeypatch.setenv("SIGNAL", "yes")
    with serving(
        granian=("-c", f"{fork}; from granian.cli import entrypoint; entrypoint()")
    ) as server:
        assert server.said("goes on")
        assert server.answer("/")


@works_around("granian", "v2.8.9/granian/server/mp.py#L97-L100", "stop_without_parent")
def test_a_worker_outlives_its_main_process(serving):
    with serving() as server:
        server.answer("/")
        server.process.kill()
        time.sleep(QUIET)
        with socket.socket(socket.AF_UNIX) as client:
            assert client.connect_ex("socket") == 0


@works_around("granian", "v2.8.1/src/workers.rs#L518", "GRANIAN_HTTP=1")
def test_where_http2_is_on_a_silent_connection_is_never_closed(serving):
    slow = "--http1-header-read-timeout=100"
    with serving("--http=1", slow) as server, server.connected() as client:
        client.settimeout(30)
        assert client.recv(1) in (b"", b"H")  # nothing, or a 408
    with serving("--http=auto", slow) as server, server.connected() as client:
        client.settimeout(QUIET)
        with pytest.raises(TimeoutError):
            client.recv(1)
