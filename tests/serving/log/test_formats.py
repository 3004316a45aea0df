"""What a record looks like, in JSON and in columns."""

import os
import sys
from collections import deque
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from enum import Enum
from io import StringIO
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest
from serving.log.formats import (
    ConsoleFormatter,
    EcsFormatter,
    formatter,
    own_secrets,
    without_secrets,
)
from serving.log.redaction import HIDDEN

from tests.serving.log.records import as_json, failed, record


def test_a_record_has_the_schemas_fields(own_id: str) -> None:
    shown = record("tea is %s", "cold", created=0.25, msecs=250.0, request=object(), cup=2)

    assert as_json(shown) == {
        "@timestamp": "1970-01-01T00:00:00.250Z",
        "log.level": "WARNING",
        "log.logger": "teahouse",
        "message": "tea is cold",
        "process.pid": shown.process,
        "http.request.id": own_id,
        "cup": 2,
    }


def test_a_record_keeps_the_id_that_it_was_made_with(own_id: str) -> None:
    shown = record("held", **{"http.request.id": "order-6"})
    assert as_json(shown)["http.request.id"] == "order-6"
    assert ConsoleFormatter().format(shown).endswith("held [order-6]")


@pytest.mark.parametrize(
    ("variables", "wanted"),
    [({"LOG_FORMAT": "json"}, EcsFormatter), ({"LOG_FORMAT": "logfmt"}, ConsoleFormatter), ({}, ConsoleFormatter)],
)  # fmt: skip
def test_a_variable_chooses_the_format(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], wanted: type
) -> None:
    monkeypatch.delenv("LOG_FORMAT", raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert type(formatter()) is wanted


def test_an_error_is_taken_apart_and_stays_on_one_line() -> None:
    fields = as_json(failed("no tea"))

    assert fields["error.type"] == "ValueError"
    assert fields["error.message"] == "no tea"
    assert str(fields["error.stack_trace"]).endswith("\nValueError: no tea")


def test_whatever_ends_a_line_is_escaped_and_letters_are_not() -> None:
    bad = "a\x7f\r\n\x85\u2028\x9b\u202e\udc80 茶"

    assert as_json(record("%s", bad))["message"] == bad
    assert "\x7f" not in EcsFormatter().format(record("\x7f"))
    assert "茶" in EcsFormatter().format(record("%s", bad))
    line = ConsoleFormatter().format(record("%s", bad))
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
    assert (fields["message"], fields["7"]) == ("", "x")
    assert fields["password"] == "********"
    assert "{'7': 'x', 'password': '********'}" in ConsoleFormatter().format(shown)
    # Two names that a record has itself.
    shown.msg = {"message": "paid", "name": "ada", "status_code": 402}
    fields = as_json(shown)
    assert (fields["message"], fields["name"]) == ("paid", "ada")
    assert fields["http.response.status_code"] == 402


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


class Cups(int):
    """An app's own kind of a number."""


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (b"\xfftea", "\\xfftea"),
        (bytearray(b"tea"), "tea"),
        (date(2026, 5, 1), "2026-05-01"),
        (datetime(2026, 5, 1, 12, tzinfo=UTC), "2026-05-01T12:00:00+00:00"),
        (time(12, 30), "12:30:00"),
        (timedelta(seconds=1), "0:00:01"),
        (ValueError("no tea"), "ValueError: no tea"),
        ([], []),
        ([1, 2], [1, 2]),
        (("green", "black", "white"), ["green", "black", "white"]),
        ([b"\xff", 2], ["\\xff", 2]),
        ({b"\xff": 2}, {"\\xff": 2}),
        (Cups(2), 2),
        (SimpleNamespace(cups=2), {"cups": 2}),
        (Cups, str(Cups)),
        (dict, str(dict)),
    ],
    ids=repr,
)
def test_a_field_is_json_of_a_kind_that_fits(value: object, shown: object) -> None:
    assert as_json(record("paid", what=value))["what"] == shown


def test_a_number_of_more_than_64_bits_changes_no_other_field() -> None:
    line = EcsFormatter().format(record("茶", cups=2**70))
    assert '"message":"茶","process.pid":' in line
    assert f'"cups":{2**70}' in line
    assert '"rate":null' in EcsFormatter().format(record("", cups=2**70, rate=float("nan")))


def test_a_stack_is_shown() -> None:
    assert as_json(record("here", stack_info="Stack:\n  a.py"))["stack_info"] == "Stack:\n  a.py"
    assert "stack_info" not in as_json(record("here"))


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
    assert HIDDEN in str(fields["what"])


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

    message = str(as_json(record("%s: %d cups", "tea", "two"))["message"])
    assert " %d cups' at " in message
    assert message.endswith(" TypeError")
    fields = as_json(record("paid", order=circle, cup=2))
    assert fields["order"] == "not shown: RecursionError"
    assert fields["cup"] == 2
    shown = record("")
    shown.msg = Mute()
    assert "<Mute instance at" in str(as_json(shown)["message"])
    line = ConsoleFormatter().format(record("made\n%s", Mute()))
    assert r" 'made\n%s' at " in line
    assert line.endswith(" RuntimeError")


def test_console_has_columns_and_indents_what_follows(own_id: str) -> None:
    first, *rest = ConsoleFormatter().format(failed("no\ntea")).splitlines()

    assert first.endswith(" WARNING  teahouse             failed [order-7]")
    assert rest[0] == "    Traceback (most recent call last):"
    assert rest[-2:] == ["    ValueError: no", "    tea"]
    text = ConsoleFormatter().format(record("two\nlines"))
    assert text.endswith("two\n    lines [order-7]")
    given = {"leaf": "green\nblack", "cups": 2}
    text = ConsoleFormatter().format(record("%(cups)d of %(leaf)s", given))
    assert text.endswith(r"2 of green\nblack [order-7]")
    text = ConsoleFormatter().format(record("failed", exc_text="Traceback:\n  \x1b[31m"))
    assert text.endswith("failed [order-7]\n    Traceback:\n      \\x1b[31m")


def test_console_has_colours_on_a_terminal_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    for is_terminal in (True, False):
        stream = StringIO()
        monkeypatch.setattr(stream, "isatty", lambda is_terminal=is_terminal: is_terminal)
        monkeypatch.setattr(sys, "stdout", stream)
        assert ("\x1b[" in ConsoleFormatter().format(record("tea"))) == is_terminal


def test_a_secret_of_digits_leaves_json_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DB_PASSWORD", "12345678")

    fields = as_json(record("12345678", cups=3123456789, share=0.12345678))
    assert fields["message"] == "********"
    assert fields["cups"] == "3********9"
    assert fields["share"] == "0.********"
    assert fields["process.pid"] == os.getpid()
    assert as_json(record("", by_number={12345678: 2**70 + 12345678}))["by_number"]
    assert "12345678" not in str(as_json(record("", cups=12345678, by_number={12345678: 1})))


def test_what_leaves_by_another_way_is_hidden_as_in_the_log(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("API_TOKEN", "open-sesame")
    own_secrets.cache_clear()
    try:
        value = {"password": "x", "rows": [{"says": "open-sesame"}, 7], "when": date(2026, 1, 2)}
        hidden = {"password": HIDDEN, "rows": [{"says": HIDDEN}, 7], "when": "2026-01-02"}
        assert without_secrets(value) == hidden
        assert without_secrets("tea") == "tea"
        assert without_secrets(None) is None
    finally:
        own_secrets.cache_clear()
