"""Telemetry is off in tests, and hides what the log hides."""

import asyncio
import logging

import pytest

from telemetry import check_endpoint
from telemetry.lifespan import lifespan
{% if cookiecutter.telemetry == "sentry" %}
from telemetry.sentry import hidden
{% else %}
from telemetry.opentelemetry import attributes_of
{% endif %}


def test_it_is_off_without_its_address(caplog: pytest.LogCaptureFixture) -> None:
    async def enter() -> None:
        async with lifespan():
            pass

    with caplog.at_level(logging.INFO, "telemetry"):
        asyncio.run(enter())
    assert "off, since" in caplog.text


def test_an_address_that_will_not_do_is_refused() -> None:
    check_endpoint("https://{{ "0123@tracker.example/1" if cookiecutter.telemetry == "sentry" else "collector.example:4318" }}")
    for wrong in ("tracker.example", "ftp://0123@tracker.example/1", "https://[", "https://"):
        with pytest.raises(ValueError, match="Not a"):
            check_endpoint(wrong)


{% if cookiecutter.telemetry == "sentry" %}
def test_what_is_named_like_a_secret_is_hidden() -> None:
    frame = {"vars": {"password": "'open sesame'", "number": "7"}}
    shown = hidden({"extra": {"frame": frame}}, {})
    assert shown
    assert shown["extra"] == {"frame": {"vars": {"password": "********", "number": "7"}}}
{% else %}
def test_what_is_named_like_a_secret_is_hidden() -> None:
    scope = {"headers": [(b"host", b"a.example:8000")], "query_string": b"token=0123&page=7"}
    shown = attributes_of(scope)
    assert shown["url.query"] == "token=********&page=7"
    assert shown["server.address"] == "a.example"
{% endif %}
