"""What is left of a body when its request is over: no garbage for the collector, and nothing taken."""

import asyncio
import gc
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.test import override_settings
from serving.http.body import Bodies

from tests.serving.client import Exchange, Message, body_messages

CHUNKED = {"transfer-encoding": "chunked"}
FORM = {"content-type": "multipart/form-data; boundary=tea"}
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

    assert asyncio.run(main()) == 0


REFUSED = {
    "too large": (413, b"large"),
    "left": (400, b""),
    "late": (408, b""),
}


@pytest.mark.parametrize("version", ["1.1", "2"])
@pytest.mark.parametrize("name", REFUSED)
def test_a_refusal_is_a_whole_answer_that_nobody_keeps(name: str, version: str) -> None:
    headers, come, _ = CASES[name]
    status, says = REFUSED[name]

    async def main() -> Exchange:
        exchange = Exchange(
            "/", "POST", headers=headers, messages=[*come, LEFT], http_version=version
        )
        if name == "late":
            exchange = Exchange("/", "POST", headers=headers, messages=come, http_version=version)
        assert await Bodies().read(exchange.scope, exchange.receive, exchange.send) is None
        return exchange

    exchange = asyncio.run(main())
    given = dict(exchange.headers)
    assert exchange.status == status
    assert says in exchange.body
    assert exchange.body.endswith(b"\n")
    assert exchange.ended
    assert given["content-type"] == "text/plain; charset=utf-8"
    assert given["content-length"] == str(len(exchange.body))
    assert given["cache-control"] == "no-store"
    assert given["x-content-type-options"] == "nosniff"
    assert given.get("connection") == ("close" if version == "1.1" else None)
    assert "retry-after" not in given


def test_a_body_for_which_there_is_no_space_may_be_sent_again() -> None:
    async def main() -> Exchange:
        bodies = Bodies()
        assert bodies.disk.take(5_000_000)
        exchange = Exchange(
            "/", "POST", headers=length(2_900_000), messages=[*parts(2_900_000), LEFT]
        )
        assert await bodies.read(exchange.scope, exchange.receive, exchange.send) is None
        assert bodies.disk.taken == 5_000_000
        return exchange

    exchange = asyncio.run(main())
    assert exchange.status == 503
    assert dict(exchange.headers)["retry-after"] == "5"
    assert exchange.body == b"Too many uploads at once; try again in a moment.\n"


def test_a_disk_that_is_full_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> int | None:
        return await ask(Bodies(), length(2_900_000), [*parts(2_900_000), LEFT])

    with override_settings(FILE_UPLOAD_TEMP_DIR=tmp_path / "missing"):
        assert asyncio.run(main()) == 507
    assert f"can't keep a body in {tmp_path / 'missing'}: No such file or directory" in caplog.text
