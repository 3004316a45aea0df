"""What requests leave behind for the garbage collector, kind by kind, as JSON; runs inside a project.

    python -m tests.serving.http.garbage DjangoHandler    (or PlainHandler, which is Django's own)

The real application serves them, from the outermost layer on. The collector is off meanwhile; what it finds
afterwards is what nothing but a full collection would have freed.
"""

import asyncio
import gc
import json
import os
import sys
import types
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

from asgiref.sync import sync_to_async

BODIES = ("serving.http.body.Body", "tempfile.SpooledTemporaryFile")

TIMES = 3  # each kind; a thing that is left once and for all is left less often

FORM = b"application/x-www-form-urlencoded"
MULTIPART = b"multipart/form-data; boundary=tea"


def multipart(size: int) -> bytes:
    return (
        b'--tea\r\nContent-Disposition: form-data; name="photo"; filename="tea.jpg"\r\n'
        b"Content-Type: image/jpeg\r\n\r\n" + b"x" * size + b"\r\n--tea--\r\n"
    )


class Client:
    """Makes one request, as a server hands it on, and goes away when it is told to."""

    def __init__(
        self,
        path: str,
        method: str = "GET",
        body: Iterable[bytes] = (),
        headers: Iterable[tuple[bytes, bytes]] = (),
        leaves_after: int | None = None,  # messages of the response
        leaves_within: float | None = None,  # seconds
        cut: bool = False,  # in the midst of its body
        ends: Callable[[], None] | None = None,  # called after the first message
    ) -> None:
        self.path, self.method, self.body = path, method, list(body)
        self.headers = list(headers)
        self.leaves_after, self.leaves_within, self.cut, self.ends = (
            leaves_after, leaves_within, cut, ends,
        )  # fmt: skip
        self.status = 0
        self.sent = 0

    async def ask(self, application: Any) -> None:
        gone = asyncio.Event()
        parts = [
            {"type": "http.request", "body": part, "more_body": self.cut or number < len(self.body)}
            for number, part in enumerate(self.body, start=1)
        ] or [{"type": "http.request", "body": b"", "more_body": False}]

        async def receive() -> Any:
            if parts:
                return parts.pop(0)
            if not self.cut:
                await gone.wait()
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            self.status = message.get("status", self.status)
            self.sent += 1
            if self.sent == self.leaves_after:
                gone.set()
            if self.ends and self.sent == 1:
                self.ends()
            await asyncio.sleep(0.05 if gone.is_set() else 0)  # it reads slowly, so it is missed

        path, _, query = self.path.partition("?")
        size = sum(map(len, self.body)) + self.cut  # or the body were whole
        length = [(b"content-length", str(size).encode())] if self.body else []
        scope = {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "scheme": "https",
            "method": self.method, "path": path, "raw_path": path.encode(), "query_string": query.encode(),
            "root_path": "", "headers": [(b"host", b"localhost"), *length, *self.headers],
            "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 80), "state": {},
        }  # fmt: skip
        if self.leaves_within is not None:
            asyncio.get_running_loop().call_later(self.leaves_within, gone.set)
        try:
            await application(scope, receive, send)
        except Exception as error:
            self.status = -1
            self.raised = type(error).__name__


def describe(thing: Any) -> str | None:
    """What a piece of garbage is called; None for what comes with any other."""
    if isinstance(thing, types.FrameType):
        return f"frame {thing.f_code.co_qualname}"
    if isinstance(thing, (types.FunctionType, types.MethodType, types.CoroutineType)):
        return f"{type(thing).__name__} {thing.__qualname__}"
    if isinstance(thing, dict):
        return "scope" if thing.get("type") == "http" else None
    if isinstance(thing, (list, tuple, types.CellType, types.TracebackType)):
        return None
    name = f"{type(thing).__module__}.{type(thing).__qualname__}"
    # A request that refers to itself keeps its body, which is closed; each handler has its own kind.
    return "body" if name in BODIES else name


def find(layer: Any, kind: type) -> Any:
    while not isinstance(layer, kind):
        layer = layer.app
    return layer


async def main(handler: str) -> dict[str, Any]:
    import serving.http.handler

    serving.http.handler.DjangoHandler = getattr(serving.http.handler, handler)
    from config.asgi import application
    from django.conf import settings
    from serving.http.thread_pool import pool
    from serving.stopping.drain import Drain

    drain = find(application, Drain)
    spooled = settings.FILE_UPLOAD_MAX_MEMORY_SIZE + 1
    both = {"": "", "async ": "a"}
    kinds: dict[str, Callable[[], Client]] = {}
    for name, a in both.items():
        kinds |= {
            f"{name}view": lambda a=a: Client(f"/{a}hello/"),
            f"{name}HEAD": lambda a=a: Client(f"/{a}hello/", "HEAD"),
            f"{name}view that takes long": lambda a=a: Client(f"/{a}slow/"),
            f"{name}body": lambda a=a: Client(f"/{a}read/", "POST", [b"a=1"], [(b"content-type", FORM)]),
            f"{name}body in a file": lambda a=a: Client(f"/{a}read/", "POST", [b"x" * 100_000] * (spooled // 100_000 + 1)),
            f"{name}body in parts, slow view": lambda a=a: Client(f"/{a}slow/", "POST", [b"a", b"b"]),
            f"{name}upload": lambda a=a: Client(f"/{a}upload/", "POST", [multipart(1000)], [(b"content-type", MULTIPART)]),
            f"{name}upload of a file": lambda a=a: Client(f"/{a}upload/", "POST", [multipart(spooled)], [(b"content-type", MULTIPART)]),
            f"{name}form without its token": lambda a=a: Client(f"/{a}hello/", "POST", [b"a=1"], [(b"content-type", FORM)]),
            f"{name}template": lambda a=a: Client(f"/{a}template/"),
            f"{name}session": lambda a=a: Client(f"/{a}counts/"),
            f"{name}user": lambda a=a: Client(f"/{a}who/"),
            f"{name}rows": lambda a=a: Client(f"/{a}rows/"),
            f"{name}exception": lambda a=a: Client(f"/{a}boom/"),
            f"{name}exception, late": lambda a=a: Client(f"/{a}boom/?late"),
            f"{name}middleware raises before": lambda a=a: Client(f"/{a}hello/?before"),
            f"{name}middleware raises after": lambda a=a: Client(f"/{a}hello/?after"),
            f"{name}stream": lambda a=a: Client(f"/{a}stream/"),
            f"{name}stream of the other kind": lambda a=a: Client("/astream_of_sync/" if a else "/stream_of_async/"),
            f"{name}stream raises": lambda a=a: Client(f"/{a}broken/"),
            f"{name}stream of the other kind raises": lambda a=a: Client(f"/{a}broken/?other"),
            f"{name}stream takes long": lambda a=a: Client(f"/{a}slow_stream/"),
            f"{name}file": lambda a=a: Client(f"/{a}file/"),
            f"{name}client leaves within its body": lambda a=a: Client(f"/{a}read/", "POST", [b"a"], cut=True),
            f"{name}client leaves within the view": lambda a=a: Client(f"/{a}slow/?3", leaves_within=0.05),
            f"{name}client leaves within the view, body": lambda a=a: Client(f"/{a}slow/?3", "POST", [b"a"], leaves_within=0.05),
            f"{name}client leaves a stream": lambda a=a: Client(f"/{a}endless/", leaves_after=5),
            f"{name}client leaves a stream of the other kind": lambda a=a: Client(f"/{a}endless/?other", leaves_after=5),
            f"{name}client leaves a file": lambda a=a: Client(f"/{a}file/", leaves_after=2),
            f"{name}drain ends a stream": lambda a=a: Client(f"/{a}endless/", ends=drain._end),
            f"{name}drain ends a stream of the other kind": lambda a=a: Client(f"/{a}endless/?other", ends=drain._end),
            f"{name}drain ends a view": lambda a=a: Client(f"/{a}ended/"),
        }  # fmt: skip
    kinds |= {
        "login": lambda: Client("/signs_in/"),
        "404": lambda: Client("/nowhere/"),
        "wrong host": lambda: Client("/hello/", headers=[(b"host", b"elsewhere.example")]),
        "bad query": lambda: Client("/hello/?\udcff".encode("utf-8", "surrogatepass").decode("latin1")),
        "probe": lambda: Client("/livez"),
    }  # fmt: skip
    chosen = os.environ.get("KINDS")
    site().DRAIN = drain
    await sync_to_async(a_user)()

    found: dict[str, Any] = {}
    for name, make in kinds.items():
        if chosen and chosen not in name:
            continue
        # What is made once, for all requests. Each is a task, as under Granian.
        await asyncio.create_task(make().ask(application))
        await settled(pool)
        gc.collect()
        gc.disable()
        statuses = []
        for _ in range(TIMES):
            client = make()
            await asyncio.create_task(client.ask(application))
            statuses.append(client.status)
        await settled(pool)
        del client
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        gc.set_debug(0)
        counts = Counter(filter(None, map(describe, gc.garbage)))
        held = {
            id(part): len(part) for part in gc.get_referents(*gc.garbage) if type(part) is bytes
        }
        gc.garbage.clear()
        gc.enable()
        found[name] = {"statuses": statuses, "left": counts, "bytes": sum(held.values())}
        held.clear()
    return found


def a_user() -> None:
    from accounts.models import User

    if not User.objects.filter(username="ada").exists():
        User.objects.create_user("ada", password="open sesame")


def site() -> Any:
    from tests.serving.sites import garbage as garbage_site

    return garbage_site


async def settled(pool: Any) -> None:
    """Waits until the threads have nothing to do, and the loop has seen to what it was told."""
    async with asyncio.timeout(60):
        while pool.busy:
            await asyncio.sleep(0.01)
        for _ in range(20):
            await asyncio.sleep(0)


if __name__ == "__main__":
    print(json.dumps(asyncio.run(main(sys.argv[1]))))
