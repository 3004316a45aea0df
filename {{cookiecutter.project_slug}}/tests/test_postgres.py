"""PostgreSQL as it is set up."""

import os

import pytest
from django.conf import settings
from django.db import connection
from django.views.debug import SafeExceptionReporterFilter
from environs import ValidationError

from serving.postgres import database

URL = "postgres://ada:hunter2@db.example/shop"


@pytest.mark.skipif(connection.vendor != "postgresql", reason="the database is no PostgreSQL")
@pytest.mark.django_db
def test_a_connection_is_named_after_its_process_and_limited() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_setting('application_name')")
        assert cursor.fetchone()[0].endswith(f"-{os.getpid()}")
        cursor.execute("SELECT current_setting('statement_timeout')")
        assert cursor.fetchone() == ("30s",)


def test_the_url_wins_and_takes_what_libpq_takes() -> None:
    config = database(
        f"{URL}?sslmode=verify-full&sslrootcert=/ca.pem&connect_timeout=9",
        application="shop",
        statement_timeout=1.5,
    )

    assert config["CONN_HEALTH_CHECKS"]
    assert config["OPTIONS"]["sslmode"] == "verify-full"
    assert config["OPTIONS"]["sslrootcert"] == "/ca.pem"
    assert config["OPTIONS"]["connect_timeout"] == 9
    assert "statement_timeout=1500" in config["OPTIONS"]["options"]


def test_djangos_debug_page_does_not_show_the_password() -> None:
    shown = SafeExceptionReporterFilter().get_safe_settings()
    secret = settings.DATABASES["default"]["PASSWORD"] or "no password"
    assert not [name for name, value in shown.items() if f":{secret}@" in str(value)]
    assert "DATABASE_URL" not in shown


@pytest.mark.parametrize(
    "url", ["", "hunter2", "mysql://a:hunter2@b/c", "postgres://a:hunter2@b", "postgres://a:hunter2@b:x/c"]
)  # fmt: skip
def test_a_wrong_url_is_refused_without_showing_it(url: str) -> None:
    with pytest.raises(ValidationError) as refused:
        database(url, application="shop", statement_timeout=30)
    assert "hunter2" not in str(refused.value)
