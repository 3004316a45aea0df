"""The id of a request in the threads, tasks and futures that it leaves behind."""

import asyncio
import logging
import threading
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.db import connection, connections
from serving.log.context import carry_context, log_unhandled, request_id


@pytest.fixture
def ids() -> Iterator[list[str | None]]:
    """The request ids that asyncio's records are logged with."""
    found: list[str | None] = []

    def note(record: logging.LogRecord) -> bool:
        found.append(request_id.get())
        return True

    logger = logging.getLogger("asyncio")
    logger.addFilter(note)
    yield found
    logger.removeFilter(note)


def brew(leaf: str, *more: str, cups: int = 1) -> tuple[Any, ...]:
    """What runs in a thread, and what it sees there."""
    return leaf, *more, cups, request_id.get(), threading.current_thread().name


def test_a_thread_of_the_loop_knows_the_request_of_its_caller(own_id: str) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        carry_context(loop)
        seen = await loop.run_in_executor(None, brew, "green", "black")
        assert seen == ("green", "black", 1, own_id, "asyncio_0")
        executor: Any = loop._default_executor  # type: ignore[attr-defined]
        assert executor.submit(brew, "green", cups=2).result()[:2] == ("green", 2)

    asyncio.run(main())


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("fails", [False, True])
def test_a_thread_of_the_loop_keeps_no_connection(own_id: str, fails: bool) -> None:
    """Nobody would look after it: once it were broken, each error page of an async view would fail."""
    opened: list[Any] = []

    def query() -> None:
        connection.ensure_connection()
        opened.append(connections["default"])
        if fails:
            raise LookupError

    async def main() -> None:
        carry_context(asyncio.get_running_loop())
        with suppress(LookupError):
            await sync_to_async(query, thread_sensitive=False)()

    asyncio.run(main())
    assert [each.connection for each in opened] == [None]


def test_what_an_app_has_set_stays_where_a_loop_is_prepared_again() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        carry_context(loop)
        assert loop.get_exception_handler() is log_unhandled
        own = lambda loop, happened: None  # noqa: E731
        loop.set_exception_handler(own)
        carry_context(loop)
        assert loop.get_exception_handler() is own

    asyncio.run(main())


@pytest.mark.parametrize("of", ["task", "future", None])
def test_what_nobody_retrieved_is_logged_with_the_id_of_its_request(
    own_id: str, ids: list[str | None], caplog: pytest.LogCaptureFixture, of: str | None
) -> None:
    """A task knows its request. A future does not, and dies in any; all else happens where it is said."""
    error = ValueError("no tea")

    async def main() -> None:
        task = asyncio.create_task(asyncio.sleep(0), name="green")
        await task
        request_id.set("another")
        left = {"task": task, "future": task.get_loop().create_future(), None: 7}[of]
        log_unhandled({"message": "never retrieved", "exception": error, of or "cups": left})

    asyncio.run(main())
    assert ids == [{"task": own_id, "future": None, None: "another"}[of]]
    (record,) = caplog.records
    assert record.levelname == "ERROR"
    first, second = record.getMessage().splitlines()
    assert (first, second.split(":")[0]) == ("never retrieved", of or "cups")
    assert record.exc_info
    assert record.exc_info[1] is error


def test_a_loop_may_say_little(caplog: pytest.LogCaptureFixture) -> None:
    happened = {"cups": "two"}
    log_unhandled(object(), happened)
    assert caplog.messages == ["Unhandled exception in event loop\ncups: 'two'"]
    assert caplog.records[0].exc_info is None
    assert happened == {"cups": "two"}
