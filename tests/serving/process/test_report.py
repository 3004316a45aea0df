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
    report.report_configuration()

    lines = caplog.messages[0].splitlines()
    assert f"AUTH_USER_MODEL = {settings.AUTH_USER_MODEL!r}" in lines
    assert any(line.startswith("AUTH_PASSWORD_VALIDATORS = [{'NAME': ") for line in lines)
    assert any(line.startswith("STRIPE_KEY = '***") for line in lines)
    assert settings.SECRET_KEY not in caplog.text
    assert "planted" not in caplog.text
