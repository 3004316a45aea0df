"""Cached values of another version of the code."""

import logging
import pickle
import sys
from types import ModuleType
from typing import Any

import pytest
from data.cache_values import TOLD_MAX, UNREADABLE, Client, Serializer


class Cart:
    """Stands for a class that the other version has."""

    def __setstate__(self, state: object) -> None:
        raise KeyError("hunter2")


class Reduced:
    """Wants an argument that its pickle does not give."""

    def __init__(self, count: int) -> None:
        self.count = count

    def __reduce__(self) -> Any:
        return Reduced, ()


def made_by(module: str, name: str) -> bytes:
    """The pickle of an object whose class, or whose module, is gone."""
    made = ModuleType(module)
    cls = type(name, (), {"__module__": module})
    setattr(made, name, cls)
    sys.modules[module] = made
    try:
        return pickle.dumps(cls())
    finally:
        del sys.modules[module]


def changed() -> bytes:
    cart = Cart()
    cart.__dict__["tea"] = "oolong"
    return pickle.dumps(cart)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (made_by("gone_shop", "Cart"), "ModuleNotFoundError: No module named 'gone_shop'"),
        (pickle.dumps(Cart()).replace(b"Cart", b"Bask"), "AttributeError: "),
        (changed(), "KeyError;"),
        (pickle.dumps(Reduced(1)), "TypeError;"),
        (pickle.dumps(["tea"])[:-3], "a cached value"),
        (b"", "EOFError;"),
        (b"\x80\x63.", "ValueError;"),
        (b"<html>", "UnpicklingError;"),
        (b"\x80\x04\x95\xff\xff\xff\xff\xff\xff\xff\x7f.", "a cached value"),
    ],
    ids=["module", "class", "state", "arguments", "short", "empty", "protocol", "text", "length"],
)
def test_what_cannot_be_read_is_said_once_and_without_a_value(
    caplog: pytest.LogCaptureFixture, data: bytes, reason: str
) -> None:
    serializer = Serializer()
    with caplog.at_level(logging.WARNING):
        assert serializer.loads(data) is UNREADABLE
        assert serializer.loads(data) is UNREADABLE
    (said,) = caplog.messages
    assert reason in said
    assert "hunter2" not in said


def test_what_can_be_read_is_read() -> None:
    serializer = Serializer()
    for value in (None, 0, 7, True, "tea", ["tea"], {"tea": 1.5}):
        data = serializer.dumps(value)
        kept = str(data).encode() if isinstance(data, int) else data
        assert serializer.loads(kept) == value


def test_no_more_reasons_are_remembered_than_there_is_room_for(
    caplog: pytest.LogCaptureFixture,
) -> None:
    serializer = Serializer()
    values = [made_by(f"gone_{number}", "Cart") for number in range(TOLD_MAX + 1)]
    for data in values * 2:
        assert serializer.loads(data) is UNREADABLE
    assert len(caplog.messages) == TOLD_MAX


class Kept:
    """A server that keeps a value of another version, and one that can be read."""

    def __init__(self) -> None:
        self.values = {"cart": changed(), "tea": pickle.dumps("oolong")}

    def get(self, key: str) -> bytes | None:
        return self.values.get(key)

    def mget(self, keys: list[str]) -> list[bytes | None]:
        return [self.values.get(key) for key in keys]


def test_a_value_that_cannot_be_read_is_a_miss(monkeypatch: pytest.MonkeyPatch) -> None:
    client = Client(["redis://cache/0"])
    monkeypatch.setattr(client, "get_client", lambda *_, **__: Kept())
    assert [client.get(key, "none") for key in ("cart", "tea", "milk")] == [
        "none",
        "oolong",
        "none",
    ]
    assert client.get_many(["cart", "tea", "milk"]) == {"tea": "oolong"}
