"""What an error tracker or a tracer is told: requests with their routes, statements, tasks, errors.

It is told by the handler itself: the libraries' own integrations of Django and ASGI take as long for each
request as a small view does, traced or not (docs of the template: telemetry.md).
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from threading import get_ident
from typing import Any, Protocol

from django.core.signals import got_request_exception
from django.db import connections
from django.db.backends.signals import connection_created
from django.dispatch import Signal
from django.http import HttpRequest
from django.tasks.signals import task_finished, task_started
from django.urls import ResolverMatch
from serving.http.handler import DjangoHandler
from serving.tasks import attempt_failed
from serving.types import ASGIApp, Message, Receive, Scope, Send


class Tracker(Protocol):
    """An open library. What it is told belongs to the context that it is told in."""

    async def request(self, serve: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        """A request, which `serve` serves, until its response is sent: a stream, until that has ended.

        Each is a task with a context of its own, in which nothing need be set back.
        """

    def route(self, method: str, route: str) -> None:
        """Which route a request has taken: "/orders/<int:pk>/"."""

    def error(self, error: BaseException) -> None:
        """What a view has raised, and Django answers with status 500."""

    def statement(self, vendor: str, sql: str) -> AbstractContextManager[object]:
        """A statement for a database, without its parameters."""

    def task(self, path: str, identity: str) -> Callable[[BaseException | None], None]:
        """An attempt of a background task begins: the dotted path of its function.

        Returns what is called at its end, with what it has raised, in the same thread and context; it is never
        called for an attempt that is given up, whose thread goes on. So it is no context manager: one
        that is left half entered would be ended by another thread, whose context is another.
        """

    def close(self, seconds: float) -> None:
        """Sends what is left; may take longer."""


trackers: list[Tracker] = []  # the one that is open, in this process


class WatchedHandler(DjangoHandler):
    """Django's handler, which tells the tracker of requests."""

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        if trackers:
            await trackers[-1].request(super().handle, scope, receive, send)
        else:
            await super().handle(scope, receive, send)

    def resolve_request(self, request: HttpRequest) -> ResolverMatch:
        match: ResolverMatch = super().resolve_request(request)
        if trackers:
            trackers[-1].route(request.method or "", f"/{match.route}")
        return match


def telling(told: Callable[[int], None], send: Send) -> Send:
    """A `send` that tells the status of the response."""

    async def send_telling(message: Message) -> None:
        if message["type"] == "http.response.start":
            told(message["status"])
        await send(message)

    return send_telling


@contextmanager
def watched_by(tracker: Tracker) -> Iterator[None]:
    """Tells a tracker of what happens in this process."""
    # By thread, too: another one may give up an attempt that does not end.
    tasks: dict[tuple[str, int], Callable[[BaseException | None], None]] = {}

    def failed(**_: object) -> None:
        if error := sys.exception():
            tracker.error(error)

    def connected(*, connection: Any, **_: object) -> None:
        if run_statement not in connection.execute_wrappers:
            connection.execute_wrappers.append(run_statement)

    def started(*, task_result: Any, **_: object) -> None:
        begun = tracker.task(task_result.task.module_path, task_result.id)
        tasks[task_result.id, get_ident()] = begun

    def ended(*, task_id: str, **_: object) -> None:
        if end := tasks.pop((task_id, get_ident()), None):
            end(sys.exception())

    def finished(*, task_result: Any, **_: object) -> None:
        ended(task_id=task_result.id)

    told: dict[Signal, Callable[..., None]] = {
        got_request_exception: failed,
        connection_created: connected,
        task_started: started,
        attempt_failed: ended,
        task_finished: finished,
    }
    for signal, receiver in told.items():
        signal.connect(receiver)
    for connection in connections.all(initialized_only=True):
        connected(connection=connection)
    trackers.append(tracker)
    try:
        yield
    finally:
        trackers.remove(tracker)
        for signal, receiver in told.items():
            signal.disconnect(receiver)


def run_statement(
    execute: Callable[..., Any], sql: str, params: Any, many: bool, context: dict[str, Any]
) -> Any:
    """https://docs.djangoproject.com/en/6.1/topics/db/instrumentation/"""
    if not trackers:
        return execute(sql, params, many, context)
    with trackers[-1].statement(context["connection"].vendor, sql):
        return execute(sql, params, many, context)
