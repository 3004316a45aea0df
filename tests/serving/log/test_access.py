"""The access log: by Granian's records, and by lines that are held."""

import asyncio
import logging
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from granian import asgi as granian_asgi
from serving.log.access import (
    ACCESS,
    AccessFilter,
    build_logger,
    hold_requests,
    only_stdout,
)
from serving.log.context import request_id
from serving.log.output import HELD_SECONDS, LogHandler
from serving.log.redaction import HIDDEN

from tests.serving.log.records import access_record, as_json, record, written


def test_a_request_is_taken_apart(own_id: str) -> None:
    shown = access_record()
    assert AccessFilter().filter(shown)
    fields = as_json(shown)

    assert fields["message"] == "GET /tea"
    assert fields["http.request.method"] == "GET"
    assert fields["url.path"] == "/tea"
    assert fields["client.address"] == "127.0.0.1"
    assert fields["http.response.status_code"] == 200
    assert fields["url.query"] == "milk=1&token=********"
    assert fields["event.duration"] == 1_500_000
    assert fields["duration_ms"] == 1.5
    assert fields["http.request.id"] == own_id


def test_probes_are_left_out_of_the_access_log_unless_asked_for() -> None:
    assert not AccessFilter().filter(access_record(path="/livez"))
    assert AccessFilter(probes=True).filter(access_record(path="/livez"))
    assert AccessFilter().filter(access_record())
    assert AccessFilter().filter(record("GET", {"path": "/livez"}))
    assert AccessFilter().filter(record("%s is no request", "tea", name=ACCESS))


def test_probes_lie_below_the_path_of_the_site() -> None:
    below = AccessFilter(prefix="/app")
    assert not below.filter(access_record(path="/app/readyz"))
    assert below.filter(access_record(path="/readyz"))


def test_a_query_string_is_shown_without_secrets_or_not_at_all() -> None:
    shown = access_record()
    AccessFilter().filter(shown)
    assert as_json(shown)["url.query"] == "milk=1&token=********"

    shown.msg = "%(path)s?%(query_string)s"
    assert shown.getMessage() == "/tea?milk=1&token=********"

    shown = access_record()
    AccessFilter(query=False).filter(shown)
    assert "url.query" not in as_json(shown)


MESSAGE = "%(method)s %(path)s %(status)d"


SCOPE = {
    "type": "http",
    "method": "GET",
    "path": "/tea",
    "query_string": b"milk=1",
    "client": ("127.0.0.1", 1),
    "scheme": "http",
    "http_version": "1.1",
}


def only(stdout: LogHandler, monkeypatch: pytest.MonkeyPatch) -> None:
    """Leaves the root logger no other handler; for a test's body, for pytest adds its own before it."""
    monkeypatch.setattr(logging.getLogger(), "handlers", [stdout])
    logging.getLogger(ACCESS).setLevel(logging.INFO)


def no_records(format_: str) -> Callable[..., None]:
    """What Granian makes of a format, in a test that must not need it."""
    return lambda began, clock, scope, status: pytest.fail("a record of Granian's")


def test_a_request_that_is_held_has_the_fields_of_its_record(
    stdout: LogHandler, monkeypatch: pytest.MonkeyPatch, own_id: str
) -> None:
    only(stdout, monkeypatch)
    log = build_logger(no_records, MESSAGE)

    clock = SimpleNamespace(perf_counter=lambda: 10.5)
    monkeypatch.setattr("serving.log.access.time", clock)

    async def requests() -> None:
        log(0.25, 10.0, SCOPE | {"query_string": b"milk=1&token=abc&leaf=\xe9"}, 200)
        log(0.25, 10.0, SCOPE | {"path": "/livez"}, 200)
        log(0.25, 10.0, {name: SCOPE[name] for name in SCOPE if name != "method"}, 101)

    asyncio.run(requests())
    request_id.set("another")
    stdout.flush()
    shown = access_record(dt_ms=500.0, query_string="milk=1&token=abc&leaf=é")
    shown.created, shown.levelname, shown.msg = 0.75, "INFO", MESSAGE
    AccessFilter().filter(shown)
    found, of_a_websocket = written(stdout)
    assert found == as_json(shown) | {"http.request.id": own_id}
    assert of_a_websocket["message"] == "- /tea 101"


def test_requests_are_held_only_where_nothing_else_could_want_their_records(
    stdout: LogHandler, monkeypatch: pytest.MonkeyPatch
) -> None:
    only(stdout, monkeypatch)
    root = logging.getLogger()
    own = logging.getLogger(ACCESS)
    assert only_stdout() is stdout

    changes: tuple[Callable[[pytest.MonkeyPatch], None], ...] = (
        lambda m: m.setattr(root, "handlers", [stdout, logging.NullHandler()]),
        lambda m: m.setattr(own, "handlers", [logging.NullHandler()]),
        lambda m: m.setattr(own, "filters", [logging.Filter()]),
        lambda m: m.setattr(own, "propagate", False),
        lambda m: m.setattr(own, "parent", logging.getLogger("teahouse")),
        lambda m: m.setattr(stdout, "level", logging.WARNING),
        lambda m: m.setattr(own, "level", logging.WARNING),
    )
    for change in changes:
        with monkeypatch.context() as changed:
            change(changed)
            own._cache.clear()  # type: ignore[attr-defined]  # of levels
            assert only_stdout() is None
    own._cache.clear()  # type: ignore[attr-defined]
    stdout.setLevel(logging.INFO)
    assert only_stdout() is stdout
    monkeypatch.setattr(root, "handlers", [stdout, logging.Handler(logging.ERROR)])
    assert only_stdout() is stdout, "the other one gets errors alone"


def test_where_others_listen_granians_own_gets_all_that_it_needs(
    stdout: LogHandler, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger(), "handlers", [stdout, logging.NullHandler()])
    given: list[object] = []
    log = build_logger(
        lambda format_: (
            lambda began, clock, scope, status: given.append((format_, began, clock, scope, status))
        ),
        MESSAGE,
    )
    log(0.25, 7.5, SCOPE, 404)
    assert given == [(MESSAGE, 0.25, 7.5, SCOPE, 404)]


@pytest.mark.parametrize(
    ("format_", "wanted"),
    [
        (
            "%(path)s by %(header{User-Agent})s with %(header{Cookie})s %(header{ X-Key })s",
            f"%(path)s by %(header{{User-Agent}})s with {HIDDEN} {HIDDEN}",
        ),
        (None, ""),  # no access log is wanted
    ],
    ids=["headers", "none"],
)
def test_granian_is_not_asked_for_a_header_that_is_secret(format_: str | None, wanted: str) -> None:
    given: list[str] = []

    def granians(format_: str) -> Callable[..., None]:
        given.append(format_)
        return no_records(format_)

    build_logger(granians, format_)
    assert given == [wanted]


@pytest.mark.parametrize(
    ("format_", "message"),
    [
        (MESSAGE, "GET /tea 200"),
        ("%(method)s %(path)s by %(protocol)s", "GET /tea by HTTP/1.1"),
    ],
    ids=["held", "more than is held"],
)
def test_granian_logs_through_it_whatever_the_format(
    stdout: LogHandler,
    monkeypatch: pytest.MonkeyPatch,
    format_: str,
    message: str,
) -> None:
    only(stdout, monkeypatch)
    # Where Granian has it no more, hold_requests() does nothing, and can be deleted.
    asgi: Any = granian_asgi
    monkeypatch.setattr(asgi, "_build_access_logger", asgi._build_access_logger)
    hold_requests()

    async def two_requests() -> None:
        log = asgi._build_access_logger(format_)
        log(0.25, time.perf_counter(), SCOPE, 200)
        log(0.25, time.perf_counter(), SCOPE, 200)
        assert len(stdout.held) == (2 if format_ == MESSAGE else 0)
        await asyncio.sleep(2 * HELD_SECONDS)  # the loop keeps the order of what is due

    asyncio.run(two_requests())
    assert [line["message"] for line in written(stdout)] == [message] * 2
    assert {line["url.path"] for line in written(stdout)} == {"/tea"}


def test_granians_own_way_stays_where_it_calls_another_function(
    stdout: LogHandler, monkeypatch: pytest.MonkeyPatch
) -> None:
    only(stdout, monkeypatch)
    asgi: Any = granian_asgi

    def as_of_a_later_version(format_: str) -> Callable[..., str]:
        return lambda began, scope: f"{began} {scope}"

    monkeypatch.setattr(asgi, "_build_access_logger", as_of_a_later_version)
    hold_requests()
    assert asgi._build_access_logger(MESSAGE)(1, 2) == "1 2"

    def with_more(format_: str, colour: bool) -> None:
        """Of one, too."""

    monkeypatch.setattr(asgi, "_build_access_logger", with_more)
    hold_requests()
    assert asgi._build_access_logger is with_more

    monkeypatch.delattr(asgi, "_build_access_logger")
    hold_requests()
    assert not hasattr(asgi, "_build_access_logger")
