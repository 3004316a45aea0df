"""Faults of event loops and of asgiref."""

import asyncio
import gc
import os
import signal
import weakref
from concurrent.futures import ThreadPoolExecutor

import pytest
import rloop
import uvloop
from asgiref.sync import SyncToAsync, ThreadSensitiveContext, sync_to_async

from tests.serving.upstream import works_around

# rloop closes sockets of its own behind Python's back, which says that they are unclosed.
unclosed = pytest.mark.filterwarnings("ignore:.*socket.*:pytest.PytestUnraisableExceptionWarning")


def heard(loop):
    """How many of two signals a loop's handler hears: one while it does not run, and one while it does."""
    told = []

    async def second():
        signal.raise_signal(signal.SIGUSR1)
        async with asyncio.timeout(30):
            await some.wait()
        await asyncio.sleep(0.01)

    some = asyncio.Event()
    loop.add_signal_handler(signal.SIGUSR1, lambda: (told.append(1), some.set()))
    loop.run_until_complete(asyncio.sleep(0))
    signal.raise_signal(signal.SIGUSR1)
    loop.run_until_complete(second())
    loop.close()
    return len(told)


@works_around(
    "uvloop", "v0.22.1/uvloop/loop.pyx#L333-L353", "set_loop_signals, once rloop is fixed too"
)
def test_uvloop_loses_a_signal():
    assert heard(asyncio.new_event_loop()) == 2
    assert heard(uvloop.new_event_loop()) == 1


@unclosed
@works_around(
    "rloop", "v0.5.0/rloop/loop.py#L1060-L1070", "set_loop_signals, once uvloop is fixed too"
)
def test_rloop_loses_a_signal():
    assert heard(rloop.new_event_loop()) == 1


@unclosed
@works_around("rloop", "v0.5.0/rloop/exc.py#L52", "the `*given` of the exception handler")
def test_rloop_gives_an_exception_handler_no_loop():
    given, loop = [], rloop.new_event_loop()
    loop.set_exception_handler(lambda *arguments: given.append(arguments))
    loop.call_exception_handler({"message": "x"})
    loop.close()
    assert given == [({"message": "x"},)]


@works_around("rloop", "v0.5.0/rloop/loop.py#L980-L986", "close_once")
def test_rloop_leaves_to_python_what_it_has_closed():
    loop, pair = rloop.new_event_loop(), []

    async def note():
        pair.extend([loop._ssock_r, loop._ssock_w])

    loop.run_until_complete(note())
    loop.close()
    for each in pair:
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(each.fileno())
        each.detach()


# asgiref


@works_around("asgiref", "3.13.0/asgiref/sync.py#L517-L524", "two attributes in one_thread")
def test_a_task_that_outlives_its_context_is_refused():
    async def outlive():
        over = asyncio.Event()

        async def late():
            await over.wait()
            await sync_to_async(int)()

        async with ThreadSensitiveContext(executor=executor):
            task = asyncio.create_task(late())
        over.set()
        await task

    with ThreadPoolExecutor(1) as executor, pytest.raises(RuntimeError, match="has exited"):
        asyncio.run(outlive())


@works_around(
    "asgiref", "3.13.0/asgiref/sync.py#L626-L633", "the task in which _stream_and_close closes"
)
def test_an_exception_is_left_in_a_cycle():
    class Error(Exception):
        pass

    async def is_left(call):
        try:
            raise Error
        except Error as error:
            found = weakref.ref(error)
            await call()
        return found() is not None

    gc.disable()
    try:
        assert not asyncio.run(is_left(lambda: asyncio.to_thread(int)))
        assert asyncio.run(is_left(sync_to_async(int)))
    finally:
        gc.enable()


@works_around("asgiref", "3.13.0/asgiref/sync.py#L621-L624", "or correct bind_to_loop")
def test_a_thread_is_told_of_its_loop_by_three_private_attributes():
    found = asyncio.run(sync_to_async(lambda: set(vars(SyncToAsync.threadlocal)))())
    assert found == {"main_event_loop", "main_event_loop_pid", "task_context"}
