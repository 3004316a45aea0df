"""What is made of records of Django and Granian."""

import logging

import pytest
from serving.log.filters import (
    ClientErrorFilter,
    GranianErrorFilter,
    GranianLevelFilter,
    SqlFilter,
)

from tests.serving.log.records import as_json, record


@pytest.mark.parametrize(
    ("given", "level"), [(400, "WARNING"), (403, "WARNING"), (404, "INFO"), (500, "WARNING")]
)
def test_a_404_is_no_warning(given: int, level: str) -> None:
    shown = record("x", name="django.request", status_code=given)

    ClientErrorFilter().filter(shown)

    assert shown.levelname == level


def test_sql_is_shown_without_its_texts() -> None:
    sql = "SELECT 1 WHERE a = 'it''s' AND b = 7 AND c = 'x'"
    args = (0.1, sql, ("it's", 7, "x"), "default")
    shown = record("%.1f %s; args=%s; alias=%s", *args, sql=sql, params=args[2])

    SqlFilter().filter(shown)

    masked = "SELECT 1 WHERE a = '********' AND b = 7 AND c = '********'"
    assert shown.getMessage() == f"0.1 {masked}; args=['********', 7, '********']; alias=default"
    assert as_json(shown)["sql"] == masked

    many = record(
        "%.1f %s; args=%s; alias=%s", 0.1, "2 times", [("x", 1), ("y", 2)], "default", sql="2 times"
    )
    SqlFilter().filter(many)
    assert many.getMessage() == "0.1 2 times; args=['********', '********']; alias=default"


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
