"""PostgreSQL as it is set up."""

import os

import pytest
from django.conf import settings
from django.db import connection
from django.views.debug import SafeExceptionReporterFilter


@pytest.mark.skipif(connection.vendor != "postgresql", reason="the database is no PostgreSQL")
@pytest.mark.django_db
def test_a_connection_is_named_after_its_process_and_limited() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_setting('application_name')")
        assert cursor.fetchone()[0].endswith(f"-{os.getpid()}")
        cursor.execute("SELECT current_setting('statement_timeout')")
        assert cursor.fetchone() == ("30s",)


def test_djangos_debug_page_does_not_show_the_password() -> None:
    shown = SafeExceptionReporterFilter().get_safe_settings()
    secret = settings.DATABASES["default"]["PASSWORD"] or "no password"
    assert not [name for name, value in shown.items() if f":{secret}@" in str(value)]
    assert "DATABASE_URL" not in shown
