"""What is made of records of Django and Granian."""

import logging
from datetime import date

import pytest
from serving.http.body import Refused
from serving.log.filters import (
    ClientErrorFilter,
    GranianErrorFilter,
    GranianLevelFilter,
    OpenFilesFilter,
    SqlFilter,
    is_clients,
)

from tests.serving.log.records import as_json, record


@pytest.mark.parametrize(
    ("given", "name", "level", "traced"),
    [
        (400, "django.request", "WARNING", False),
        (404, "django.request", "INFO", False),
        (405, "django.request", "WARNING", False),
        (499, "django.request", "WARNING", False),
        (500, "django.request", "WARNING", True),
        (404, "teahouse", "WARNING", True),
        ("404", "django.request", "WARNING", True),
    ],
)
def test_a_404_is_no_warning_and_what_clients_do_wrong_has_no_traceback(
    caplog: pytest.LogCaptureFixture, given: object, name: str, level: str, traced: bool
) -> None:
    caplog.set_level(logging.INFO, name)
    shown = record("x", name=name, status_code=given, exc_info=(None, None, None))
    assert ClientErrorFilter().filter(shown)
    assert (shown.levelname, shown.levelno) == (level, getattr(logging, level))
    assert (shown.exc_info is not None) == traced


@pytest.mark.parametrize(
    ("name", "traced"), [("django.request", True), ("django.security.DisallowedHost", False)]
)
def test_a_traceback_can_be_asked_for(
    caplog: pytest.LogCaptureFixture, name: str, traced: bool
) -> None:
    caplog.set_level(logging.DEBUG, name)
    shown = record("x", name=name, status_code=400, exc_info=(None, None, None))
    assert ClientErrorFilter().filter(shown)
    assert (shown.exc_info is not None) == traced


@pytest.mark.parametrize(
    ("given", "level"), [(507, "ERROR"), (503, "ERROR"), (413, "WARNING"), (400, "WARNING")]
)
def test_what_the_server_has_no_room_for_is_its_own_error(given: int, level: str) -> None:
    """Django logs a BadRequest, which a client can do something about."""
    error = Refused(given, "There is no room.", "the disk is full")
    traced = (Refused, error, None)
    shown = record("full", name="django.request", status_code=400, exc_info=traced)
    assert ClientErrorFilter().filter(shown)
    assert (shown.levelname, shown.levelno) == (level, getattr(logging, level))
    assert shown.exc_info is None
    assert is_clients(shown) == (given < 500)


def test_a_404_is_left_out_where_info_is(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "django.request")
    assert not ClientErrorFilter().filter(record("x", name="django.request", status_code=404))
    assert ClientErrorFilter().filter(record("x", name="django.request", status_code=405))


def test_too_many_open_files_come_with_what_to_do() -> None:
    shown = record("accept: %s", "Too many open files (os error 24)", name="_granian.workers")
    assert OpenFilesFilter().filter(shown)
    assert shown.getMessage().startswith("accept: Too many open files (os error 24): raise the")
    other = record("accept: %s", "Connection reset")
    assert OpenFilesFilter().filter(other)
    assert other.getMessage() == "accept: Connection reset"


def test_sql_is_shown_without_its_texts() -> None:
    sql = "SELECT 1 WHERE a = 'it''s' AND b = 7 AND c = 'x'"
    args = (0.1, sql, ("it's", 7, "x"), "default")
    shown = record("%.1f %s; args=%s; alias=%s", *args, sql=sql, params=args[2])

    assert SqlFilter().filter(shown)
    masked = "SELECT 1 WHERE a = '********' AND b = 7 AND c = '********'"
    assert shown.getMessage() == f"0.1 {masked}; args=['********', 7, '********']; alias=default"
    assert as_json(shown)["sql"] == masked
    assert as_json(shown)["params"] == ["********", 7, "********"]
    many = record(
        "%.1f %s; args=%s; alias=%s", 0.1, "2 times", [("x", 1), ("y", 2)], "default", sql="2 times"
    )
    SqlFilter().filter(many)
    assert many.getMessage() == "0.1 2 times; args=['********', '********']; alias=default"


def test_what_is_no_text_is_shown_of_a_query() -> None:
    params = (1, 2.5, date(2026, 5, 1), None, b"x")
    shown = record("%.1f %s; args=%s", 0.1, "SELECT 1", params, sql="SELECT 1")
    SqlFilter().filter(shown)
    assert vars(shown)["params"] == [*params[:4], "********"]
    none = record("%.1f %s; args=%s", 0.1, "SELECT 1", None, sql="SELECT 1")
    SqlFilter().filter(none)
    assert none.getMessage() == "0.1 SELECT 1; args=[]"
    other = record("no SQL: %s", "'x'")
    assert SqlFilter().filter(other)
    assert other.getMessage() == "no SQL: 'x'"


def test_what_changes_a_schema_is_shown_without_its_texts() -> None:
    sql = "ALTER TABLE tea ADD COLUMN kind text DEFAULT 'oolong'"
    shown = record("%s; (params %r)", sql, ["x", 7], sql=sql, params=["x", 7])

    SqlFilter().filter(shown)

    assert shown.getMessage().endswith("DEFAULT '********'; (params ['********', 7])")


GRANIANS = """Application callable raised an exception
Traceback (most recent call last):
  File "a.py", line 1, in a
KeyError: 'tea'

During handling of the above exception, another exception occurred:

Traceback (most recent call last):
  File "b.py", line 1, in b
    raise Odd("two\\nlines")
"""


@pytest.mark.parametrize(
    ("last", "error", "text"),
    [
        ("teahouse.views.Odd: two\nlines: of text", "teahouse.views.Odd", "two\nlines: of text"),
        ("ValueError", "ValueError", ""),
        ("teahouse.views.buy.<locals>.Odd: x", "teahouse.views.buy.<locals>.Odd", "x"),
        ("ValueError\n", "ValueError", ""),
    ],
)
def test_an_error_that_granian_logs_is_taken_apart(last: str, error: str, text: str) -> None:
    shown = record(f"{GRANIANS}{last}".replace("%", "%%"), name="_granian.utils")
    assert GranianErrorFilter().filter(shown)

    fields = as_json(shown)
    assert fields["message"] == "Application callable raised an exception"
    assert str(fields["error.stack_trace"]).startswith("Traceback (most recent call last):\n  File")
    assert str(fields["error.stack_trace"]).endswith(last.rstrip())
    assert (fields["error.type"], fields["error.message"]) == (error, text)

    other = record("Connection closed: %s", "x", name="_granian.utils")
    assert GranianErrorFilter().filter(other)
    assert as_json(other)["message"] == "Connection closed: x"


def test_the_main_process_takes_its_level_whatever_else_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("LOG_LEVELS", "granian.access=debug, _granian = error,only.here=info")
    assert GranianLevelFilter().level == logging.ERROR


@pytest.mark.parametrize(
    ("levels", "shown"),
    [(None, True), ("_granian=loud", True), ("_granian=Warning", True), ("_granian=error", False)],
)
def test_the_main_process_shows_what_its_level_lets_pass(
    monkeypatch: pytest.MonkeyPatch, levels: str | None, shown: bool
) -> None:
    monkeypatch.delenv("LOG_LEVELS", raising=False)
    if levels:
        monkeypatch.setenv("LOG_LEVELS", levels)
    assert GranianLevelFilter().filter(record("a warning", name="_granian")) is shown
