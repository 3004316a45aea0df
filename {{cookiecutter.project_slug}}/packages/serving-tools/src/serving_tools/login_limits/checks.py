"""System check: whether failed logins can be counted beside a request's transaction.

https://docs.djangoproject.com/en/6.1/topics/checks/
"""

from django.core.checks import CheckMessage, Error
from django.db import connections

from serving_tools.login_limits.limits import database


def check_transactions(app_configs: object = None, **options: object) -> list[CheckMessage]:
    """SQLite has one writer, which with ATOMIC_REQUESTS is the request: see `limits.apart`."""
    connection = connections[database()]
    if connection.vendor != "sqlite" or not connection.settings_dict["ATOMIC_REQUESTS"]:
        return []
    wrong = "With ATOMIC_REQUESTS and SQLite no failed login can be counted, and each login is an error."
    hint = (
        "Remove ATOMIC_REQUESTS and use transaction.atomic() in the views that need it, use PostgreSQL, or"
        " have a router keep login_limits in a database of its own."
    )
    return [Error(wrong, hint, id="serving_tools.E001")]
