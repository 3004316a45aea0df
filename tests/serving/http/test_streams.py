"""Clients that do not read, while the event loop stands still and while it does not."""

import asyncio
import time
from typing import Any

import pytest
from django.core.exceptions import RequestAborted
from serving.http import streams
from serving.http.streams import PatientSend
from serving.http.thread_pool import pool

from tests.serving.client import Message
from tests.serving.timeless import Timeless

SCOPE = {"method": "GET", "path": "/tea/"}


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "SLOW", 0.1)


async def send(*, keeps_thread: bool, stands_still: float = 0, reads: bool = False) -> None:
    """Sends one part to a client, which reads it when the loop has stood still for some seconds."""
    read = asyncio.Event()

    async def wait(message: Message) -> None:
        await read.wait()

    sending = asyncio.create_task(PatientSend(wait, SCOPE, 0.2, keeps_thread=keeps_thread)({}))
    await asyncio.sleep(0)
    time.sleep(stands_still)  # noqa: ASYNC251
    if reads:
        asyncio.get_running_loop().call_later(0.01, read.set)
    await sending


@pytest.mark.parametrize("keeps_thread", [False, True])
@pytest.mark.parametrize("stands_still", [0, 0.5])
def test_a_client_that_does_not_read_is_given_up(keeps_thread: bool, stands_still: float) -> None:
    with pytest.raises(RequestAborted):
        asyncio.run(send(keeps_thread=keeps_thread, stands_still=stands_still))
    assert PatientSend.kept == 0


@pytest.mark.parametrize("kept", [0, 1])
@pytest.mark.parametrize("keeps_thread", [False, True])
def test_a_client_that_read_while_the_loop_stood_still_is_not(
    keeps_thread: bool, kept: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "_bound", 2)
    monkeypatch.setattr(PatientSend, "kept", kept)  # of one that may be
    asyncio.run(send(keeps_thread=keeps_thread, stands_still=0.5, reads=True))
    assert PatientSend.kept == kept


def test_each_part_is_sent_and_others_have_a_turn() -> None:
    sent: list[Any] = []

    async def note(message: Message) -> None:
        sent.append(message)

    async def main() -> None:
        for keeps_thread in (False, True):
            send = PatientSend(note, SCOPE, 10, keeps_thread=keeps_thread)
            asyncio.get_running_loop().call_soon(sent.append, "turn")
            await send({"type": "http.response.body"})
        assert asyncio.get_running_loop().time() == 0

    asyncio.run(main(), loop_factory=Timeless)
    assert sent == [{"type": "http.response.body"}, "turn"] * 2


@pytest.mark.parametrize(
    ("bound", "clients", "ended"),
    [(8, 4, 0), (8, 6, 2), (3, 2, 1), (1, 1, 0), (1, 2, 1)],
)
def test_clients_that_do_not_read_keep_half_of_the_threads(
    bound: int, clients: int, ended: int, monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    """The others are given up at once, and these when SEND_TIMEOUT is over."""
    monkeypatch.setattr(pool, "_bound", bound)

    async def never(message: Message) -> None:
        await asyncio.Event().wait()

    async def main() -> None:
        loop = asyncio.get_running_loop()
        sends = [PatientSend(never, SCOPE, 60, keeps_thread=True) for _ in range(clients)]
        sending = [asyncio.create_task(send({})) for send in sends]
        await asyncio.sleep(30)
        assert sum(task.done() for task in sending) == ended
        assert PatientSend.kept == clients - ended
        results = await asyncio.gather(*sending, return_exceptions=True)
        assert {type(result) for result in results} == {RequestAborted}
        assert loop.time() == pytest.approx(60)

    asyncio.run(main(), loop_factory=Timeless)
    assert PatientSend.kept == 0
    said = "GET /tea/: ended, since its client "
    crowded = f"{said}does not read and half of SERVING_THREADS wait for others like it"
    late = f"{said}has read nothing for 60 s (SEND_TIMEOUT)"
    assert caplog.messages == [crowded] * ended + [late] * (clients - ended)
