"""Sentry's SDK, told by the handler; what it sends has no secret in it.

https://docs.sentry.io/platforms/python/configuration/options/
"""

import logging
import random
import time
from asyncio import CancelledError
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any, cast

import sentry_sdk
from django.conf import settings
from sentry_sdk.integrations.logging import ignore_logger
{% if cookiecutter.cache == "valkey" %}
from sentry_sdk.integrations.redis import RedisIntegration
{% endif %}
from sentry_sdk.integrations.threading import ThreadingIntegration
from sentry_sdk.transport import HttpTransport
from sentry_sdk.types import Event, Hint
from sentry_sdk.utils import event_from_exception
from serving.log.context import request_id
from serving.log.filters import sql_shown
from serving.log.formats import without_secrets
from serving.types import ASGIApp, Receive, Scope, Send

from telemetry.watching import telling

logger = logging.getLogger(__name__)

VARIABLE = "SENTRY_DSN"

PAUSE = 30.0  # seconds without an attempt, after one that failed

QUEUE = 256  # events that wait to be sent take memory: an error up to 100 kB

# An event that is too large; and what the SDK itself waits for.
OWN_FAULTS = ("status_413", "status_429")

# What is no error of the site's, or is told as one already.
IGNORED = ("_granian.utils", "django.request", "django.security.DisallowedHost", "granian.access")


class Transport(HttpTransport):
    """Gives up for a while where the server does not answer, and says so once."""

    TIMEOUT = 5  # seconds

    paused_until = 0.0
    failing = False
    silent_until = 0.0  # about a queue that is full

    def capture_envelope(self, envelope: Any) -> None:
        """Puts it into the queue, half of which is for errors alone: a burst has as many traces."""
        if time.monotonic() < self.paused_until:
            return
        worker: Any = self._worker
        if envelope.get_transaction_event() and worker._queue.qsize() >= QUEUE // 2:
            self.on_dropped_event("full_queue")
            return
        super().capture_envelope(envelope)

    def is_healthy(self) -> bool:
        return time.monotonic() >= self.paused_until and super().is_healthy()

    def on_dropped_event(self, _reason: str) -> None:
        now = time.monotonic()
        if _reason == "full_queue" and now >= self.silent_until:
            self.silent_until = now + PAUSE
            logger.warning(
                "events are dropped, traces first: more come at once than can be sent; "
                "a lower SENTRY_TRACES_SAMPLE_RATE leaves room for errors"
            )
        if _reason == "network" or (_reason.startswith("status_") and _reason not in OWN_FAULTS):
            self.paused_until = now + PAUSE
            if not self.failing:
                logger.warning("events are dropped: the server does not take them (%s)", _reason)
            self.failing = True

    def _handle_response(self, response: Any, envelope: Any) -> None:
        super()._handle_response(response, envelope)
        if self.failing and 200 <= response.status < 300:
            self.failing = False
            logger.warning("events are sent again")


class SentryTracker:
    """An open client."""

    def __init__(self, dsn: str) -> None:
        self.rate: float = settings.SENTRY_TRACES_SAMPLE_RATE
        # Its own workers' attempts: one line of ours stands for them.
        logging.getLogger("urllib3.connectionpool").addFilter(is_not_sentrys)
        for name in IGNORED:
            ignore_logger(name)
        sentry_sdk.init(
            dsn=dsn,
            release=settings.RELEASE or None,
            environment=settings.ENVIRONMENT,
            traces_sample_rate=self.rate,
            transport=Transport,
            transport_queue_size=QUEUE,
            before_send=hidden,
            before_send_transaction=hidden,
            max_request_body_size="never",
            auto_session_tracking=False,
            auto_enabling_integrations=False,
            # It would take a request's trace along into each thread, the one that sends all this too.
            disabled_integrations=[ThreadingIntegration()],
{% if cookiecutter.cache == "valkey" %}
            integrations=[RedisIntegration()],
{% endif %}
        )
        self.client = sentry_sdk.get_client()

    async def request(self, serve: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        own = self.isolate()
        own.add_event_processor(partial(with_request, scope))
        parent = {
            name.decode(): value.decode("latin-1")
            for name, value in scope["headers"]
            if name in (b"sentry-trace", b"baggage")
        }
        try:
            if not (parent or self.samples()):
                await serve(scope, receive, send)
                return
            about = sentry_sdk.continue_trace(
                parent, op="http.server", name=scope["path"], source="url"
            )
            about.sampled = None if parent else True  # as whoever asks has decided
            with sentry_sdk.start_transaction(about) as transaction:
                await serve(scope, receive, telling(transaction.set_http_status, send))
        except Exception as error:  # of a stream: what a view raises, Django answers
            self.error(error)
            raise

    def isolate(self) -> sentry_sdk.Scope:
        """What is set from here on, in this context, is seen nowhere else."""
        own = sentry_sdk.get_isolation_scope().fork()
        own.clear_breadcrumbs()
        own.generate_propagation_context()
        sentry_sdk.Scope.set_isolation_scope(own)
        sentry_sdk.Scope.set_current_scope(sentry_sdk.get_current_scope().fork())
        return own

    def samples(self) -> bool:
        """Whether a request is to be traced; none is while nobody takes its trace."""
        if not self.rate or random.random() >= self.rate:  # noqa: S311
            return False
        return self.client.transport is not None and self.client.transport.is_healthy()

    def route(self, method: str, route: str) -> None:
        sentry_sdk.get_current_scope().set_transaction_name(route, source="route")

    def error(self, error: BaseException) -> None:
        event, hint = event_from_exception(
            error,
            client_options=self.client.options,
            mechanism={"type": "django", "handled": False},
        )
        sentry_sdk.capture_event(event, hint)

    def statement(self, vendor: str, sql: str) -> AbstractContextManager[object]:
        if sentry_sdk.get_current_span() is None:
            return nullcontext()
        span = sentry_sdk.start_span(op="db", name=sql_shown(str(sql)))
        span.set_data("db.system", vendor)
        return span

    def task(self, path: str, identity: str) -> Callable[[BaseException | None], None]:
        """With the error of one that fails, which the library's and Django's own records tell again."""
        outer = sentry_sdk.get_isolation_scope(), sentry_sdk.get_current_scope()
        own = self.isolate()
        own.set_tag("task_id", identity)
        own.set_transaction_name(path, source="task")
        about = sentry_sdk.continue_trace({}, op="queue.task", name=path, source="task")
        about.sampled = True
        transaction = sentry_sdk.start_transaction(about) if self.samples() else nullcontext()
        transaction.__enter__()

        def end(error: BaseException | None) -> None:
            if error and not isinstance(error, CancelledError):  # as the worker's end does
                self.error(error)
            transaction.__exit__(type(error) if error else None, error, None)
            sentry_sdk.Scope.set_isolation_scope(outer[0])
            sentry_sdk.Scope.set_current_scope(outer[1])

        return end

    def close(self, seconds: float) -> None:
        self.client.close(timeout=seconds)


def open_tracker(address: str) -> SentryTracker:
    return SentryTracker(address)


def is_not_sentrys(record: logging.LogRecord) -> bool:
    return not (record.threadName or "").startswith("sentry-sdk")


def with_request(scope: Scope, event: Event, hint: Hint) -> Event:
    """Adds what an event's request was, but nothing of its body or its client."""
    host = dict(scope["headers"]).get(b"host", b"").decode("latin-1")
    event.setdefault("request", {}).update(
        method=scope["method"],
        url=f"{scope.get('scheme', 'http')}://{host}{scope['path']}",
        query_string=scope["query_string"].decode("latin-1"),
        headers={
            name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]
        },
    )
    return event


def hidden(event: Event, hint: Hint) -> Event | None:
    """An event with its request's id, without what the log would hide and without keys of the cache."""
    record = hint.get("log_record")
    if getattr(record, "event", "") == "task_failed" or (
        record and record.name == "django.tasks" and record.exc_info
    ):
        return None  # the tracker was told of that attempt
    shown = cast("dict[str, Any]", event)
    # A thread that watches tasks has none, but says whose a record is.
    if own := request_id.get() or getattr(record, "http.request.id", None):
        shown.setdefault("tags", {}).setdefault("request_id", own)
    for step in [*(shown.get("spans") or ()), *(shown.get("breadcrumbs") or {}).get("values", ())]:
        if str(step.get("op", step.get("category"))).startswith(("cache", "db.redis", "redis")):
            text = "description" if "op" in step else "message"
            step[text] = str(step.get(text)).partition(" ")[0]
            step["data"] = {n: value for n, value in step.get("data", {}).items() if "key" not in n}
            step["tags"] = {}
    return cast("Event", without_secrets(shown))
