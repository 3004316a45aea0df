"""The front door of Granian's main process: `python -m serving mysite.asgi:application`.

It takes Granian's options and variables, with other defaults for a few. `granian` by itself serves as well,
without what stands here.
"""

import serving.process_one  # noqa: F401 - first

# isort: split
import logging
import multiprocessing
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any

from granian.cli import cli
from granian.server.common import AbstractServer
from granian.server.mp import WorkerProcess

from serving.log.config import CONFIGURATION
from serving.log.formats import formatter
from serving.log.output import LogHandler
from serving.process.address import AddressError, check_addresses
from serving.process.development import restore_terminal
from serving.stopping.signals import SIGNALS

DEFAULTS = {
    "GRANIAN_INTERFACE": "asgi",  # Granian's own is RSGI, which Django does not speak
    "GRANIAN_LOG_CONFIG": str(CONFIGURATION),
    # Seconds. Without it a response that never ends delays a stop without limit.
    "GRANIAN_WORKERS_KILL_TIMEOUT": "25",
    # Django has none in 6.1.3, and an upgrade would be an error with a traceback:
    # https://code.djangoproject.com/ticket/31508
    "GRANIAN_WEBSOCKETS": "false",
}


def main() -> None:
    """Runs Granian with this process's arguments."""
    for variable, value in DEFAULTS.items():
        os.environ.setdefault(variable, value)
    sys.argv[0] = "granian"  # for `granian_flags` in the workers
    serve: Any = cli.callback

    def check_and_serve(**flags: Any) -> None:
        try:
            check_addresses(flags)
        except AddressError as error:
            log(str(error))
            sys.exit(1)
        choose_start_method(has_threads=flags["metrics_enabled"])
        hold_signals_while_forking(os.getpid())
        see_workers_end()
        wait_for_interrupts()
        with ended_at_once() if flags["metrics_enabled"] else nullcontext():
            try:
                serve(**flags)
            finally:
                if flags["reload"]:
                    restore_terminal()

    cli.callback = check_and_serve
    cli(auto_envvar_prefix="GRANIAN", prog_name="python -m serving")


def log(message: str) -> None:
    """Logs a message before Granian configures logging."""
    handler = LogHandler()
    handler.setFormatter(formatter())
    record = logging.LogRecord("serving", logging.CRITICAL, __file__, 0, message, None, None)
    handler.handle(record)
    handler.flush()


def choose_start_method(*, has_threads: bool) -> None:
    """Makes Granian fork its workers, or start each with a fresh interpreter where this process has threads.

    Granian counts metrics in threads of the main process. A lock that one of them holds at the moment of the
    fork stays locked in the worker: one worker in 70 never answered. Without them, a fork saves 6 MB a worker, 7 more,
    and a quarter of what a start computes; Python 3.14 would not fork by itself, and other systems than Linux can't
    well. Open in Granian 2.8.9:
    https://github.com/emmett-framework/granian/blob/v2.8.9/granian/server/common.py#L494-L500
    """
    if has_threads:
        multiprocessing.set_start_method("spawn", force=True)
    elif sys.platform == "linux":
        multiprocessing.set_start_method("fork", force=True)


@contextmanager
def ended_at_once() -> Iterator[None]:
    """Ends this process without Python's own end, behind which Granian's threads for metrics may abort it.

    Told to stop, they are not waited for, and one that asks for the interpreter when it is gone ends the
    process with status 134: one in 40 of those whose worker does not start. Open in Granian 2.8.9:
    https://github.com/emmett-framework/granian/blob/v2.8.9/granian/server/common.py#L485-L486
    """
    status = 0
    try:
        yield
    except SystemExit as ended:
        if not isinstance(ended.code, int):
            raise
        status = ended.code
    logging.shutdown()
    os._exit(status)


class Interrupt:
    """The event that Granian's main thread waits for, which a handler of signals can set at any moment.

    `threading.Event` has a lock, and a handler that comes while the main thread holds it waits for that thread, which
    is its own: of six storms of SIGTERM one was never over, and systemd, `make` and terminals send two. Granian also
    clears the event after workers were replaced, and with it an order to stop that came meanwhile. Open in 2.8.9:
    https://github.com/emmett-framework/granian/blob/v2.8.9/granian/server/common.py#L338-L340
    """

    def __init__(self, server: Any) -> None:
        self._server = server
        self._is_set = False
        # Its `put` may be called at any moment, also inside of another.
        self._wakes: SimpleQueue[None] = SimpleQueue()

    def set(self) -> None:
        self._is_set = True
        self._wakes.put(None)

    def clear(self) -> None:
        self._is_set = False

    def is_set(self) -> bool:
        return self._is_set

    def wait(self) -> None:
        """Waits, and wakes every second: a signal that came just before is handled then, which was lost else.

        https://docs.python.org/3/library/signal.html#execution-of-python-signal-handlers
        """
        while not (self._is_set or self._server.interrupt_signal):
            with suppress(Empty):
                self._wakes.get(timeout=1.0)


def wait_for_interrupts() -> None:
    """Gives each server of Granian an Interrupt, before it handles signals."""
    kind: Any = AbstractServer
    startup = kind.startup

    def startup_with_interrupt(server: Any, *arguments: Any) -> None:
        server.main_loop_interrupt = Interrupt(server)
        startup(server, *arguments)

    kind.startup = startup_with_interrupt


def hold_signals_while_forking(main_process: int) -> None:
    """Lets a signal end a worker that was forked just now, where it would be lost.

    Until it has imported the application a worker has no handler of its own but the main process's, and one
    that is called before the fork has ended Python forgets. Open in Granian 2.8.9:
    https://github.com/emmett-framework/granian/blob/v2.8.9/granian/_signals.py#L14-L19
    """

    def mask(how: int) -> None:
        if os.getpid() == main_process:  # and not in what a worker forks
            signal.pthread_sigmask(how, SIGNALS)

    def reset() -> None:
        if os.getppid() == main_process:
            for number in SIGNALS:
                signal.signal(number, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)

    os.register_at_fork(
        before=partial(mask, signal.SIG_BLOCK),
        after_in_parent=partial(mask, signal.SIG_UNBLOCK),
        after_in_child=reset,
    )


def see_workers_end() -> None:
    """Makes Granian see at once that a worker has ended, which it would else say it had to kill.

    Two of its threads wait for each worker. What Python tells the second is that the process lives, until the first
    has noted its end. Open in Python 3.14:
    https://github.com/python/cpython/blob/v3.13.0/Lib/multiprocessing/popen_fork.py#L25-L35
    """
    kind: Any = WorkerProcess
    is_alive = kind.is_alive

    def is_alive_and_exists(worker: Any) -> bool:
        if not is_alive(worker):
            return False
        try:
            os.kill(worker.inner.pid, 0)
        except ProcessLookupError:
            return False
        return True

    kind.is_alive = is_alive_and_exists


if __name__ == "__main__":
    main()
