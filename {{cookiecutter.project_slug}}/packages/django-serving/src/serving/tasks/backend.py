"""Where `enqueue` puts a task: a row of the database, committed and rolled back with the caller's others."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from django.tasks import Task
from django_ox.backend import OxBackend

from serving.log.context import request_id

if TYPE_CHECKING:
    # Not at run time: a module of models may define a task, while the apps are being loaded.
    from django_ox.models import OxTask

REQUEST_ID = "http.request.id"

# What TASKS[...]["OPTIONS"] need not say; the others are django-ox's own:
# https://oxpull.com/django-ox/configuration/
DEFAULTS: Mapping[str, Any] = {
    "WORKER_CLASS": "serving.tasks.worker.TaskWorker",
    # Seconds until a task whose worker has died is another's. A worker that lives renews it three times as often.
    "LOCK_TIMEOUT": 60.0,
    # Attempts, 5 seconds after the first, then twice as long each time: ten minutes in all.
    "MAX_ATTEMPTS": 8,
    # Seconds that an attempt may take, where its `@task(timeout=...)` says nothing.
    "TASK_TIMEOUT": 300.0,
}


class TaskBackend(OxBackend):
    """django-ox's backend, which notes the request that a task comes of."""

    def __init__(self, alias: str, params: dict[str, Any]) -> None:
        options = {**DEFAULTS, **params.get("OPTIONS", {})}
        super().__init__(alias, {**params, "OPTIONS": options})

    def _row(
        self,
        task: "Task[..., Any]",
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        enqueued_at: datetime,
    ) -> "OxTask":
        row = super()._row(task, args, kwargs, enqueued_at)
        if own := request_id.get():
            # A column that nobody reads before the task has succeeded, and that its result replaces then.
            row.return_value = {REQUEST_ID: own}
        return row


def request_of(row: "OxTask") -> str | None:
    """The id of the request that enqueued a task which has not ended, if one did."""
    noted = row.return_value
    return noted.get(REQUEST_ID) if isinstance(noted, dict) else None
