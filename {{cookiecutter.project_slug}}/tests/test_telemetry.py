"""Telemetry is off in tests, and hides what the log hides."""

import logging

import pytest
from serving.lifespan import Resources

from telemetry import check_address
{% if cookiecutter.telemetry == "sentry" %}
from telemetry.sentry import hidden
{% else %}
from telemetry.opentelemetry import attributes_of
{% endif %}


def test_it_is_off_without_its_address(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "telemetry"), Resources():
        pass
    assert "off, since" in caplog.text


def test_an_address_that_will_not_do_is_refused() -> None:
    check_address("https://{{ "0123@tracker.example/1" if cookiecutter.telemetry == "sentry" else "collector.example:4318" }}")
    for wrong in ("tracker.example", "ftp://0123@tracker.example/1", "https://[", "https://"):
        with pytest.raises(ValueError, match="Not a"):
            check_address(wrong)


{% if cookiecutter.telemetry == "sentry" %}
def test_what_is_named_like_a_secret_is_hidden() -> None:
    frame = {"vars": {"password": "'open sesame'", "number": "7"}}
    shown = hidden({"extra": {"frame": frame}}, {}, hidden_in=str)
    assert shown["extra"] == {"frame": {"vars": {"password": "********", "number": "7"}}}
{% else %}
def test_what_is_named_like_a_secret_is_hidden() -> None:
    scope = {"headers": [(b"host", b"a.example:8000")], "query_string": b"token=0123&page=7"}
    shown = attributes_of(scope)
    assert shown["url.query"] == "token=********&page=7"
    assert shown["server.address"] == "a.example"
{% endif %}
