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
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import serving.http.handler
from asgiref.sync import sync_to_async
from django.conf import settings
from serving.http.thread_pool import pool
from serving.stopping.drain import Drain

from tests.serving.client import Exchange, Message, body_messages

BODIES = ("serving.http.body.Body", "tempfile.SpooledTemporaryFile")

TIMES = 3  # each kind; a thing that is left once and for all is left less often

FORM = {"content-type": "application/x-www-form-urlencoded"}
MULTIPART = {"content-type": "multipart/form-data; boundary=tea"}


def multipart(size: int) -> bytes:
    return (
        b'--tea\r\nContent-Disposition: form-data; name="photo"; filename="tea.jpg"\r\n'
        b"Content-Type: image/jpeg\r\n\r\n" + b"x" * size + b"\r\n--tea--\r\n"
    )


class Client(Exchange):
    """Makes one request over https, and goes away when it is told to."""

    def __init__(
        self,
        path: str,
        method: str = "GET",
        body: Iterable[bytes] = (),
        headers: Mapping[str, str] | None = None,
        leaves_after: int | None = None,  # messages of the response
        leaves_within: float | None = None,  # seconds
        cut: bool = False,  # in the midst of its body
        ends: Callable[[], None] | None = None,  # called after the first message
    ) -> None:
        messages = body_messages(*body, whole=not cut) or body_messages(b"")
        if cut:
            messages.append({"type": "http.disconnect"})
        size = sum(len(message.get("body", b"")) for message in messages) + cut  # or it were whole
        length = {"content-length": str(size)} if body else {}
        headers = {"host": "localhost"} | length | dict(headers or {})
        super().__init__(path, method, headers=headers, messages=messages, scheme="https")
        self.leaves_after, self.leaves_within, self.ends = leaves_after, leaves_within, ends
        self.outcome: int | None = None

    async def send(self, message: Message) -> None:
        await super().send(message)
        if len(self.sent) == self.leaves_after:
            self.leave()
        if self.ends and len(self.sent) == 1:
            self.ends()
        if self.gone:
            await asyncio.sleep(0.05)  # it reads slowly, so it is missed

    async def ask(self, application: Any) -> None:
        """Sets `outcome`: the status of the answer, or -1 for an exception."""
        if self.leaves_within is not None:
            asyncio.get_running_loop().call_later(self.leaves_within, self.leave)
        try:
            await self.run(application)
            self.outcome = self.status or 0
        except Exception:
            self.outcome = -1


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


type Make = Callable[[], Client]


def kinds_of(a: str, drain: Drain) -> dict[str, Make]:
    """The kinds of requests that sync views take, whose addresses begin with "", and async ones, with "a"."""
    spooled = settings.FILE_UPLOAD_MAX_MEMORY_SIZE + 1
    return {
        "view": lambda: Client(f"/{a}hello/"),
        "HEAD": lambda: Client(f"/{a}hello/", "HEAD"),
        "view that takes long": lambda: Client(f"/{a}slow/"),
        "body": lambda: Client(f"/{a}read/", "POST", [b"a=1"], FORM),
        "body in a file": lambda: Client(f"/{a}read/", "POST", [b"x" * 100_000] * (spooled // 100_000 + 1)),
        "body in parts, slow view": lambda: Client(f"/{a}slow/", "POST", [b"a", b"b"]),
        "upload": lambda: Client(f"/{a}upload/", "POST", [multipart(1000)], MULTIPART),
        "upload of a file": lambda: Client(f"/{a}upload/", "POST", [multipart(spooled)], MULTIPART),
        "form without its token": lambda: Client(f"/{a}hello/", "POST", [b"a=1"], FORM),
        "template": lambda: Client(f"/{a}template/"),
        "session": lambda: Client(f"/{a}counts/"),
        "user": lambda: Client(f"/{a}who/"),
        "rows": lambda: Client(f"/{a}rows/"),
        "exception": lambda: Client(f"/{a}boom/"),
        "exception, late": lambda: Client(f"/{a}boom/?late"),
        "middleware raises before": lambda: Client(f"/{a}hello/?before"),
        "middleware raises after": lambda: Client(f"/{a}hello/?after"),
        "stream": lambda: Client(f"/{a}stream/"),
        "stream of the other kind": lambda: Client("/astream_of_sync/" if a else "/stream_of_async/"),
        "stream raises": lambda: Client(f"/{a}broken/"),
        "stream of the other kind raises": lambda: Client(f"/{a}broken/?other"),
        "stream takes long": lambda: Client(f"/{a}slow_stream/"),
        "file": lambda: Client(f"/{a}file/"),
        "client leaves within its body": lambda: Client(f"/{a}read/", "POST", [b"a"], cut=True),
        "client leaves within the view": lambda: Client(f"/{a}slow/?3", leaves_within=0.05),
        "client leaves within the view, body": lambda: Client(f"/{a}slow/?3", "POST", [b"a"], leaves_within=0.05),
        "client leaves a stream": lambda: Client(f"/{a}endless/", leaves_after=5),
        "client leaves a stream of the other kind": lambda: Client(f"/{a}endless/?other", leaves_after=5),
        "client leaves a file": lambda: Client(f"/{a}file/", leaves_after=2),
        "drain ends a stream": lambda: Client(f"/{a}endless/", ends=drain._end),
        "drain ends a stream of the other kind": lambda: Client(f"/{a}endless/?other", ends=drain._end),
        "drain ends a view": lambda: Client(f"/{a}ended/"),
    }  # fmt: skip


OTHERS: dict[str, Make] = {
    "login": lambda: Client("/signs_in/"),
    "404": lambda: Client("/nowhere/"),
    "wrong host": lambda: Client("/hello/", headers={"host": "elsewhere.example"}),
    "bad query": lambda: Client("/hello/?\udcff".encode("utf-8", "surrogatepass").decode("latin1")),
    "probe": lambda: Client("/livez"),
}  # fmt: skip


async def main(handler: str) -> dict[str, Any]:
    """What each kind of request leaves behind, with the handler of this name."""
    vars(serving.http.handler)["DjangoHandler"] = getattr(serving.http.handler, handler)
    from config.asgi import application

    drain = find(application, Drain)
    from tests.sites import garbage as site

    site.DRAIN = drain
    await sync_to_async(a_user)()
    kinds = kinds_of("", drain)
    kinds |= {f"async {name}": make for name, make in kinds_of("a", drain).items()} | OTHERS
    chosen = os.environ.get("KINDS", "")
    return {name: await left(application, make) for name, make in kinds.items() if chosen in name}


async def left(application: Any, make: Make) -> dict[str, Any]:
    """What a few requests of a kind leave behind; each is a task, as under Granian."""
    await asyncio.create_task(make().ask(application))  # which makes what is made once, for all
    await settled(pool)
    gc.collect()
    gc.disable()
    statuses = []
    for _ in range(TIMES):
        client = make()
        await asyncio.create_task(client.ask(application))
        statuses.append(client.outcome)
    await settled(pool)
    del client
    gc.set_debug(gc.DEBUG_SAVEALL)
    gc.collect()
    gc.set_debug(0)
    counts = Counter(filter(None, map(describe, gc.garbage)))
    held = {id(part): len(part) for part in gc.get_referents(*gc.garbage) if type(part) is bytes}
    gc.garbage.clear()
    gc.enable()
    return {"statuses": statuses, "left": counts, "bytes": sum(held.values())}


def a_user() -> None:
    from accounts.models import User

    if not User.objects.filter(username="ada").exists():
        User.objects.create_user("ada", password="open sesame")


async def settled(pool: Any) -> None:
    """Waits until the threads have nothing to do, and the loop has seen to what it was told."""
    async with asyncio.timeout(60):
        while pool.busy:
            await asyncio.sleep(0.01)
        for _ in range(20):
            await asyncio.sleep(0)


if __name__ == "__main__":
    print(json.dumps(asyncio.run(main(sys.argv[1]))))
