"""The pool of threads, and requests whose client goes away."""

import asyncio
import contextvars
import itertools
import logging
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.core.signals import request_finished
from django.db import connection, connections
from django.http import FileResponse, HttpRequest, HttpResponse, StreamingHttpResponse
from django.test import override_settings
from django.urls import path
from serving.http import thread_pool
from serving.http.handler import LARGE, DjangoHandler
from serving.http.streams import PART
from serving.http.thread_pool import Pool, pool
from serving.http.threads import Call, Lease, one_thread

from tests.serving.client import ASGIClient, Exchange, Message

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    yield
    pool.close()
    connections.close_all()


def run(main: Callable[[], Any]) -> Any:
    async def limited() -> Any:
        async with asyncio.timeout(50):
            return await main()

    return asyncio.run(limited())


async def until(condition: Callable[[], bool]) -> None:
    while not condition():
        await asyncio.sleep(0.005)


async def called(pool: Pool, function: Callable[[Call], None]) -> Any:
    call = Call(function)
    pool.submit(call.run)
    value = await call.result()
    await call.ended()
    return value


def test_a_thread_counts_until_its_connections_are_closed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    small, sizes = Pool(bound=1), []
    monkeypatch.setattr(thread_pool, "IDLE", 0.01)
    monkeypatch.setattr(connections, "close_all", lambda: sizes.append(small.busy))

    async def main() -> None:
        await called(small, lambda call: call.deliver(None))
        await until(lambda: bool(sizes))

    run(main)
    assert sizes == [1]


def test_the_pool_grows_when_all_threads_wait_and_no_further_than_its_bound() -> None:
    small = Pool(bound=8)
    together = threading.Barrier(9, timeout=40)

    async def main() -> None:
        waiting = [called(small, lambda call: call.deliver(together.wait())) for _ in range(8)]
        more = [called(small, lambda call: call.deliver(None)) for _ in range(4)]
        everything = asyncio.gather(*waiting, *more)
        await until(lambda: (small.busy, small.queued) == (8, 4))
        await asyncio.sleep(5 * thread_pool.TICK)
        assert (small.busy, small.queued) == (8, 4)  # the bound holds
        await asyncio.to_thread(together.wait)
        await everything
        await until(lambda: small.idle == 8)
        assert (small.queued, small.busy) == (0, 0)

    run(main)
    small.close()
    assert (small.idle, small.busy) == (0, 0)


def test_calls_that_do_not_wait_share_a_few_threads(
    clocks: dict[str, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    small = Pool(bound=64)
    # The process computes at each look, and so a look that a slow machine has time for finds no stall.
    monkeypatch.setattr(thread_pool, "process_time", itertools.count().__next__)

    async def main() -> None:
        for _ in range(3):
            seen = await asyncio.gather(
                *(
                    called(small, lambda call: call.deliver(threading.get_ident()))
                    for _ in range(100)
                )
            )
            assert len(set(seen)) <= thread_pool.CORE
            await asyncio.sleep(5 * thread_pool.TICK)  # that nobody asked is no stall
            clocks["monotonic"] += 5 * thread_pool.TICK

    run(main)
    small.close()


def test_threads_without_work_end_and_close_their_connections(monkeypatch) -> None:
    monkeypatch.setattr(thread_pool, "IDLE", 0.05)
    small = Pool(bound=4)
    opened: list[Any] = []

    def ask(call: Call) -> None:
        connection.ensure_connection()
        opened.append(connections["default"])
        call.deliver(None)

    async def main() -> None:
        for _ in range(2):  # and one begins anew
            await called(small, ask)
            await until(lambda: small.idle + small.busy == 0)

    run(main)
    assert opened[0].connection is None
    assert opened[0] is not opened[1]
    assert not small._took, "one that ended is still remembered"


def test_a_pool_that_is_used_up_says_so(monkeypatch, caplog) -> None:
    small = Pool(bound=1)
    go_on = threading.Event()

    async def main() -> None:
        state.set("by a request")
        first = asyncio.create_task(called(small, lambda call: call.deliver(go_on.wait(40))))
        second = asyncio.create_task(called(small, lambda call: call.deliver(None)))
        await until(lambda: "SERVING_THREADS" in caplog.text)
        go_on.set()
        await first
        await second

    contexts = []

    class Asks(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            contexts.append(state.get())
            small.submit(Call(lambda call: call.deliver(None)).run)

    logger, asks = (
        logging.getLogger("serving.http.thread_pool"),
        Asks(),
    )  # a handler may want a thread, too
    logger.addHandler(asks)
    logger.addHandler(caplog.handler)
    try:
        run(main)
    finally:
        logger.removeHandler(caplog.handler)
        logger.removeHandler(asks)
        small.close()
    assert "all 1 threads (SERVING_THREADS)" in caplog.text
    assert contexts == ["unset"], "it is said of no request"


def test_a_burst_after_a_rest_is_no_stall(monkeypatch, caplog) -> None:
    small = Pool(bound=8)
    together = threading.Barrier(thread_pool.CORE, timeout=40)
    go_on.clear()

    async def main() -> None:
        await asyncio.gather(
            *(
                called(small, lambda call: call.deliver(together.wait()))
                for _ in range(thread_pool.CORE)
            )
        )
        await until(lambda: small.idle == thread_pool.CORE)
        small._looked -= 100  # a rest of that many seconds
        small._moved -= 100
        monkeypatch.setattr(thread_pool, "TICK", 0.1)
        waiting = [
            asyncio.create_task(called(small, lambda call: call.deliver(go_on.wait(40))))
            for _ in range(thread_pool.CORE + 1)
        ]
        await asyncio.sleep(0)
        assert (small.busy, small.queued) == (thread_pool.CORE, 1)
        assert small._looked - small._moved == 0
        go_on.set()
        await asyncio.gather(*waiting)

    logger = logging.getLogger("serving.http.thread_pool")
    logger.addHandler(caplog.handler)
    try:
        run(main)
    finally:
        logger.removeHandler(caplog.handler)
        small.close()
    assert not caplog.text


def test_calls_that_wait_for_a_moment_get_as_many_threads_as_they_need() -> None:
    small = Pool(bound=64)

    async def client() -> None:
        for _ in range(40):
            await called(small, lambda call: call.deliver(time.sleep(thread_pool.TICK / 2)))

    async def main() -> None:
        # Some thread takes a call in every tick, and yet all of them wait for most of it.
        await asyncio.gather(*(client() for _ in range(24)))
        assert small._size > 2 * thread_pool.CORE

    run(main)
    small.close()


@pytest.fixture
def clocks(monkeypatch: pytest.MonkeyPatch) -> dict[str, float]:
    """The time, and what the process has computed, in seconds, as a pool sees them."""
    shown = {"monotonic": 0.0, "process_time": 0.0}
    for name in shown:
        monkeypatch.setattr(thread_pool, name, lambda name=name: shown[name])
    return shown


def look(
    small: Pool, clocks: dict[str, float], *, computed: float, took: int, ticks: int = 1
) -> int:
    """What a tick makes of the limit, when so many threads took calls in it."""
    clocks["monotonic"] += ticks * thread_pool.TICK
    clocks["process_time"] += computed * thread_pool.TICK
    small._took.update(range(took))  # type: ignore[arg-type]
    small._adapt()
    return small._limit


def test_the_limit_follows_what_the_threads_do(
    clocks: dict[str, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    small = Pool(bound=20)
    monkeypatch.setattr(small, "_hand_out", lambda: None)
    small._calls.extend([lambda: None] * 100)
    small._look()
    small._moved = small._looked
    # While the process computes, more threads are of no use, however many calls wait.
    assert [look(small, clocks, computed=1.0, took=3) for _ in range(5)] == [3] * 5
    # Nor are they when it was held up, as by a container's limit.
    assert look(small, clocks, computed=1.0, took=3, ticks=6) == 3
    # They are when it does not, even though calls are taken.
    assert [look(small, clocks, computed=0.5, took=3) for _ in range(4)] == [6, 12, 20, 20]
    # Then it computes again, and too many threads take calls.
    assert [look(small, clocks, computed=1.0, took=20) for _ in range(3)] == [19, 18, 17]
    # Those that take none wait for something: to count them out would leave none to work.
    assert look(small, clocks, computed=1.0, took=3) == 17
    # It computes, and yet no thread takes a call: a library that frees the interpreter lock, say.
    assert [look(small, clocks, computed=2.0, took=0) for _ in range(3)] == [17, 20, 20]
    # A few threads are let be, whatever they do.
    limits = [look(small, clocks, computed=1.0, took=20) for _ in range(20)]
    assert limits[-4:] == [thread_pool.CORE] * 4


@pytest.mark.parametrize(("bound", "most"), [(1, ""), (2, ", and the system gives no more")])
def test_that_a_pool_is_used_up_is_said_once_a_minute(
    clocks: dict[str, float], monkeypatch: pytest.MonkeyPatch, bound: int, most: str
) -> None:
    small = Pool(bound=bound)
    monkeypatch.setattr(small, "_hand_out", lambda: None)
    small._size = 1
    small._calls.extend([lambda: None] * 3)
    small._look()
    said = {}
    for clocks["monotonic"] in (0.5, 1.0, 1.5, 60.5, 61.0, 61.5):
        if warning := small._adapt():
            said[clocks["monotonic"]] = warning
    assert said == {
        stalled: f"all 1 threads (SERVING_THREADS) have been at work for {stalled} s{most}; 3 calls wait"
        for stalled in (1.0, 61.0)
    }


def test_the_pool_grows_after_another_event_loop_has_ended() -> None:
    small = Pool(bound=thread_pool.CORE + 1)
    busy = threading.Semaphore(0)
    go_on.clear()

    def wait(call: Call) -> None:
        busy.release()
        call.deliver(go_on.wait(40))

    async def other() -> None:  # its call waits, and so it watches, until it ends
        small.submit(Call(wait).run)

    async def main() -> None:
        waiting = [asyncio.create_task(called(small, wait)) for _ in range(thread_pool.CORE)]
        await until(lambda: busy._value == thread_pool.CORE)
        await asyncio.to_thread(asyncio.run, other())
        waiting.append(asyncio.create_task(called(small, wait)))
        await until(lambda: busy._value == thread_pool.CORE + 1)
        go_on.set()
        await asyncio.gather(*waiting)

    run(main)
    small.close()


def test_nobody_may_wait_any_more_for_a_call_to_end() -> None:
    small = Pool(bound=1)
    complaints: list[Any] = []
    go_on.clear()

    async def main() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda loop, said: complaints.append(said))

        def function(call: Call) -> None:
            call.deliver(None)
            go_on.wait(40)

        call = Call(function)
        small.submit(call.run)
        await call.result()
        ending = asyncio.create_task(call.ended())
        await asyncio.sleep(0)
        ending.cancel()
        await asyncio.gather(ending, return_exceptions=True)
        go_on.set()
        await until(lambda: small.idle == 1)
        await asyncio.sleep(0)

    run(main)
    small.close()
    assert not complaints


def test_the_system_may_give_no_more_threads(monkeypatch) -> None:
    small = Pool(bound=8)

    def refuse(self: Any) -> None:
        raise RuntimeError("can't start new thread")

    async def main() -> None:
        await called(small, lambda call: call.deliver(None))
        monkeypatch.setattr(thread_pool.PoolThread, "start", refuse)
        answers = await asyncio.gather(
            *(called(small, lambda call: call.deliver(1)) for _ in range(5))
        )
        assert answers == [1] * 5

    run(main)
    small.close()


def test_a_process_that_gets_no_thread_at_all_fails_and_may_get_one_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    small = Pool(bound=8)

    def refuse(self: Any) -> None:
        raise RuntimeError("can't start new thread")

    async def main() -> None:
        with monkeypatch.context() as patch:
            patch.setattr(thread_pool.PoolThread, "start", refuse)
            with pytest.raises(RuntimeError, match="can't start new thread"):
                await called(small, lambda call: call.deliver(1))
        assert (small.queued, small.busy) == (0, 0)
        assert await called(small, lambda call: call.deliver(2)) == 2

    run(main)
    small.close()


def test_a_thread_begins_in_no_requests_context(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a tracer would look for what the thread belongs to."""
    small, contexts = Pool(bound=1), []
    start = thread_pool.PoolThread.start

    def note(self: thread_pool.PoolThread) -> None:
        contexts.append(state.get())
        start(self)

    monkeypatch.setattr(thread_pool.PoolThread, "start", note)

    async def main() -> None:
        state.set("by a request")
        await called(small, lambda call: call.deliver(None))

    run(main)
    small.close()
    assert contexts == ["unset"]


def test_a_thread_survives_whatever_a_call_raises() -> None:
    small = Pool(bound=1)

    async def main() -> None:
        for error in (ValueError, SystemExit, KeyboardInterrupt):

            def fail(call: Call, error: type[BaseException] = error) -> None:
                raise error("no tea")

            call = Call(fail)
            small.submit(call.run)
            caught = await asyncio.wait_for(
                asyncio.shield(asyncio.ensure_future(outcome(call))), timeout=40
            )
            assert isinstance(caught, error)
        assert small.idle + small.busy == 1

    async def outcome(call: Call) -> BaseException | None:
        await call.result()
        try:
            await call.ended()
        except BaseException as error:
            return error
        return None

    run(main)
    small.close()


def test_a_lease_keeps_one_thread_and_gives_it_back() -> None:
    small = Pool(bound=2)

    async def main() -> None:
        lease = Lease(small)
        assert small.busy == 0
        loop = asyncio.get_running_loop()
        seen = [await loop.run_in_executor(lease, threading.get_ident) for _ in range(5)]
        assert len(set(seen)) == 1
        assert small.busy == 1
        lease.release()
        await until(lambda: small.idle == 1)

    run(main)
    small.close()


def test_a_lease_is_an_executor() -> None:
    def fail() -> None:
        raise ValueError("no tea")

    async def main() -> None:
        lease = Lease(pool)
        made = lease.submit(dict, [("leaf", "green")], cups=2)
        failed = lease.submit(fail)
        dropped = lease.submit(happened.append, "dropped")
        assert dropped.cancel()
        lease.release()
        late = lease.submit(threading.get_ident)  # of a task that outlives its request
        futures = [asyncio.wrap_future(future) for future in (made, failed, late)]
        results = await asyncio.gather(*futures, return_exceptions=True)
        assert results[0] == {"leaf": "green", "cups": 2}
        assert repr(results[1]) == "ValueError('no tea')"
        assert results[2] != threading.get_ident()
        await until(lambda: pool.busy == 0)

    happened.clear()
    run(main)
    assert happened == []


def test_one_thread_for_some_lines() -> None:
    async def main() -> None:
        async with one_thread():
            first = await sync_to_async(threading.get_ident)()
            assert await sync_to_async(threading.get_ident)() == first
            assert pool.busy == 1
        await until(lambda: pool.busy == 0)

    run(main)


# Requests


state = contextvars.ContextVar("state", default="unset")
happened: list[str] = []
begun: list[asyncio.Task[None]] = []
go_on = threading.Event()


def sets(request: HttpRequest) -> HttpResponse:
    state.set("by the view")
    return HttpResponse(state.get())


async def asets(request: HttpRequest) -> HttpResponse:
    return sets(request)


def outlasts(request: HttpRequest) -> HttpResponse:
    happened.append("begun")
    go_on.wait(40)
    happened.append("ended")
    return HttpResponse("too late")


async def aoutlasts(request: HttpRequest) -> HttpResponse:
    happened.append("begun")
    try:
        await asyncio.Event().wait()
    finally:
        happened.append("cancelled")
    return HttpResponse("never")


def awaits(request: HttpRequest) -> HttpResponse:
    async_to_sync(aoutlasts)(request)
    return HttpResponse("never")


def endless(request: HttpRequest) -> StreamingHttpResponse:
    def parts() -> Iterator[bytes]:
        try:
            while True:
                yield b"tick\n"
                time.sleep(0.005)
        finally:
            happened.append("closed")

    return StreamingHttpResponse(parts())


async def aendless(request: HttpRequest) -> StreamingHttpResponse:
    async def parts() -> Any:
        try:
            while True:
                yield b"tick\n"
                await asyncio.sleep(0.005)
        finally:
            happened.append("closed")

    return StreamingHttpResponse(parts())


async def aendless_of_sync(request: HttpRequest) -> StreamingHttpResponse:
    return endless(request)


def endless_of_async(request: HttpRequest) -> StreamingHttpResponse:
    return async_to_sync(aendless)(request)


def idents(request: HttpRequest) -> StreamingHttpResponse:
    """Where the view, each part of its stream and what is awaited by it run."""

    async def on_the_loop() -> bool:
        return threading.current_thread() is threading.main_thread()

    def parts() -> Iterator[bytes]:
        for _ in range(3):
            yield f"{threading.get_ident()} {async_to_sync(on_the_loop)()}\n".encode()

    happened.append(str(threading.get_ident()))
    return StreamingHttpResponse(parts())


async def aidents(request: HttpRequest) -> StreamingHttpResponse:
    return idents(request)


def late_stream(request: HttpRequest) -> StreamingHttpResponse:
    outlasts(request)
    return endless_of_async(request)


async def starts_a_task(request: HttpRequest) -> HttpResponse:
    async def later() -> None:
        await asyncio.sleep(0.05)
        happened.append(threading.current_thread().name)
        happened.append(await sync_to_async(lambda: threading.current_thread().name)())

    begun.append(asyncio.create_task(later()))
    await sync_to_async(list)()
    return HttpResponse("begun")


def file(request: HttpRequest) -> FileResponse:
    """One that never ends."""
    return FileResponse(open("/dev/zero", "rb"), content_type="text/plain")


def large(request: HttpRequest) -> HttpResponse:
    return HttpResponse(b"x" * int(request.GET["size"]))


async def alarge(request: HttpRequest) -> HttpResponse:
    return await sync_to_async(large)(request)


def identity(request: HttpRequest) -> HttpResponse:
    connection.ensure_connection()
    return HttpResponse(str(id(connection.connection)))


async def aidentity(request: HttpRequest) -> HttpResponse:
    return await sync_to_async(identity)(request)


urlpatterns = [
    path(f"{view.__name__}/", view)
    for view in (sets, asets, outlasts, aoutlasts, awaits, endless, aendless, aendless_of_sync,
                 endless_of_async, idents, aidents, late_stream, starts_a_task, file, large, alarge,
                 identity, aidentity)
]  # fmt: skip


def start(handler: Any, path: str, http_version: str = "2") -> Exchange:
    return ASGIClient(handler, http_version=http_version).start(path)


async def start_and_leave(path: str, http_version: str = "2") -> Exchange:
    """Asks, and goes away once the view has begun."""
    exchange = start(DjangoHandler(), path, http_version)
    await until(lambda: happened == ["begun"])
    exchange.leave()
    return exchange


@pytest.fixture
def finished() -> Iterator[list[int]]:
    """The threads of the finish signals."""
    seen: list[int] = []

    def note(**_: object) -> None:
        seen.append(threading.get_ident())

    happened.clear()
    go_on.clear()
    request_finished.connect(note, sender=DjangoHandler)
    with override_settings(ROOT_URLCONF=__name__, ALLOWED_HOSTS=["testserver"], MIDDLEWARE=[]):
        yield seen
    request_finished.disconnect(note, sender=DjangoHandler)


@pytest.mark.parametrize("view", ["sets", "asets"])
def test_context_variables_come_out(finished: list[int], view: str) -> None:
    async def main() -> None:
        handler = DjangoHandler()

        async def outer(*arguments: Any) -> None:
            await handler(*arguments)
            happened.append(state.get())

        exchange = start(outer, f"/{view}/")
        await exchange.task
        assert happened == ["by the view"]

    run(main)


def test_a_sync_view_whose_client_left_ends_and_is_tidied_up(finished: list[int]) -> None:
    async def main() -> None:
        exchange = await start_and_leave("/outlasts/")
        await asyncio.sleep(0.05)
        assert not finished
        go_on.set()
        await exchange.task
        assert happened == ["begun", "ended"]
        assert not exchange.sent
        assert len(finished) == 1

    run(main)


@pytest.mark.parametrize("view", ["aoutlasts", "awaits"])
def test_what_a_view_awaits_is_cancelled_when_its_client_leaves(
    finished: list[int], view: str
) -> None:
    async def main() -> None:
        exchange = await start_and_leave(f"/{view}/")
        await exchange.task
        assert happened == ["begun", "cancelled"]
        assert not exchange.sent
        assert len(finished) == 1

    run(main)


def test_a_body_that_is_not_waited_for_does_not_hide_that_a_client_leaves(
    finished: list[int],
) -> None:
    async def main() -> None:
        exchange = start(DjangoHandler(), "/aoutlasts/", http_version="1.1")
        await until(lambda: happened == ["begun"])
        exchange.leave()
        await exchange.task
        assert happened == ["begun", "cancelled"]

    run(main)


@pytest.mark.parametrize("view", ["endless", "aendless", "aendless_of_sync", "endless_of_async"])
@pytest.mark.parametrize("how", ["leaves", "is cancelled"])
def test_a_stream_goes_out_part_by_part_and_is_closed(
    finished: list[int], view: str, how: str
) -> None:
    async def main() -> None:
        exchange = start(DjangoHandler(), f"/{view}/")
        await until(lambda: exchange.body.count(b"tick") > 3)
        if how == "leaves":
            exchange.leave()
            await exchange.task
        else:
            exchange.task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await exchange.task
        await until(lambda: happened == ["closed"])
        await until(lambda: len(finished) == 1)
        await until(lambda: pool.busy == 0)

    run(main)


@pytest.mark.parametrize("view", ["idents", "aidents"])
def test_a_stream_of_sync_code_stays_on_one_thread(finished: list[int], view: str) -> None:
    async def main() -> None:
        exchange = start(DjangoHandler(), f"/{view}/")
        await exchange.task
        of_parts = set(exchange.body.decode().splitlines())
        assert len(of_parts) == 1
        (thread, on_the_loop) = of_parts.pop().split()
        assert on_the_loop == "True"
        assert finished == [int(thread)], "it is closed there, too"
        if view == "idents":
            assert happened == [thread], "that of the view, whose cursor it may read"
        await until(lambda: pool.busy == 0)

    run(main)


@pytest.mark.parametrize(
    ("view", "kept"),
    [
        ("endless", 1),
        ("aendless_of_sync", 1),
        ("endless_of_async", 0),
        ("aendless", 0),
        ("file", 0),
    ],
)
def test_only_a_stream_of_sync_code_keeps_a_thread(
    finished: list[int], view: str, kept: int
) -> None:
    async def main() -> None:
        exchange = start(DjangoHandler(), f"/{view}/")
        await until(lambda: bool(exchange.body))
        await until(lambda: pool.busy == kept)
        exchange.leave()
        await exchange.task
        await until(lambda: pool.busy == 0)

    run(main)


async def begun_to_send(view: str, size: int, messages: list[Message]) -> asyncio.Task[None]:
    """A request for a response of that size; its client reads nothing until `go_on`."""
    exchange = Exchange(f"/{view}/?size={size}")

    async def send(message: Message) -> None:
        messages.append(message)
        await until(go_on.is_set)

    task = asyncio.create_task(DjangoHandler()(exchange.scope, exchange.receive, send))
    await until(lambda: bool(messages))
    return task


@pytest.mark.parametrize("view", ["large", "alarge"])
@pytest.mark.parametrize(("size", "parts"), [(LARGE, 1), (LARGE + 1, LARGE // PART + 2)])
def test_a_large_response_goes_out_in_parts(
    finished: list[int], view: str, size: int, parts: int
) -> None:
    messages: list[Message] = []

    async def main() -> None:
        sending = await begun_to_send(view, size, messages)
        if parts > 1:
            await until(lambda: pool.busy == 0)  # none is kept for a client that does not read
        go_on.set()
        await sending

    run(main)
    bodies = [message.get("body", b"") for message in messages[1:]]
    assert b"".join(bodies) == b"x" * size
    assert len(bodies) == parts
    assert parts == 1 or max(map(len, bodies)) == PART
    assert [message.get("more_body", False) for message in messages[1:]] == [True] * (parts - 1) + [
        False
    ]
    assert len(finished) == 1


@pytest.mark.parametrize("view", ["large", "alarge"])
def test_a_large_response_that_nobody_reads_is_given_up(
    finished: list[int], view: str, caplog: pytest.LogCaptureFixture
) -> None:
    messages: list[Message] = []

    async def main() -> None:
        await (await begun_to_send(view, LARGE + 1, messages))

    with override_settings(SEND_TIMEOUT=0.05):
        run(main)
    assert len(messages) == 1
    assert len(finished) == 1
    said = f"GET /{view}/: ended, since its client has read nothing for 0.05 s (SEND_TIMEOUT)"
    assert said in caplog.text


def test_a_request_that_waits_for_a_thread_is_dropped_when_its_client_leaves(
    finished: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "_bound", 1)

    async def main() -> None:
        handler = DjangoHandler()
        first = start(handler, "/outlasts/")
        await until(lambda: happened == ["begun"])
        second = start(handler, "/outlasts/")
        await asyncio.sleep(0)
        second.leave()
        await asyncio.sleep(0.1)
        go_on.set()
        await asyncio.gather(first.task, second.task)
        assert happened == ["begun", "ended"]

    run(main)


def test_a_stream_that_comes_after_its_client_left_is_not_begun(finished: list[int]) -> None:
    async def main() -> None:
        exchange = await start_and_leave("/late_stream/")
        await asyncio.sleep(0.05)
        go_on.set()
        await exchange.task
        assert happened == ["begun", "ended"]
        assert not exchange.sent
        assert len(finished) == 1

    run(main)


def test_a_task_may_outlive_its_request(finished: list[int]) -> None:
    async def main() -> None:
        exchange = start(DjangoHandler(), "/starts_a_task/")
        await exchange.task
        assert exchange.body == b"begun"
        await begun.pop()
        assert happened == ["MainThread", "serving"]
        await until(lambda: pool.busy == 0)

    run(main)


@pytest.mark.parametrize("view", ["identity", "aidentity"])
def test_a_connection_outlives_its_request(finished: list[int], view: str, settings: Any) -> None:
    settings.DATABASES["default"]["CONN_MAX_AGE"] = 60
    connections.settings["default"]["CONN_MAX_AGE"] = 60

    async def main() -> None:
        handler = DjangoHandler()
        seen = set()
        for _ in range(10):
            exchange = start(handler, f"/{view}/")
            await exchange.task
            seen.add(exchange.body)
            await until(lambda: pool.busy == 0)
        assert len(seen) <= thread_pool.CORE

    try:
        run(main)
    finally:
        connections.settings["default"]["CONN_MAX_AGE"] = 0
