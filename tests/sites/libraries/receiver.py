"""Stands in for what error trackers and tracers report to; prints what came, as JSON, a thing a line.

    python receiver.py PORT

First it prints its port. It speaks Sentry's envelopes, OpenTelemetry's OTLP and Elastic's intake.
"""

import gzip
import json
import sys
import zlib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from threading import Lock
from typing import Any

import brotli

lock = Lock()


def say(thing: dict[str, Any]) -> None:
    with lock:
        print(json.dumps(thing), flush=True)


def envelope(body: bytes) -> None:
    """https://develop.sentry.dev/sdk/foundations/envelopes/"""
    read = BytesIO(body)
    read.readline()
    while header := read.readline():
        about = json.loads(header)
        payload = read.read(about["length"]) if "length" in about else read.readline()
        if about["type"] in ("event", "transaction"):
            say({"kind": about["type"], **json.loads(payload)})
        if "length" in about:
            read.readline()


def otlp(body: bytes, key: str | None) -> None:
    """https://opentelemetry.io/docs/specs/otlp/"""
    from google.protobuf.json_format import MessageToDict
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
        about = {"resource": MessageToDict(resource.resource), "key": key}
        for scope in resource.scope_spans:
            for span in scope.spans:
                say({"kind": "span", **MessageToDict(span), **about})


def intake(body: bytes) -> None:
    """https://www.elastic.co/docs/solutions/observability/apm/elastic-apm-events-intake-api"""
    for line in body.splitlines():
        for kind, thing in json.loads(line).items():
            if kind != "metadata":
                say({"kind": kind, **thing})


class Receiver(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.answer(200, {"version": "9.0.0"})

    def do_POST(self) -> None:
        body = self.body()
        match self.headers.get("Content-Encoding"):
            case "gzip":
                body = gzip.decompress(body)
            case "deflate":
                body = zlib.decompress(body)
            case "br":
                body = brotli.decompress(body)
        match self.path.partition("?")[0]:
            case "/api/1/envelope/":
                envelope(body)
                self.answer(200, {})
            case "/v1/traces":
                otlp(body, self.headers.get("X-Key"))
                self.answer(200, None)
            case "/intake/v2/events":
                intake(body)
                self.answer(202, {})
            case _:
                self.answer(404, {})

    def body(self) -> bytes:
        if "Content-Length" in self.headers:
            return self.rfile.read(int(self.headers["Content-Length"]))
        read = b""
        while size := int(self.rfile.readline(), 16):
            read += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return read

    def answer(self, status: int, content: dict[str, Any] | None) -> None:
        body = b"" if content is None else json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json" if body else "application/x-protobuf")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Receiver)
    print(server.server_port, flush=True)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        sys.exit(0)
