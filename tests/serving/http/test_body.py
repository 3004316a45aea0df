"""The bodies of requests: what they take, which are refused and how, and what is left of them: nothing."""

import asyncio
import gc
import logging
import resource
import shutil
import tempfile
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from django.test import override_settings
from serving.http.body import LINGER, MEMORY, PAUSE, Bodies

from tests.serving.client import Exchange, Message, body_messages
from tests.serving.timeless import Timeless

run = partial(asyncio.run, loop_factory=Timeless)

CHUNKED = {"transfer-encoding": "chunked"}
FORM = {"content-type": "Multipart/Form-Data; boundary=tea"}
LEFT = {"type": "http.disconnect"}


def length(size: int) -> dict[str, str]:
    return {"content-length": str(size)}


def parts(*sizes: int, ended: bool = False) -> list[Message]:
    contents = [b"x" * size for size in sizes]
    return body_messages(*contents, b"") if ended else body_messages(*contents, whole=False)


# A request's headers, what comes of its body, and what it gets: the size of the body, or a refusal.
CASES: dict[str, tuple[dict[str, str], list[Message], int]] = {
    "small": (length(3), parts(3), 3),
    "none": (length(0), [], 0),
    "chunked": (CHUNKED, parts(3, ended=True), 3),
    "on disk": (length(2_900_000), parts(2_000_000, 900_000), 2_900_000),
    "on disk, chunked": (CHUNKED, parts(1_000_000, 1_900_000, ended=True), 2_900_000),
    "a form": (FORM | length(2_900_000), parts(2_900_000), 2_900_000),
    "too large": (length(3_000_001), parts(1), 413),
    "too large, chunked": (CHUNKED, [*parts(2_000_000, 2_000_000), LEFT], 413),
    "left": (length(5), [*parts(1), LEFT], 400),
    "left, on disk": (length(2_900_000), [*parts(2_000_000), LEFT], 400),
    "late": (length(5), parts(1), 408),
    "late, on disk": (CHUNKED, parts(2_900_000), 408),
    "cancelled": (length(5), parts(1), 0),
    "cancelled, on disk": (length(2_900_000), parts(2_000_000), 0),
}


WHOLE: dict[str, tuple[dict[str, str], list[Message], int]] = {
    "smallest": (length(1), parts(1), 1),
    "no more is said to come": (CHUNKED, [{"type": "http.request", "body": b"tea"}], 3),
    "nothing is said": (CHUNKED, [{"type": "http.request"}], 0),
    "chunked, with a length that does not count": (CHUNKED | length(1), parts(3, ended=True), 3),
    "largest": (length(3_000_000), parts(3_000_000), 3_000_000),
    "largest, chunked": (CHUNKED, parts(3_000_000, ended=True), 3_000_000),
}


@pytest.fixture(autouse=True)
def bounds() -> Iterator[None]:
    with override_settings(MAX_BODY_SIZE=3_000_000, BODY_SPACE=6_000_000, BODY_TIMEOUT=0.2):
        yield


async def ask(bodies: Bodies, headers: dict[str, str], come: list[Message]) -> int | None:
    """The size of the body that was read, or the status of the answer."""
    exchange = Exchange("/", "POST", headers=headers, messages=come)
    found = await bodies.read(exchange.scope, exchange.receive, exchange.send)
    if found is None:
        return exchange.status
    with found:
        return len(found.read())


@pytest.mark.parametrize("name", WHOLE)
def test_a_body_is_read_to_its_end(name: str) -> None:
    headers, come, size = WHOLE[name]

    async def main() -> int | None:
        return await ask(Bodies(), headers, come)

    assert run(main()) == size


@pytest.mark.parametrize("name", CASES)
def test_nothing_is_left_of_a_body(name: str) -> None:
    headers, come, wanted = CASES[name]

    async def once(bodies: Bodies) -> None:
        task = asyncio.create_task(ask(bodies, headers, come))
        if name.startswith("cancelled"):  # as the order to stop does
            await asyncio.sleep(0.05)
            task.cancel()
            await asyncio.wait({task})
            assert task.cancelled()
        else:
            assert await task == wanted

    async def main() -> int:
        bodies = Bodies()
        await once(bodies)  # whatever is made once
        gc.collect()
        gc.disable()
        try:
            await once(bodies)
            return gc.collect()
        finally:
            gc.enable()
            assert (bodies.memory.taken, bodies.disk.taken) == (0, 0)

    # To cancel a thread's work takes real time.
    assert (asyncio.run if name.startswith("cancelled") else run)(main()) == 0


# The status, the answer, and the line in the log with its level.
REFUSED = {
    "too large": (
        413,
        "The body of the request is larger than 3000000 bytes.",
        (logging.WARNING, "refused a body of 3000001 bytes: MAX_BODY_SIZE is 3000000"),
    ),
    "too large, chunked": (
        413,
        "The body of the request is larger than 3000000 bytes.",
        (logging.WARNING, "refused a body after 4000000 bytes: MAX_BODY_SIZE is 3000000"),
    ),
    "left": (
        400,
        "The body of the request is broken or not complete.",
        (logging.INFO, "a body broke off after 1 of 5 bytes"),
    ),
    "late": (
        408,
        "The body of the request came too slowly.",
        (
            logging.INFO,
            "gave up on a body after 1 of 5 bytes: too slow for BODY_TIMEOUT and BODY_MIN_RATE",
        ),
    ),
    "late, on disk": (
        408,
        "The body of the request came too slowly.",
        (
            logging.INFO,
            "gave up on a body after 2900000 bytes: too slow for BODY_TIMEOUT and BODY_MIN_RATE",
        ),
    ),
}


@pytest.mark.parametrize("version", ["1.0", "1.1", "2"])
@pytest.mark.parametrize("name", REFUSED)
def test_a_refusal_is_a_whole_answer_and_a_line_in_the_log(
    name: str, version: str, caplog: pytest.LogCaptureFixture
) -> None:
    headers, come, _ = CASES[name]
    status, says, (level, logged) = REFUSED[name]

    async def main() -> Exchange:
        messages = come if name.startswith("late") else [*come, LEFT]
        exchange = Exchange(
            "/tea", "POST", headers=headers, messages=messages, http_version=version
        )
        assert await Bodies().read(exchange.scope, exchange.receive, exchange.send) is None
        return exchange

    with caplog.at_level(logging.INFO, "serving.http.body"):
        exchange = run(main())
    given = dict(exchange.headers)
    assert exchange.status == status
    assert exchange.body.decode() == f"{says}\n"
    assert exchange.ended
    assert given["content-type"] == "text/plain; charset=utf-8"
    assert given["content-length"] == str(len(exchange.body))
    assert given["cache-control"] == "no-store"
    assert given["x-content-type-options"] == "nosniff"
    assert given.get("connection") == (None if version == "2" else "close")
    assert "retry-after" not in given
    records = [(record.levelno, record.getMessage()) for record in caplog.records]
    assert records == [(level, f"POST /tea: {logged}")]


def test_a_body_for_which_there_is_no_space_may_be_sent_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def main() -> Exchange:
        bodies = Bodies()
        assert bodies.disk.take(5_000_000)
        headers = length(2_900_000) | {"expect": "100-continue"}
        exchange = Exchange("/", "POST", headers=headers, messages=[*parts(2_900_000), LEFT])
        assert await bodies.read(exchange.scope, exchange.receive, exchange.send) is None
        assert bodies.disk.taken == 5_000_000
        return exchange

    exchange = run(main())
    assert exchange.received == 0, "it is not told to send"
    assert exchange.status == 503
    assert dict(exchange.headers)["retry-after"] == "5"
    assert exchange.body == b"Too many uploads at once; try again in a moment.\n"
    assert (
        "refused a body that takes 2900000 bytes of disk: open requests have 5000000 of BODY_SPACE, 6000000"
        in caplog.text
    )


@pytest.mark.parametrize(
    ("name", "memory", "disk"),
    [
        ("small", 3, 0),
        ("chunked", 3, 0),
        ("on disk", 0, 2_900_000),
        ("on disk, chunked", 0, 2_900_000),
        ("a form", 0, 5_800_000),  # Django copies its files
    ],
)
def test_an_open_body_takes_what_it_holds_and_gives_it_back_once(
    name: str, memory: int, disk: int
) -> None:
    headers, come, size = CASES[name]

    async def main() -> None:
        bodies = Bodies()
        exchange = Exchange("/", "POST", headers=headers, messages=come)
        body: Any = await bodies.read(exchange.scope, exchange.receive, exchange.send)
        assert (bodies.memory.taken, bodies.disk.taken) == (memory, disk)
        assert (body.size, body.on_disk) == (size, disk > 0)
        body.close()
        body.close()
        assert (bodies.memory.taken, bodies.disk.taken) == (0, 0)

    with override_settings(FILE_UPLOAD_MAX_MEMORY_SIZE=memory or 2_500_000):
        run(main())


@pytest.mark.parametrize("left", [2_900_000, 2_899_999])
def test_the_space_is_used_to_its_last_byte(left: int) -> None:
    async def main() -> int | None:
        bodies = Bodies()
        assert bodies.disk.take(6_000_000 - left)
        return await ask(bodies, length(2_900_000), [*parts(2_900_000), LEFT])

    assert run(main()) == (503 if left < 2_900_000 else 2_900_000)


@pytest.mark.parametrize(
    ("method", "headers", "version", "is_awaited"),
    [
        ("GET", {}, "1.1", False),
        ("TRACE", {}, "1.0", False),
        ("GET", length(3), "1.1", True),
        ("GET", CHUNKED, "1.1", True),
        ("GET", {}, "2", True),  # which announces no body
        ("POST", {}, "1.1", True),
    ],
)
def test_a_body_is_awaited_where_it_may_come(
    method: str, headers: dict[str, str], version: str, is_awaited: bool
) -> None:
    async def main() -> None:
        exchange = Exchange("/", method, b"tea", headers=headers, http_version=version)
        body = await Bodies().read(exchange.scope, exchange.receive, exchange.send)
        assert body
        assert (body.read(), exchange.received) == (b"tea" * is_awaited, int(is_awaited))

    run(main())


def test_ten_of_the_largest_bodies_may_be_open_unless_the_space_is_set() -> None:
    with override_settings(BODY_SPACE=None):
        assert Bodies().disk.size == 30_000_000
    assert Bodies().disk.size == 6_000_000


def test_a_small_body_goes_to_disk_where_the_others_have_the_memory() -> None:
    async def main() -> None:
        bodies = Bodies()
        assert bodies.memory.take(MEMORY - 2)
        exchange = Exchange("/", "POST", headers=length(3), messages=parts(3))
        body: Any = await bodies.read(exchange.scope, exchange.receive, exchange.send)
        with body:
            assert body.on_disk
            assert (bodies.memory.taken, bodies.disk.taken) == (MEMORY - 2, 3)
            assert body.read() == b"x" * 3

    run(main())


# Headers of a request whose body is refused, and whether the rest of the body is awaited.
RESTS: dict[str, tuple[dict[str, str], list[Message], bool]] = {
    "announced": (length(3_000_001), [], True),
    "announced to a proxy": (length(3_000_001) | {"x-forwarded-for": "10.0.0.1"}, [], False),
    "not yet sent": (length(3_000_001) | {"expect": "100-continue"}, [], False),
    "being sent": (CHUNKED | {"expect": "100-continue"}, parts(2_000_000, 2_000_000), True),
    "left": (length(5), [LEFT], False),
    "late": (length(5), [], False),
}


@pytest.mark.parametrize("name", RESTS)
def test_the_rest_of_a_refused_body_is_awaited_where_it_may_come(name: str) -> None:
    headers, come, is_awaited = RESTS[name]

    async def main() -> None:
        exchange = Exchange("/", "POST", headers=headers, messages=come)
        received = None

        async def receive() -> Message:
            nonlocal received
            if exchange.status:
                assert not exchange.ended
                assert exchange.body.startswith(b"The body of the request is larger than")
                received = exchange.body
            return await exchange.receive()

        assert await Bodies().read(exchange.scope, receive, exchange.send) is None
        assert (received is not None) == is_awaited
        assert exchange.ended
        assert received is None or received + b"\n" == exchange.body

    run(main())


@pytest.mark.parametrize(
    ("every", "parts_sent", "until"),
    [
        (1.0, 5, 4 + PAUSE),  # then no more comes
        (1.0, 1000, LINGER),
        (PAUSE + 0.5, 1000, PAUSE),
    ],
)
def test_a_refused_body_is_dropped_for_a_while(every: float, parts_sent: int, until: float) -> None:
    """The client sends a part every so many seconds, the first at once."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        exchange = Exchange(
            "/", "POST", headers=length(3_000_001), messages=parts(*[1] * parts_sent)
        )

        async def receive() -> Message:
            if exchange.received:
                await asyncio.sleep(every)
            return await exchange.receive()

        assert await Bodies().read(exchange.scope, receive, exchange.send) is None
        assert exchange.ended
        assert loop.time() == pytest.approx(until, abs=0.01)

    run(main())


def test_the_answer_ends_with_the_body_that_it_refuses() -> None:
    async def main() -> None:
        exchange = Exchange(
            "/", "POST", headers=length(3_000_001), messages=parts(1, 1, ended=True)
        )
        assert await Bodies().read(exchange.scope, exchange.receive, exchange.send) is None
        assert exchange.received == 3
        assert asyncio.get_running_loop().time() == 0

    run(main())


@pytest.mark.parametrize(("rate", "wanted"), [(3.2, 50), (3.3, 408)])
def test_a_body_may_take_long_if_it_comes_fast_enough(rate: float, wanted: int) -> None:
    """Here a byte comes every 0.3 seconds, so 4 bytes in BODY_TIMEOUT."""

    async def main() -> None:
        exchange = Exchange("/", "POST", headers=CHUNKED, messages=parts(*[1] * 50, ended=True))

        async def receive() -> Message:
            await asyncio.sleep(0.3)
            return await exchange.receive()

        body = await Bodies().read(exchange.scope, receive, exchange.send)
        assert (exchange.status or len(body.read() if body else b"")) == wanted

    with override_settings(BODY_TIMEOUT=1.25, BODY_MIN_RATE=rate):
        run(main())


def test_a_disk_that_is_missing_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> int | None:
        return await ask(Bodies(), length(2_900_000), [*parts(2_900_000), LEFT])

    with override_settings(FILE_UPLOAD_TEMP_DIR=tmp_path / "missing"):
        assert run(main()) == 507
    assert f"can't keep a body in {tmp_path / 'missing'}: No such file or directory" in caplog.text
    assert caplog.records[0].levelno == logging.ERROR


@pytest.mark.parametrize(("free", "wanted"), [(2_900_000, 2_900_000), (2_899_999, 507)])
@pytest.mark.parametrize("is_set", [True, False])
def test_a_body_is_kept_only_where_all_of_it_has_room(
    free: int, wanted: int, is_set: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    folder = str(tmp_path) if is_set else tempfile.gettempdir()
    free_of = {folder: SimpleNamespace(free=free)}
    monkeypatch.setattr(shutil, "disk_usage", free_of.__getitem__)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "none") if is_set else folder)

    async def main() -> int | None:
        return await ask(Bodies(), length(2_900_000), [*parts(2_000_000, 900_000), LEFT])

    with override_settings(FILE_UPLOAD_TEMP_DIR=tmp_path if is_set else None):
        assert run(main()) == wanted
    told = f"can't keep a body in {folder}: 2899999 bytes are free, and 2900000 wanted"
    assert (told in caplog.text) == (wanted == 507)


@contextmanager
def no_file_beyond(size: int) -> Iterator[None]:
    """As a disk that others fill."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("room", [1_000_000, 2_699_999])  # the last bytes may be in a buffer
def test_a_disk_that_fills_up_meanwhile_is_told(
    room: int, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> tuple[Exchange, int]:
        bodies = Bodies()
        exchange = Exchange(
            "/", "POST", headers=length(2_700_000), messages=[*parts(2_700_000), LEFT]
        )
        with no_file_beyond(room):
            assert await bodies.read(exchange.scope, exchange.receive, exchange.send) is None
        return exchange, bodies.disk.taken

    exchange, taken = run(main())
    assert exchange.status == 507
    assert exchange.body == b"The server has no room for the body of the request.\n"
    assert taken == 0
    assert f"can't keep a body in {tempfile.gettempdir()}: File too large" in caplog.text


def test_bodies_on_disk_take_little_memory() -> None:
    """A thousand of them with the buffer of Python 3.14 would fill a container."""

    async def main() -> None:
        with override_settings(FILE_UPLOAD_MAX_MEMORY_SIZE=10):
            bodies, opened = Bodies(), []
            await ask(bodies, length(20), parts(20))  # whatever is made once
            tracemalloc.start()
            for _ in range(10):
                exchange = Exchange("/", "POST", headers=length(20), messages=parts(20))
                opened.append(await bodies.read(exchange.scope, exchange.receive, exchange.send))
            size, _ = tracemalloc.get_traced_memory()
            tracemalloc.stop()
            for body in opened:
                assert body
                body.close()
            assert size / len(opened) < 50_000

    run(main())
