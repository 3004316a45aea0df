"""The log's formats and filters, without a server."""

import asyncio
import json
import logging
import os
import re
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from enum import Enum
from importlib import import_module
from io import StringIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest
from granian import asgi as granian_asgi
from serving.http.request_id import identify
from serving.log import access, batching, filters, formats, levels, output, redaction
from serving.log.context import request_id
from serving.log.stdout import HELD_SECONDS, Stdout
from serving.process import flags


def record(
    message: str, *args: object, name: str = "teahouse", **more: object
) -> logging.LogRecord:
    made = logging.LogRecord(name, logging.WARNING, __file__, 1, message, args, None)
    made.__dict__.update(more)
    return made


def access_record(**more: object) -> logging.LogRecord:
    """A record as Granian makes it, whose parts are its arguments."""
    atoms = {
        "addr": "127.0.0.1",
        "time": "",
        "dt_ms": 1.5,
        "status": 200,
        "path": "/tea",
        "query_string": "milk=1&token=abc",
        "method": "GET",
        "scheme": "http",
        "protocol": "HTTP/1.1",
        **more,
    }
    return record("%(method)s %(path)s", atoms, name="granian.access")


def as_json(shown: logging.LogRecord) -> dict[str, object]:
    line = formats.EcsFormatter().format(shown)
    assert len(line.splitlines()) == 1
    fields: dict[str, object] = json.loads(line)
    return fields


def failed(message: str) -> logging.LogRecord:
    try:
        raise ValueError(message)
    except ValueError:
        return record("failed", exc_info=sys.exc_info())


@pytest.fixture
def own_id() -> Iterator[str]:
    """This code runs for a request with this id."""
    token = request_id.set("order-7")
    yield "order-7"
    request_id.reset(token)


def test_a_record_has_the_schemas_fields(own_id: str) -> None:
    shown = record("tea is %s", "cold", created=0.25, msecs=250.0, cup=2, request=object())

    assert as_json(shown) == {
        "@timestamp": "1970-01-01T00:00:00.250Z",
        "log.level": "WARNING",
        "log.logger": "teahouse",
        "message": "tea is cold",
        "process.pid": shown.process,
        "http.request.id": own_id,
        "cup": 2,
    }


def test_an_error_is_taken_apart_and_stays_on_one_line() -> None:
    fields = as_json(failed("no tea"))

    assert fields["error.type"] == "ValueError"
    assert fields["error.message"] == "no tea"
    assert str(fields["error.stack_trace"]).endswith("\nValueError: no tea")


def test_a_request_is_taken_apart(own_id: str) -> None:
    shown = access_record()
    assert access.AccessFilter().filter(shown)
    fields = as_json(shown)

    assert fields["message"] == "GET /tea"
    assert fields["http.response.status_code"] == 200
    assert fields["url.query"] == "milk=1&token=********"
    assert fields["event.duration"] == 1_500_000
    assert fields["duration_ms"] == 1.5
    assert fields["http.request.id"] == own_id


def test_whatever_ends_a_line_is_escaped_and_letters_are_not() -> None:
    bad = "a\x7f\r\n\x85\u2028\x9b\u202e\udc80 茶"

    assert as_json(record("%s", bad))["message"] == bad
    assert "\x7f" not in formats.EcsFormatter().format(record("\x7f"))
    assert "茶" in formats.EcsFormatter().format(record("%s", bad))
    line = formats.ConsoleFormatter().format(record("%s", bad))
    assert line.endswith(r"a\x7f\r\n\x85\u2028\x9b\u202e\udc80 茶")


class Mute:
    """What can't be shown."""

    def __str__(self) -> str:
        raise RuntimeError("no")

    __repr__ = __str__


class MuteError(Mute, Exception):
    """An error whose text is one."""


def test_fields_are_json_whatever_an_app_adds() -> None:
    nested = {"password": "abc", 7: [{"api_key": "abc"}, float("nan")], ("a", 1): b"x"}

    fields = as_json(record("paid", order=nested, rate=float("inf")))
    assert fields["order"] == {
        "password": "********",
        "7": [{"api_key": "********"}, None],
        "('a', 1)": "x",
    }
    assert fields["rate"] is None
    shown = record("")
    shown.msg = {7: "x", "password": "abc"}
    fields = as_json(shown)
    assert fields["7"] == "x"
    assert fields["password"] == "********"
    assert "{'7': 'x', 'password': '********'}" in formats.ConsoleFormatter().format(shown)


@dataclass
class Card:
    """What an app may add to a record as it stands."""

    owner: str
    card_token: str
    number: str = field(default="planted", repr=False)
    limit: float = float("inf")


class Hidden(Enum):
    """The same, as a constant."""

    BY_NAME = {"password": "planted"}  # noqa: RUF012


class Point(NamedTuple):
    """The same, as a tuple."""

    x: int
    api_key: str


def test_secrets_in_objects_are_hidden_by_their_names() -> None:
    fields = as_json(record("paid", card=Card("ada", "abc"), points=[Point(1, "abc")], odd={2}))

    assert fields["card"] == {"owner": "ada", "card_token": "********", "limit": None}
    assert fields["points"] == [{"x": 1, "api_key": "********"}]
    assert fields["odd"] == [2]


@pytest.mark.parametrize(
    "value",
    [
        [(b"host", b"tea"), (b"authorization", b"Bearer planted")],
        [("Set-Cookie", "sessionid=planted")],
        {"api_key": "planted"}.items(),
        {b"api_key": "planted"},
        {"privateKey": "planted"},
        {"dbPwd": "planted"},
        {"cf-access-jwt-assertion": "planted"},
        deque([{"accessKey": "planted"}]),
        SimpleNamespace(password="planted"),
        {"QUERY_STRING": "token=planted&a=1"},
        "/tea?token=planted'planted",
        Hidden.BY_NAME,
    ],
)
def test_a_secret_is_hidden_by_its_name_whatever_holds_it(value: object) -> None:
    fields = as_json(record("paid", what=value))

    assert "planted" not in str(fields)
    assert redaction.HIDDEN in str(fields["what"])


def test_what_an_app_adds_replaces_nothing_of_the_schema() -> None:
    forged: dict[str, Any] = {
        "@timestamp": "never",
        "log.level": "INFO",
        "log.logger": "x",
        "process.pid": -1,
    }
    shown = record("paid", created=0.25, **forged)

    fields = as_json(shown)
    assert fields["@timestamp"] == "1970-01-01T00:00:00.250Z"
    assert fields["log.level"] == "WARNING"
    assert fields["log.logger"] == "teahouse"
    assert fields["process.pid"] == shown.process


def test_an_error_without_a_text_is_shown() -> None:
    try:
        raise MuteError
    except MuteError:
        shown = record("failed", exc_info=sys.exc_info())

    fields = as_json(shown)
    assert fields["error.type"] == "MuteError"
    assert "MuteError: <exception str() failed>" in str(fields["error.stack_trace"])
    assert "error.message" not in fields


def test_a_record_that_cannot_be_formatted_is_not_lost() -> None:
    circle: dict[str, object] = {}
    circle["self"] = circle

    assert " %d cups' at " in str(as_json(record("%s: %d cups", "tea", "two"))["message"])
    fields = as_json(record("paid", order=circle, cup=2))
    assert fields["order"] == "not shown: RecursionError"
    assert fields["cup"] == 2
    shown = record("")
    shown.msg = Mute()
    assert "<Mute instance at" in str(as_json(shown)["message"])
    line = formats.ConsoleFormatter().format(record("made\n%s", Mute()))
    assert r" 'made\n%s' at " in line
    assert line.endswith(" RuntimeError")


def test_console_has_columns_and_indents_what_follows(own_id: str) -> None:
    first, *rest = formats.ConsoleFormatter().format(failed("no\ntea")).splitlines()

    assert first.endswith(" WARNING  teahouse             failed [order-7]")
    assert rest[0] == "    Traceback (most recent call last):"
    assert rest[-2:] == ["    ValueError: no", "    tea"]
    text = formats.ConsoleFormatter().format(record("two\nlines"))
    assert text.endswith("two\n    lines [order-7]")


def test_probes_are_left_out_of_the_access_log_unless_asked_for() -> None:
    assert not access.AccessFilter().filter(access_record(path="/livez"))
    assert access.AccessFilter(probes=True).filter(access_record(path="/livez"))
    assert access.AccessFilter().filter(access_record())
    assert access.AccessFilter().filter(record("GET", {"path": "/livez"}))


def test_a_query_string_is_shown_without_secrets_or_not_at_all() -> None:
    shown = access_record()
    access.AccessFilter().filter(shown)
    assert as_json(shown)["url.query"] == "milk=1&token=********"

    shown = access_record()
    access.AccessFilter(query=False).filter(shown)
    assert "url.query" not in as_json(shown)


@pytest.mark.parametrize(
    ("query", "shown"),
    [
        ("milk=1&pin=1234&otp=1&jwt=a.b.c&sig=x&sid=y", "milk=1&pin=*&otp=*&jwt=*&sig=*&sid=*"),
        ("%70assword=x&a=b", "%70assword=*&a=b"),
        ("token=abc;def&a=1;2", "token=*&a=1;2"),
        ("a=1;token=abc", "a=*"),
        ("next=%2Flogin%3Ftoken%3Dabc&a=1", "next=*&a=1"),
        ("next=%252Flogin%253Ftoken%253Dabc", "next=*"),
        ("next=/done%23access_token%3Dabc", "next=*"),
        ("next=%2Fcart%3Fpage%3D2&flag", "next=%2Fcart%3Fpage%3D2&flag"),
        ("q=a'b\"c", "q=a'b\"c"),
    ],
)
def test_a_secret_in_a_query_string_is_hidden_wherever_it_stands(query: str, shown: str) -> None:
    assert redaction.query_shown(query) == shown.replace("*", redaction.HIDDEN)


MESSAGE = "%(method)s %(path)s %(status)d"


def held(**more: Any) -> access.Access:
    """A request as stdout holds it."""
    request = access.Access(
        0.25, 0.0015, "GET", "/tea", "milk=1&token=abc", 200, "127.0.0.1", "order-7", MESSAGE
    )
    return request._replace(**more)


def hold(handler: Stdout, *requests: access.Access) -> None:
    """Has stdout hold requests, for as long as this test likes."""

    async def hold_all() -> None:
        for request in requests:
            handler.hold(request)

    asyncio.run(hold_all())


@pytest.fixture
def stdout(monkeypatch: pytest.MonkeyPatch) -> Stdout:
    """The handler of config/logging.json, in the format json; its stream is a text in memory."""
    monkeypatch.setattr(sys, "stdout", StringIO())
    handler = Stdout()
    handler.setFormatter(formats.EcsFormatter())
    handler.addFilter(access.AccessFilter())
    handler.addFilter(filters.ClientErrorFilter())
    return handler


def written(handler: Stdout) -> list[dict[str, Any]]:
    assert isinstance(handler.stream, StringIO)
    return [json.loads(line) for line in handler.stream.getvalue().splitlines()]


def test_a_request_that_is_held_has_the_fields_of_its_record(stdout: Stdout, own_id: str) -> None:
    hold(stdout, held(), held(path="/livez"))
    stdout.flush()

    shown = access_record()
    shown.created, shown.levelname, shown.msg = 0.25, "INFO", MESSAGE
    access.AccessFilter().filter(shown)
    assert written(stdout) == [as_json(shown)]


def test_what_is_held_comes_before_the_next_record_and_bad_requests_lose_nothing(
    stdout: Stdout,
) -> None:
    hold(stdout, held(), held(path=b"bytes"), held(path="/end"))
    stdout.handle(record("afterwards"))

    messages = [line["message"] for line in written(stdout)]
    assert messages[0] == "GET /tea 200"
    assert messages[1].endswith("is not a record that can be shown: TypeError")
    assert messages[2:] == ["GET /end 200", "afterwards"]


def test_pieces_are_no_longer_than_a_pipe_takes_as_a_whole(
    stdout: Stdout, monkeypatch: pytest.MonkeyPatch
) -> None:
    pieces: list[str] = []
    monkeypatch.setattr(stdout.stream, "write", pieces.append)
    hold(stdout, *(held(path="/茶" * 100) for _ in range(50)))
    stdout.write_held()

    assert 4 < len(pieces) < 50
    assert max(len(piece.encode()) for piece in pieces) <= output.PIPE_BUF
    assert sum(piece.count("\n") for piece in pieces) == 50


def test_a_process_that_is_forked_writes_nothing_of_its_parent(
    stdout: Stdout, monkeypatch: pytest.MonkeyPatch
) -> None:
    hold(stdout, held())
    with monkeypatch.context() as forked:
        forked.setattr(os, "getpid", lambda: -1)
        stdout.write_held()
    assert written(stdout) == []

    hold(stdout, held())
    stdout.write_held()
    assert len(written(stdout)) == 1


def test_a_pipe_that_nobody_reads_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    reader, writer = os.pipe()
    with open(reader, "rb") as read, open(writer, "w") as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        handler = Stdout()
        handler.setFormatter(formats.EcsFormatter())
        for number in range(1000):  # more than a pipe holds
            handler.handle(record(f"{number} {'x' * 200}"))

        lines = (json.loads(read.readline())["message"] for _ in range(1000))
        assert [int(line.split()[0]) for line in lines] == list(range(1000))


def test_other_threads_get_the_lock_back(stdout: Stdout) -> None:
    # As logging.shutdown() does, and before Python 3.13 every record.
    stdout.acquire()
    stdout.release()

    def taken_and_given_back() -> bool:
        assert stdout.lock
        taken = stdout.lock.acquire(blocking=False)
        if taken:
            stdout.lock.release()
        return taken

    with ThreadPoolExecutor() as pool:
        assert pool.submit(taken_and_given_back).result()


def test_a_stream_that_breaks_breaks_no_request(
    stdout: Stdout, capsys: pytest.CaptureFixture[str]
) -> None:
    stdout.stream.close()
    hold(stdout, held())
    stdout.write_held()
    assert "I/O operation on closed file" in capsys.readouterr().err


def only(stdout: Stdout, monkeypatch: pytest.MonkeyPatch) -> None:
    """Leaves the root logger no other handler; for a test's body, for pytest adds its own before it."""
    monkeypatch.setattr(logging.getLogger(), "handlers", [stdout])
    logging.getLogger(access.ACCESS).setLevel(logging.INFO)


def test_requests_are_held_only_where_nothing_else_could_want_their_records(
    stdout: Stdout, monkeypatch: pytest.MonkeyPatch
) -> None:
    only(stdout, monkeypatch)
    root = logging.getLogger()
    own = logging.getLogger(access.ACCESS)
    assert batching.only_stdout() is stdout

    changes: tuple[Callable[[pytest.MonkeyPatch], None], ...] = (
        lambda m: m.setattr(root, "handlers", [stdout, logging.NullHandler()]),
        lambda m: m.setattr(own, "handlers", [logging.NullHandler()]),
        lambda m: m.setattr(own, "filters", [logging.Filter()]),
        lambda m: m.setattr(own, "propagate", False),
        lambda m: m.setattr(own, "parent", logging.getLogger("teahouse")),
        lambda m: m.setattr(stdout, "filters", [*stdout.filters, logging.Filter()]),
        lambda m: m.setattr(stdout, "formatter", formats.ConsoleFormatter()),
        lambda m: m.setattr(stdout, "level", logging.WARNING),
    )
    for change in changes:
        with monkeypatch.context() as changed:
            change(changed)
            assert batching.only_stdout() is None
    assert batching.only_stdout() is stdout


SCOPE = {
    "type": "http",
    "method": "GET",
    "path": "/tea",
    "query_string": b"milk=1",
    "client": ("127.0.0.1", 1),
    "scheme": "http",
    "http_version": "1.1",
}


@pytest.mark.parametrize(
    ("format_", "message"),
    [
        (MESSAGE, "GET /tea 200"),
        ("%(method)s %(path)s by %(protocol)s", "GET /tea by HTTP/1.1"),
    ],
    ids=["held", "more than is held"],
)
def test_granian_logs_through_it_whatever_the_format(
    stdout: Stdout,
    monkeypatch: pytest.MonkeyPatch,
    format_: str,
    message: str,
) -> None:
    only(stdout, monkeypatch)
    # Where Granian has it no more, hold_requests() does nothing, and can be deleted.
    asgi: Any = granian_asgi
    monkeypatch.setattr(asgi, "_build_access_logger", asgi._build_access_logger)
    batching.hold_requests()

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
    stdout: Stdout, monkeypatch: pytest.MonkeyPatch
) -> None:
    only(stdout, monkeypatch)
    asgi: Any = granian_asgi

    def as_of_a_later_version(format_: str) -> Callable[..., str]:
        return lambda began, scope: f"{began} {scope}"

    monkeypatch.setattr(asgi, "_build_access_logger", as_of_a_later_version)
    batching.hold_requests()
    assert asgi._build_access_logger(MESSAGE)(1, 2) == "1 2"

    def with_more(format_: str, colour: bool) -> None:
        """Of one, too."""

    monkeypatch.setattr(asgi, "_build_access_logger", with_more)
    batching.hold_requests()
    assert asgi._build_access_logger is with_more


def test_what_the_environment_holds_in_secret_is_shown_nowhere(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SECRET_KEY", 'hunter2"hunter2')
    monkeypatch.setenv("DATABASE_URL", "postgres://ada:open%2Fsesame@db/shop")
    monkeypatch.setenv("MAIL_PASSWORD", "short")
    shown = record("%s and %s, %s, short", 'hunter2"hunter2', "open/sesame", "open%2Fsesame")

    for formatter in (formats.EcsFormatter(), formats.ConsoleFormatter()):
        assert "******** and ********, ********, short" in formatter.format(shown)


def test_a_secret_is_hidden_however_it_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JWT_PRIVATE_KEY", "-- begin --\nit's+a\\line\n-- the end --")
    monkeypatch.setenv("PGPASSWORD", "open sesame")
    monkeypatch.setenv("SENTRY_DSN", "https://ada:sesame-again@errors.example/1")
    key = os.environ["JWT_PRIVATE_KEY"]
    shown = record(f"{key} {key!r} %s open sesame open%20sesame sesame-again", key)

    for formatter in (formats.EcsFormatter(), formats.ConsoleFormatter()):
        line = formatter.format(shown)
        assert not [word for word in ("begin", "it's", "end", "sesame") if word in line]


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("DB_PASS", "open-sesame", "open-sesame"),
        ("SIGNING_KEY_B64", "open-sesame", "open-sesame"),
        ("AWS_CREDENTIALS", "open-sesame", "open-sesame"),
        ("SENTRY_DSN", "https://opensesame@errors.example/1", "opensesame"),
        ("SEARCH_URL", "https://x.example/?password=open%20sesame", "open sesame"),
        ("SEARCH_URL", "https://x.example/?password=open%20sesame", "open+sesame"),
        ("API_TOKEN", "öffne dich", r"\xf6ffne dich"),
        ("API_TOKEN", "öffne dich", r"\u00f6ffne dich"),
        ("API_TOKEN", "open/sesame+", "open/sesame%2B"),
        ("API_TOKEN", "open/sesame !", "open%2fsesame+!"),
        ("API_TOKEN", "open/sesame !", "open/sesame%20!"),
        ("API_TOKEN", 'open"sés\\ame', json.dumps({"token": 'open"sés\\ame'})[11:-2]),
        ("API_TOKEN", 'open"sés\\ame', repr(json.dumps('open"sés\\ame'))[2:-2]),
        ("API_TOKEN", "öffne dich", repr("öffne dich".encode())[2:-1]),
        ("API_TOKEN", "it's-open-sesame", r"it\'s-open-sesame"),
        ("SECRET_KEY_OLD", "open-sesame", "open-sesame"),
        ("DB_PASSWD", "open-sesame", "open-sesame"),
        ("PROXY_AUTH", "open-sesame", "open-sesame"),
        ("SECRET_KEY_FALLBACKS", "close-sesame,open-sesame", "open-sesame"),
        ("DB_DSN", "host=db user=ada password=open-sesame", "open-sesame"),
        ("STORE_CONNECTION_STRING", "Name=ada;AccountKey=opensesame==;x=y", "opensesame=="),
        ("CACHE_URLS", "redis://:close-sesame@a,redis://:open-sesame@b", "open-sesame"),
    ],
)
def test_a_secret_is_known_by_its_variable_and_in_each_spelling(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, said: str
) -> None:
    monkeypatch.setenv(name, value)

    for formatter in (formats.EcsFormatter(), formats.ConsoleFormatter()):
        assert "says ********" in formatter.format(record("says %s", said))


def test_a_secret_that_is_no_text_breaks_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_TOKEN", "open\udcffsesame")

    assert as_json(record("open%FFsesame"))["message"] == "********"


def test_no_part_of_a_secret_is_shown_where_a_text_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_TOKEN", "open-sesame" * 9)

    shown = record("y" * 80 + "open-sesame" * 9 + "y" * 300 + " %d", "two")
    assert "sesame" not in str(as_json(shown)["message"])


def test_the_folder_of_a_process_is_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PWD", "/srv/tea-shop")
    monkeypatch.setenv("OLDPWD", "/srv/tea-house")
    monkeypatch.setenv("DB_PWD", "open-sesame")

    line = formats.EcsFormatter().format(record("/srv/tea-shop /srv/tea-house open-sesame"))
    assert "/srv/tea-shop /srv/tea-house ********" in line


def test_a_secret_of_digits_leaves_json_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DB_PASSWORD", "12345678")

    fields = as_json(record("12345678", cups=3123456789, share=0.12345678))
    assert fields["message"] == "********"
    assert fields["cups"] == "3********9"
    assert fields["share"] == "0.********"
    assert as_json(record("", by_number={12345678: 2**70 + 12345678}))["by_number"]
    assert "12345678" not in str(as_json(record("", cups=12345678, by_number={12345678: 1})))


def test_query_strings_in_a_text_are_shown_without_secrets() -> None:
    shown = record("GET %s", "https://tea.example/?milk=1&api_key=abc&%70assword=abc#top")

    for formatter in (formats.EcsFormatter(), formats.ConsoleFormatter()):
        line = formatter.format(shown)
        assert "/?milk=1&api_key=********&%70assword=********#top" in line


@pytest.mark.parametrize(
    ("given", "level"), [(400, "WARNING"), (403, "WARNING"), (404, "INFO"), (500, "WARNING")]
)
def test_a_404_is_no_warning(given: int, level: str) -> None:
    shown = record("x", name="django.request", status_code=given)

    filters.ClientErrorFilter().filter(shown)

    assert shown.levelname == level


def test_sql_is_shown_without_its_texts() -> None:
    sql = "SELECT 1 WHERE a = 'it''s' AND b = 7 AND c = 'x'"
    args = (0.1, sql, ("it's", 7, "x"), "default")
    shown = record("%.1f %s; args=%s; alias=%s", *args, sql=sql, params=args[2])

    filters.SqlFilter().filter(shown)

    masked = "SELECT 1 WHERE a = '********' AND b = 7 AND c = '********'"
    assert shown.getMessage() == f"0.1 {masked}; args=['********', 7, '********']; alias=default"
    assert as_json(shown)["sql"] == masked

    many = record(
        "%.1f %s; args=%s; alias=%s", 0.1, "2 times", [("x", 1), ("y", 2)], "default", sql="2 times"
    )
    filters.SqlFilter().filter(many)
    assert many.getMessage() == "0.1 2 times; args=['********', '********']; alias=default"


def test_what_changes_a_schema_is_shown_without_its_texts() -> None:
    sql = "ALTER TABLE tea ADD COLUMN kind text DEFAULT 'oolong'"
    shown = record("%s; (params %r)", sql, ["x", 7], sql=sql, params=["x", 7])

    filters.SqlFilter().filter(shown)

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
    assert filters.GranianErrorFilter().filter(shown)

    fields = as_json(shown)
    assert fields["message"] == "Application callable raised an exception"
    assert str(fields["error.stack_trace"]).startswith("Traceback (most recent call last):\n  File")
    assert str(fields["error.stack_trace"]).endswith(last.rstrip())
    assert (fields["error.type"], fields["error.message"]) == (error, text)

    other = record("Connection closed: %s", "x", name="_granian.utils")
    assert filters.GranianErrorFilter().filter(other)
    assert as_json(other)["message"] == "Connection closed: x"


def test_levels_by_logger() -> None:
    found = levels.parse_levels(
        " serving = debug,_granian=WARNING, _granian.serve=error", known=("_granian",)
    )

    assert found == {"serving": "DEBUG", "_granian": "WARNING", "_granian.serve": "ERROR"}
    for wrong in (
        "serving",
        "serving=loud",
        "=debug",
        "nowhere.at.all=debug",
        "serving=debug;serving=info",
        "serving=debug,serving=info",
    ):
        with pytest.raises(ValueError, match=r"is no|is not|already"):
            levels.parse_levels(wrong, known=())


@pytest.mark.parametrize(
    ("name", "is_one"),
    [
        ("serving", True),
        ("serving.log.formats", True),
        ("serving.log.formats.Cart", True),
        ("serving.lgos", False),
        ("django.db.backends", True),
        ("django.db.backend", False),
        ("django.security.csrf", True),
        ("django.securty", False),
        ("json.decoder", True),
        ("sys", True),
        ("nowhere", False),
        ("_granian.serve", True),
        ("elsewhere.at.all", False),
        ("my-app", True),
        ("json.other_than.a.module", False),
        ("__main__", False),
    ],
)
def test_a_logger_is_named_after_a_module_or_known(name: str, is_one: bool) -> None:
    assert (
        levels.is_logger(name, known=("django", "django.security", "_granian", "my-app")) == is_one
    )


def test_a_logger_of_a_library_may_have_any_name_below_it() -> None:
    assert levels.is_logger("json.http11", known=("json",))
    assert not levels.is_logger("django.requests", known=("django", "django.request"))


def test_a_namespace_within_a_namespace_is_not_looked_into(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "teahouse" / "cloud" / "storage").mkdir(parents=True)
    (tmp_path / "teahouse" / "cloud" / "storage" / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)

    assert levels.is_logger("teahouse.cloud.storage", known=())
    assert not levels.is_logger("teahouse", known=())


def test_a_folder_that_holds_no_package_is_no_logger(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "teashop" / "templates").mkdir(parents=True)
    (tmp_path / "teashop" / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)

    import_module("teashop")
    assert levels.is_logger("teashop", known=())
    assert not levels.is_logger("teashop.templates", known=())
    monkeypatch.delitem(sys.modules, "teashop")


def test_the_main_process_takes_its_level_whatever_else_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("LOG_LEVELS", "granian.access=debug, _granian = error,only.here=info")
    assert filters.GranianLevelFilter().level == logging.ERROR


@pytest.mark.parametrize(
    ("program", "is_granian"),
    [
        ("/srv/venv/bin/granian", True),
        ("/srv/venv/granian/__main__.py", True),
        ("/srv/granian/manage.py", False),
    ],
)
def test_flags_are_granians_alone(
    monkeypatch: pytest.MonkeyPatch, program: str, is_granian: bool
) -> None:
    monkeypatch.setattr(sys, "argv", [program, "config.asgi:application"])
    assert bool(flags.granian_flags()) == is_granian


@pytest.mark.parametrize(
    ("program", "goes_to"),
    [
        ("/srv/app/manage.py", "stderr"),
        ("/srv/venv/bin/django-admin", "stderr"),
        ("/srv/venv/django/__main__.py", "stderr"),
        ("/srv/venv/bin/granian", "stdout"),
    ],
)
def test_the_log_goes_beside_what_a_command_prints(
    monkeypatch: pytest.MonkeyPatch, program: str, goes_to: str
) -> None:
    monkeypatch.setattr(sys, "argv", [program])
    assert formats.stream() is getattr(sys, goes_to)


@pytest.mark.parametrize(
    ("format_", "reason"),
    [
        ("%(nope)s", "'nope' is nothing that Granian knows of a request."),
        ("%(header{x-a})d", "'header{x-a}' is nothing"),
        ("%(path)", "incomplete format"),
        ("%(path)d", "%d format: a real number is required, not str."),
    ],
)
def test_a_format_that_granian_cannot_fill_is_refused(format_: str, reason: str) -> None:
    with pytest.raises(ValueError, match=re.escape(reason)):
        access.check_format(format_)
    access.check_format("%(addr)s %(header{ X-A })s [%(time)s] %(status)d %(dt_ms).3f %%")


@pytest.mark.parametrize("value", [b"", b"x" * 129, b"a b", b"a\x85b", b"../a"])
def test_an_id_is_taken_over_only_if_it_is_well_formed(value: bytes) -> None:
    assert identify([(b"host", b"x"), (b"x-request-id", b"Az09._-")]) == "Az09._-"
    made = identify([(b"x-request-id", value)])
    assert len(made) == 32
    assert made != identify([])
