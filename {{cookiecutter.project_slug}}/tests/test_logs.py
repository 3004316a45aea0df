"""The JSON format: one object a line, named as the Elastic Common Schema does."""

import json
import logging
import sys

import pytest

from serving.logs import formatter


def formatted(record: logging.LogRecord) -> dict[str, object]:
    line = formatter().format(record)
    assert "\n" not in line
    fields: dict[str, object] = json.loads(line)
    return fields


@pytest.fixture(autouse=True)
def json_format(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOG_FORMAT", "json")


def test_a_record_has_the_schemas_fields() -> None:
    record = logging.LogRecord("home", logging.WARNING, __file__, 1, "tea is %s", ("cold",), None)
    record.created = 0.25

    fields = formatted(record)

    assert fields == {
        "@timestamp": "1970-01-01T00:00:00.250+00:00",
        "log.level": "WARNING",
        "log.logger": "home",
        "message": "tea is cold",
        "process.pid": record.process,
    }


def test_a_traceback_stays_on_one_line() -> None:
    try:
        raise ValueError("no tea")
    except ValueError:
        record = logging.LogRecord("home", 40, __file__, 1, "failed", (), sys.exc_info())

    assert "ValueError: no tea" in str(formatted(record)["error.stack_trace"])


def test_a_request_is_taken_apart() -> None:
    atoms = {
        "addr": "127.0.0.1",
        "time": "",
        "dt_ms": 1.5,
        "status": 200,
        "path": "/tea",
        "query_string": "milk=1",
        "method": "GET",
        "scheme": "http",
        "protocol": "HTTP/1.1",
    }
    record = logging.LogRecord(
        "granian.access", 20, __file__, 1, "%(method)s %(path)s", (atoms,), None
    )

    fields = formatted(record)

    assert fields["message"] == "GET /tea"
    assert fields["http.response.status_code"] == 200
    assert fields["url.query"] == "milk=1"
    assert fields["event.duration"] == 1_500_000


def test_console_is_for_people(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOG_FORMAT", "console")
    record = logging.LogRecord("home", logging.INFO, __file__, 1, "hello", (), None)

    assert formatter().format(record).endswith("INFO     home: hello")
