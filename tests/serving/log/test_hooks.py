"""What is logged of errors that nobody can catch."""

import gc
import sys
import threading
from types import SimpleNamespace

import pytest
from serving.log.hooks import thread_failed, unraisable


def test_an_error_of_a_thread_is_logged_and_its_exit_is_not(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(threading, "excepthook", thread_failed)
    for target in (sys.exit, lambda: print(1 / 0)):
        thread = threading.Thread(target=target, name="tea")
        thread.start()
        thread.join()
    (record,) = caplog.records
    assert (record.levelname, record.getMessage()) == ("ERROR", "Exception in thread tea")
    assert record.exc_info
    assert record.exc_info[0] is ZeroDivisionError
    thread_failed(threading.ExceptHookArgs((ValueError, ValueError("tea"), None, None)))
    assert caplog.messages[1:] == ["Exception in a thread that has ended"]


class Careless:
    """What fails where nobody can catch it."""

    def __del__(self) -> None:
        raise ValueError("no tea")


def test_an_error_of_a_destructor_is_logged(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(sys, "unraisablehook", unraisable)
    Careless()
    gc.collect()
    (record,) = caplog.records
    assert record.levelname == "ERROR"
    assert "Careless.__del__" in record.getMessage()
    assert record.exc_info
    assert record.exc_info[0] is ValueError
    assert str(record.exc_info[1]) == "no tea"
    assert record.exc_info[2]


@pytest.mark.parametrize(
    ("message", "where", "shown"),
    [
        ("Exception ignored on tea", None, "Exception ignored on tea"),
        (None, "a cup", "Exception ignored in: 'a cup'"),
        ("Exception ignored on tea", 0, "Exception ignored on tea: 0"),
    ],
)
def test_an_error_is_said_to_be_where_python_says(
    caplog: pytest.LogCaptureFixture, message: str | None, where: object, shown: str
) -> None:
    error = {"exc_type": ValueError, "exc_value": ValueError("no"), "exc_traceback": None}
    unraisable(SimpleNamespace(err_msg=message, object=where, **error))
    assert caplog.messages == [shown]
