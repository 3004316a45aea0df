"""What is asked of the servers."""

from collections.abc import Mapping
from dataclasses import dataclass, field

MEGABYTE = 2**20
BOUNDARY = "benchmark"
UPLOAD = (
    f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="tea.bin"\r\n'
    "Content-Type: application/octet-stream\r\n\r\n"
).encode() + b"x" * MEGABYTE + f"\r\n--{BOUNDARY}--\r\n".encode()  # fmt: skip


@dataclass(frozen=True)
class Workload:
    """A view, and how it is asked."""

    title: str
    path: str
    expected: str  # what the answer holds
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None  # sent by POST
    except_: str = ""  # those that it is not measured with
    needs_django: bool = True  # or the limit is measured with it, too
    at_once: int = 0  # so many requests at the same time, instead of a load that goes on

    def allows(self, way: str) -> bool:
        return way not in self.except_.split() and not (self.needs_django and way == "bare")


# These keep a thread each where no event loop serves: they would take minutes.
NEED_LOOP = "granian-wsgi gunicorn-gthread gunicorn-sync"

WORKLOADS = {
    "sync": Workload("sync view, 13 bytes", "/sync/", "Hello, world!", needs_django=False),
    "async": Workload("async view, 13 bytes", "/async/", "Hello, world!", needs_django=False),
    "template": Workload("template of 50 rows", "/template/", "row 49"),
    "row": Workload("one row read", "/row/", "row 7"),
    "rows": Workload("10 rows read", "/rows/", "row 10"),
    "write": Workload("one row written", "/write/", "note ", body=b""),
    "login": Workload(
        "page behind login", "/account/", "ada", headers={"Cookie": "sessionid={session}"}
    ),
    "static": Workload("static file", "{static}", "{"),
    "upload": Workload(
        "upload of 1 MB", "/upload/", f"{MEGABYTE} bytes",
        headers={"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}, body=UPLOAD,
    ),
    "wait": Workload("sync view that waits 10 ms", "/wait/", "waited"),
    "sleep": Workload(
        "64 sync views that sleep 1 s", "/sleep/", "slept", except_="gunicorn-sync", at_once=64
    ),
    "asleep": Workload(
        "1,000 async views that sleep 1 s", "/asleep/", "slept", except_=NEED_LOOP, at_once=1000
    ),
    "events": Workload(
        "20 events in 1 s to 200 clients", "/events/", "data: 19", except_=NEED_LOOP, at_once=200
    ),
}  # fmt: skip
