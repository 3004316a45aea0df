"""The process that runs tasks: with what the server's apps have open, and within the server's time to stop."""

import asyncio
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import copy_context
from types import FrameType
from typing import Any

from django.conf import settings
from django.db.models import F
from django.db.models.functions import Least
from django.urls import set_script_prefix
from django_ox.models import OxTask
from django_ox.tasks import MAX_ATTEMPTS_LIMIT
from django_ox.timeouts import RECYCLE_EXIT_CODE
from django_ox.worker import Worker

from serving.conf import conf
from serving.http.threads import bind_to_loop
from serving.lifespan import LifespanError, Resources
from serving.log.context import carry_context, request_id
from serving.log.formats import without_secrets
from serving.stopping.signals import SIGNALS
from serving.tasks import attempt_failed
from serving.tasks.backend import request_of

logger = logging.getLogger(__package__)


# Seconds beside DRAIN_TIMEOUT and LIFESPAN_SHUTDOWN_TIMEOUT; all of them are within Compose's stop_grace_period.
GIVE_BACK_TIMEOUT = 3.0  # for the database, to take back what is in hand
CLEAN_UP_TIMEOUT = 1.0  # for async tasks, which are cancelled
SURPLUS = 1.0  # until an event loop that does not end is left as it is

ONE_ORDER = 1.0  # seconds in which all signals are the same order to stop


class Attempt:
    """A task that a thread runs."""

    def __init__(self) -> None:
        self.async_tasks: list[asyncio.Task[Any]] = []  # what it awaits on the event loop
        self.ended = threading.Event()


class TaskWorker(Worker):
    """django-ox's worker; TASKS names it, so `ox_worker` runs it too."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._resources: Resources | None = None  # while they are open
        self._loop: asyncio.AbstractEventLoop | None = None
        self._attempts: set[Attempt] = set()  # in hand, in their threads
        self._closing = threading.Lock()
        self._timer: threading.Timer | None = None
        self._is_lost = False  # a lifespan has ended by itself

    def run(self) -> None:
        """Opens what the server's apps open, runs tasks until the order to stop, and closes it.

        Raises LifespanError where that fails and LIFESPAN is "required". It ends the process by itself where
        a thread would keep that alive and, with status 1, where a lifespan has ended by itself.
        """
        self._open()
        status = 1
        try:
            with signals_taken_together():
                super().run()
            status = RECYCLE_EXIT_CODE if self.recycling else int(self._is_lost)
        finally:
            if self._timer:
                self._timer.cancel()
            if not self._close() or self._is_lost:
                if error := sys.exception():
                    logger.critical("the worker failed", exc_info=error)
                end_process(status)

    def _open(self) -> None:
        if conf.LIFESPAN() == "disabled":
            return
        try:
            self._resources = Resources(on_end=self._lose).__enter__()
        except LifespanError as error:
            if conf.LIFESPAN() == "required":
                raise
            logger.warning("startup failed: %s; tasks run without the apps' state", error)
            return
        self._loop = self._resources.loop
        self._loop.call_soon_threadsafe(carry_context, self._loop)

    def _lose(self) -> None:
        """On the event loop: a lifespan has ended by itself, and with it the state that tasks count on."""
        logger.critical("a lifespan ended by itself, so this worker takes no more tasks")
        self._is_lost = True
        self.request_stop()

    def _close(self) -> bool:
        """Leaves the lifespans, once; returns whether they are left, and their event loop has ended."""
        with self._closing:
            resources, self._resources = self._resources, None
            if resources is None:
                return True
            seconds = CLEAN_UP_TIMEOUT + conf.LIFESPAN_SHUTDOWN_TIMEOUT() + SURPLUS
            # A task may block the loop, or wait for a thread that does not end.
            return done_within(seconds, "shutdown", lambda: self._leave(resources))

    def _leave(self, resources: Resources) -> None:
        if not self._is_lost:
            self._cancel_tasks(resources)
            resources.__exit__(None, None, None)

    def _cancel_tasks(self, resources: Resources) -> None:
        """Cancels async tasks, which may clean up while what the apps have opened is there.

        So may what hears of their end, a tracer say: in the threads, which go on when the loop is done with them.
        """
        until = time.monotonic() + CLEAN_UP_TIMEOUT
        cut = [attempt for attempt in self._attempts.copy() if attempt.async_tasks]
        resources.run(cancelled([task for attempt in cut for task in attempt.async_tasks]))
        for attempt in cut:
            attempt.ended.wait(until - time.monotonic())

    def execute(self, db_task: OxTask, *, inline: bool = False) -> None:
        """Runs a task that was claimed, in a context of its own: what it sets there, the next one does not find."""
        attempt = Attempt()
        if self._loop and not inline:
            # An async task runs where what the apps have opened belongs to.
            bind_to_loop(self._loop, attempt.async_tasks)
        self._attempts.add(attempt)
        try:
            copy_context().run(self._execute, db_task, inline)
        finally:
            self._attempts.discard(attempt)
            attempt.ended.set()

    def _execute(self, db_task: OxTask, inline: bool) -> None:
        """Under the id of the request that enqueued it, and with the site's path in the links that it makes."""
        request_id.set(request_of(db_task))
        set_script_prefix(settings.FORCE_SCRIPT_NAME or "/")
        super().execute(db_task, inline=inline)

    def _log_extra(self, event: str, db_task: OxTask, **extra: object) -> dict[str, object]:
        """With the request's id, which the threads that watch tasks and take them back do not have."""
        if own := request_of(db_task):
            extra["http.request.id"] = own
        return super()._log_extra(event, db_task, **extra)

    def _handle_failure(
        self, db_task: OxTask, exc: BaseException, duration_ms: int, *, release: bool = False
    ) -> bool:
        if not release:  # else the thread goes on, and another one records that
            policy = self._attempt_policy(db_task)
            if (
                policy is not None and policy.task is None
            ):  # no signal and no other record tells why
                logger.error(
                    "task path=%s can't be run",
                    db_task.task_path,
                    exc_info=exc,
                    extra={"task_id": str(db_task.pk)},
                )
            attempt_failed.send_robust(sender=type(self.backend), task_id=str(db_task.pk))
        return super()._handle_failure(db_task, exc, duration_ms, release=release)

    def _write_outcome(
        self, db_task: OxTask, *, status: OxTask.Status, duration_ms: int, **fields: Any
    ) -> bool:
        """What staff read in the admin has no secret in it, as the log has none."""
        if errors := fields.get("errors"):
            fields["errors"] = without_secrets(errors)
        return super()._write_outcome(db_task, status=status, duration_ms=duration_ms, **fields)

    def request_stop(self) -> None:
        """Claims nothing more. What is in hand has DRAIN_TIMEOUT to end; then it is given back."""
        super().request_stop()
        if self._timer is None and not self.batch and self.max_tasks is None:
            self._timer = threading.Timer(conf.DRAIN_TIMEOUT(), self._end)
            self._timer.daemon = True
            self._timer.start()

    def _end(self) -> None:
        """Ends the process, whose threads would go on: a function in a thread can't be stopped."""
        try:
            # Where it fails, their lease ends, and another worker takes them.
            done_within(GIVE_BACK_TIMEOUT, "giving tasks back", self._give_back)
            self._close()
        finally:
            end_process(int(self._is_lost))

    def _give_back(self) -> None:
        """Puts what is in hand back into the queue, for another worker, at once and with its attempts."""
        with self._in_flight_lock:
            held = self._in_flight | self._handed_off
        rows = OxTask.objects.using(self._db_alias).in_bulk([key for key, _ in held])
        for key, epoch in held:
            # As the claim was: whoever has taken the row since keeps it. The epoch tells this process's
            # own thread, should it end now, that the row is no longer its own.
            given = OxTask.objects.using(self._db_alias).filter(
                pk=key, status=OxTask.Status.RUNNING, locked_by=self.worker_id, lease_epoch=epoch
            )
            if given.update(
                status=OxTask.Status.READY,
                locked_by=None,
                locked_at=None,
                lease_expires_at=None,
                lease_epoch=epoch + 1,
                max_attempts=Least(F("max_attempts") + 1, MAX_ATTEMPTS_LIMIT),
            ):
                request_id.set(request_of(rows[key]) if key in rows else None)
                logger.warning(
                    "task id=%s was given back: it took longer than DRAIN_TIMEOUT=%g",
                    key,
                    conf.DRAIN_TIMEOUT(),
                    extra={"event": "task_given_back", "task_id": str(key)},
                )


async def cancelled(tasks: list[asyncio.Task[Any]]) -> None:
    """Cancels tasks of this event loop, and waits for their ends, but no longer than CLEAN_UP_TIMEOUT."""
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks, timeout=CLEAN_UP_TIMEOUT)


def completed(record: logging.LogRecord) -> bool:
    """Adds the error of an attempt that is retried, which has no more than its type; a task that is lost is an error.

    Nobody tries that one again, and nothing else tells those who read no warnings.
    """
    event = getattr(record, "event", "")
    if event == "task_retrying" and sys.exception():
        record.exc_info = sys.exc_info()
    if event == "task_reclaimed" and getattr(record, "status", "") == OxTask.Status.LOST:
        record.levelno, record.levelname = logging.ERROR, "ERROR"
    return True


logging.getLogger("django_ox").addFilter(completed)


@contextmanager
def signals_taken_together() -> Iterator[None]:
    """Keeps from the handlers what follows a first signal within ONE_ORDER.

    django-ox ends the process at the second, in the middle of a task. But systemd signals every process of a
    service, and `uv run` and make pass on what they get, so that a worker has one order twice.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous = {number: signal.getsignal(number) for number in SIGNALS}
    first: float | None = None

    def hear(number: int, frame: FrameType | None) -> None:
        nonlocal first
        now = time.monotonic()
        if first is None or now - first > ONE_ORDER:
            first = first or now
            handler = previous[signal.Signals(number)]
            if callable(handler):
                handler(number, frame)

    for number, handler in previous.items():
        if callable(handler):
            signal.signal(number, hear)
    try:
        yield
    finally:
        for number, handler in previous.items():
            if callable(handler):
                signal.signal(number, handler)


def done_within(seconds: float, what: str, function: Callable[[], None]) -> bool:
    """Calls a function in a thread that nobody waits for any longer; returns whether it has ended.

    Logs what it raises, or that it has not ended.
    """

    def call() -> None:
        try:
            function()
        except Exception:
            logger.exception("%s failed", what)

    thread = threading.Thread(target=call, daemon=True, name=what)
    thread.start()
    thread.join(seconds)
    if thread.is_alive():
        logger.error("%s: not done after %g s, so the process ends without", what, seconds)
    return not thread.is_alive()


def end_process(status: int) -> None:
    """Ends this process whatever its threads do."""
    logging.shutdown()
    os._exit(status)
