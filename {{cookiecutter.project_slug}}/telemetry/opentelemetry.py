"""OpenTelemetry's SDK, told by the handler; what it sends has no secret in it.

https://opentelemetry.io/docs/languages/sdk-configuration/
https://opentelemetry.io/docs/specs/semconv/http/http-spans/
"""

import logging
import os
import re
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import cache

from django.conf import settings
from opentelemetry import propagate, trace
from opentelemetry.context import Context, attach, detach
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
{% if cookiecutter.cache == "valkey" %}
from opentelemetry.instrumentation.redis import RedisInstrumentor
{% endif %}
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import Event, ReadableSpan, Span, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.trace import SpanKind, Status, StatusCode
from opentelemetry.util.re import parse_env_headers
from serving.log.context import request_id
from serving.log.filters import sql_shown
from serving.log.formats import without_secrets
from serving.log.redaction import query_shown
from serving.types import ASGIApp, Receive, Scope, Send
from serving_tools.secret_files import from_file

from telemetry.watching import telling

logger = logging.getLogger(__name__)

VARIABLE = "OTEL_EXPORTER_OTLP_ENDPOINT"
HEADERS = "OTEL_EXPORTER_OTLP_HEADERS"
TRACES_HEADERS = "OTEL_EXPORTER_OTLP_TRACES_HEADERS"  # these win

PAUSE = 30.0  # seconds without an attempt, after one that failed

METHODS = {"CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE"}


class HidingExporter(SpanExporter):
    """Hides secrets, in the thread that sends; gives up for a while where nobody takes spans, and says so once."""

    def __init__(self, inner: SpanExporter) -> None:
        self._inner = inner
        self._paused_until = 0.0
        self._failing = False
        self._said = ""
        # One line of ours stands for theirs, of which each attempt writes some.
        for name in (type(inner).__module__, "opentelemetry.sdk._shared_internal"):
            logging.getLogger(name).addFilter(self._hear)

    def _hear(self, record: logging.LogRecord) -> bool:
        self._said = record.getMessage()
        return False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        if time.monotonic() < self._paused_until:
            return SpanExportResult.FAILURE
        result = self._inner.export([shown(span) for span in spans])
        failed = result is not SpanExportResult.SUCCESS
        if failed:
            self._paused_until = time.monotonic() + PAUSE
        if failed and not self._failing:
            logger.warning("spans are dropped: the collector does not take them: %s", self._said)
        elif self._failing and not failed:
            logger.warning("spans are sent again")
        self._failing = failed
        return result

    def shutdown(self) -> None:
        self._inner.shutdown()


def shown(span: ReadableSpan) -> ReadableSpan:
    """A span, its events and its status without what the log would hide."""
    return ReadableSpan(
        name=without_secrets(span.name),
        context=span.context,
        parent=span.parent,
        resource=span.resource,
        attributes=without_secrets(span.attributes or {}),
        events=[
            Event(event.name, without_secrets(event.attributes or {}), event.timestamp)
            for event in span.events
        ],
        links=span.links,
        kind=span.kind,
        status=Status(span.status.status_code, without_secrets(span.status.description)),
        start_time=span.start_time,
        end_time=span.end_time,
        instrumentation_scope=span.instrumentation_scope,
    )


class OwnSpans(SpanProcessor):
    """Gives each span the id of its request, and passes it to what is open at the time.

    A process can have but one provider, and may open the lifespans more than once.
    """

    inner: SpanProcessor | None = None

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        if own := request_id.get():
            span.set_attribute("http.request.id", own)

    def on_end(self, span: ReadableSpan) -> None:
        if self.inner:
            self.inner.on_end(span)


@cache
def spans() -> OwnSpans:
    """The provider of this process is made; OTEL_TRACES_SAMPLER and the like say how it samples."""
    own = {
        "service.name": "{{ cookiecutter.project_slug }}",
        "service.version": settings.RELEASE,
        "deployment.environment.name": settings.ENVIRONMENT,
    }
    resource = Resource.create({name: value for name, value in own.items() if value})
    # Those of OTEL_RESOURCE_ATTRIBUTES and OTEL_SERVICE_NAME win.
    provider = TracerProvider(
        resource=resource.merge(OTELResourceDetector().detect()), shutdown_on_exit=False
    )
    processor = OwnSpans()
    provider.add_span_processor(processor)
    trace.set_tracer_provider(provider)
    return processor


class OpenTelemetryTracker:
    """An open exporter."""

    def __init__(self, address: str) -> None:
        # What lies in a file, the exporter does not find by itself.
        headers = from_file(TRACES_HEADERS) or os.environ.get(TRACES_HEADERS) or from_file(HEADERS)
        exporter = OTLPSpanExporter(
            endpoint=None if os.environ.get(VARIABLE) else f"{address.rstrip('/')}/v1/traces",
            headers=parse_env_headers(headers, liberal=True) if headers else None,
        )
        self._inner: SpanProcessor = BatchSpanProcessor(HidingExporter(exporter))
        spans().inner = self._inner
        self._tracer = trace.get_tracer(__name__)
        self._fields = {field.encode() for field in propagate.get_global_textmap().fields}
{% if cookiecutter.cache == "valkey" %}
        RedisInstrumentor().instrument()
{% endif %}

    async def request(self, serve: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        carrier = {
            name.decode(): value.decode("latin-1")
            for name, value in scope["headers"]
            if name in self._fields
        }
        method = scope["method"] if scope["method"] in METHODS else "_OTHER"
        span = self._tracer.start_span(
            method if method in METHODS else "HTTP",
            propagate.extract(carrier) if carrier else None,
            SpanKind.SERVER,
            {
                "http.request.method": method,
                "url.scheme": scope.get("scheme", "http"),
                "url.path": scope["path"],
            },
        )
        if not span.is_recording():
            attach(trace.set_span_in_context(span))
            await serve(scope, receive, send)
            return
        span.set_attributes(attributes_of(scope))

        def told(status: int) -> None:
            span.set_attribute("http.response.status_code", status)
            if status >= 500:
                span.set_status(StatusCode.ERROR)

        with trace.use_span(span, end_on_exit=True):
            await serve(scope, receive, telling(told, send))

    def route(self, method: str, route: str) -> None:
        span = trace.get_current_span()
        if span.is_recording():
            span.update_name(f"{method} {route}")
            span.set_attribute("http.route", route)

    def error(self, error: BaseException) -> None:
        span = trace.get_current_span()
        if span.is_recording():
            span.record_exception(error)
            span.set_attribute("error.type", type(error).__qualname__)

    def statement(self, vendor: str, sql: str) -> AbstractContextManager[object]:
        if not trace.get_current_span().is_recording():
            return nullcontext()
        text = sql_shown(str(sql))
        operation = text.split(maxsplit=1)[0].upper() if text.strip() else vendor
        about = {"db.system.name": vendor, "db.operation.name": operation, "db.query.text": text}
        return self._tracer.start_as_current_span(operation, None, SpanKind.CLIENT, about)

    def task(self, path: str, identity: str) -> Callable[[BaseException | None], None]:
        """A trace of its own, which names the request that has enqueued it by that one's id."""
        about = {"messaging.operation.type": "process", "messaging.message.id": identity}
        span = self._tracer.start_span(path, Context(), SpanKind.CONSUMER, about)
        before = attach(trace.set_span_in_context(span))

        def end(error: BaseException | None) -> None:
            detach(before)
            if isinstance(error, Exception):  # and not that the worker ends
                span.record_exception(error)
                span.set_status(StatusCode.ERROR, f"{type(error).__name__}: {error}")
            span.end()

        return end

    def close(self, seconds: float) -> None:
{% if cookiecutter.cache == "valkey" %}
        RedisInstrumentor().uninstrument()
{% endif %}
        self._inner.shutdown()


def open_tracker(address: str) -> OpenTelemetryTracker:
    return OpenTelemetryTracker(address)


def attributes_of(scope: Scope) -> dict[str, str | int]:
    """What is known of a request, by the names of the convention; no header but these two."""
    headers = dict(scope["headers"])
    found: dict[str, str | int] = {"network.protocol.version": scope.get("http_version", "")}
    if host := headers.get(b"host"):
        found["server.address"] = re.sub(r":\d*$", "", host.decode("latin-1"))
    if agent := headers.get(b"user-agent"):
        found["user_agent.original"] = agent.decode("latin-1")
    if scope["query_string"]:
        found["url.query"] = query_shown(scope["query_string"].decode("latin-1"))
    if scope.get("client"):
        found["client.address"] = scope["client"][0]
    return found
