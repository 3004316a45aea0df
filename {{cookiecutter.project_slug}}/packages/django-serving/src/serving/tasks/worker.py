"""The process that runs tasks: with what the server's apps have open, and within the server's time to stop."""

import asyncio
import logging
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.db.models import F
from django.db.models.functions import Least
from django_ox.models import OxTask
from django_ox.tasks import MAX_ATTEMPTS_LIMIT
from django_ox.worker import Worker

from serving.conf import conf
from serving.http.threads import bind_to_loop
from serving.lifespan import LifespanError, Resources
from serving.log.context import carry_context, request_id
from serving.tasks.backend import request_of

logger = logging.getLogger(__package__)


class TaskWorker(Worker):
    """django-ox's worker; TASKS names it, so `ox_worker` runs it too."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._resources: Resources | None = None  # while they are open
        self._loop: asyncio.AbstractEventLoop | None = None

    def run(self) -> None:
        """Opens what the server's apps open, runs tasks until the order to stop, and closes it.

        Raises LifespanError where that fails and LIFESPAN is "required".
        """
        with self._opened():
            super().run()

    @contextmanager
    def _opened(self) -> Iterator[None]:
        if conf.LIFESPAN() == "disabled":
            yield
            return
        try:
            self._resources = Resources().__enter__()
        except LifespanError as error:
            if conf.LIFESPAN() == "required":
                raise
            logger.warning("startup failed: %s; tasks run without the apps' state", error)
            yield
            return
        self._loop = self._resources.loop
        self._loop.call_soon_threadsafe(carry_context, self._loop)
        try:
            yield
        finally:
            self._close()

    def _close(self) -> None:
        """Leaves the lifespans, once."""
        resources, self._resources = self._resources, None
        if resources:
            resources.__exit__(None, None, None)

    def execute(self, db_task: OxTask, *, inline: bool = False) -> None:
        """Runs a task that was claimed, under the id of the request that enqueued it."""
        if self._loop and not inline:
            # An async task runs where what the apps have opened belongs to.
            bind_to_loop(self._loop)
        token = request_id.set(request_of(db_task))
        try:
            super().execute(db_task, inline=inline)
        finally:
            request_id.reset(token)

    def request_stop(self) -> None:
        """Claims nothing more. What is in hand has DRAIN_TIMEOUT to end; then it is given back."""
        first = not self.stopping
        super().request_stop()
        if first and not self.batch and self.max_tasks is None:
            timer = threading.Timer(conf.DRAIN_TIMEOUT(), self._end)
            timer.daemon = True
            timer.start()

    def _end(self) -> None:
        """Ends the process, whose threads would go on: a function in a thread can't be stopped."""
        try:
            self._give_back()
            self._close()
        except Exception:  # their lease ends, and another worker takes them
            logger.exception("tasks could not be given back")
        finally:
            logging.shutdown()
            os._exit(0)

    def _give_back(self) -> None:
        """Puts what is in hand back into the queue, for another worker, at once and with its attempts."""
        with self._in_flight_lock:
            held = self._in_flight | self._handed_off
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
                logger.warning(
                    "task id=%s was given back: it took longer than DRAIN_TIMEOUT=%g",
                    key,
                    conf.DRAIN_TIMEOUT(),
                    extra={"event": "task_given_back", "task_id": str(key)},
                )
