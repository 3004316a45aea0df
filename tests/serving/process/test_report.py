"""What a worker logs of its configuration at level debug."""

import logging

import pytest
from django.conf import settings
from serving.process import report

from tests import settings as config_settings


def test_settings_are_listed_with_what_an_operator_needs(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, report.__name__)
    monkeypatch.setattr(config_settings, "STRIPE_KEY", "planted", raising=False)
    monkeypatch.setattr(settings, "STRIPE_KEY", "planted", raising=False)
    flags = {"workers": 2, "app": "config.asgi:application"}
    monkeypatch.setattr(report, "granian_flags", lambda: flags)
    report.report_configuration()

    said, flags_said = caplog.messages
    assert flags_said == "flags:\napp = 'config.asgi:application'\nworkers = 2"
    first, *lines = said.splitlines()
    assert first == "settings:"
    assert lines == sorted(lines)
    assert f"AUTH_USER_MODEL = {settings.AUTH_USER_MODEL!r}" in lines
    assert any(line.startswith("AUTH_PASSWORD_VALIDATORS = [{'NAME': ") for line in lines)
    assert any(line.startswith("STRIPE_KEY = '***") for line in lines)
    assert settings.SECRET_KEY not in caplog.text
    assert "planted" not in caplog.text


def test_nothing_is_listed_at_another_level(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, report.__name__)
    report.report_configuration()
    assert caplog.messages == []
