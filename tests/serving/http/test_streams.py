"""Clients that do not read, while the event loop stands still and while it does not."""

import asyncio
import time

import pytest
from django.core.exceptions import RequestAborted
from serving.http import streams
from serving.http.streams import PatientSend
from serving.http.thread_pool import pool

from tests.serving.client import Message

SCOPE = {"method": "GET", "path": "/"}


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
