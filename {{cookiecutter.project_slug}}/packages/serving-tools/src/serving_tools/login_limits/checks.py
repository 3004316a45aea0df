"""System checks: the limits, and whether failed logins can be counted beside a request's transaction.

https://docs.djangoproject.com/en/6.1/topics/checks/
"""

from django.conf import settings
from django.core.checks import CheckMessage, Error
from django.db import connections
from serving.rules import MOST

from serving_tools.login_limits.limits import DEFAULTS, database


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


def check_limits(app_configs: object = None, **options: object) -> list[CheckMessage]:
    """With a number of seconds beyond all dates, each login would be an error."""
    set_to = {name: getattr(settings, name, default) for name, default in DEFAULTS.items()}
    return [
        Error(
            f"{name} = {value!r}: must be a whole number from 1 to {MOST}.",
            f"Correct it, or remove it: the default is {DEFAULTS[name]}.",
            id="serving_tools.E002",
        )
        for name, value in set_to.items()
        if type(value) is not int or not 0 < value <= MOST
    ]
