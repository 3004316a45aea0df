"""A record of each login that failed: for whom, and where from. Nothing here slows such a client down."""

import logging
import re
from collections.abc import Mapping
from typing import Any

from django.contrib.auth import get_user_model
from django.http import HttpRequest
from serving.log.redaction import HIDDEN, query_shown

logger = logging.getLogger(__name__)

LONGEST_NAME = 100

# Clients of an API that give their key for a name; and no address of e-mail.
is_like_a_key = re.compile(r"(?=\D*\d)(?=[^A-Za-z]*[A-Za-z])[^\s@]{20,}").fullmatch


def log_failed_login(
    credentials: Mapping[str, Any], request: HttpRequest | None = None, **_: object
) -> None:
    """A receiver of `user_login_failed`, whoever asked for the login: the admin, a form, an API.

    Of the credentials it shows the user's name alone: under any other key may be what nobody else is to
    know, in a spelling that Django does not hide. The name's quotes keep apart what a client wrote.

    https://docs.djangoproject.com/en/6.1/ref/contrib/auth/#django.contrib.auth.signals.user_login_failed
    """
    name = name_shown(credentials)
    address = request.META.get("REMOTE_ADDR") if request else None
    logger.warning(
        "failed login of %r from %s",
        name,
        address or "an unknown address",
        extra={"user.name": name, "client.address": address},
    )


def name_shown(credentials: Mapping[str, Any]) -> str:
    """The name that a client gave, cut, and hidden where it looks like a secret; "" without one."""
    keys = (get_user_model().USERNAME_FIELD, "username", "email")
    name = next((str(credentials[key]) for key in keys if credentials.get(key)), "")
    if is_like_a_key(name):
        return HIDDEN
    if "=" in name:  # password=hunter2
        name = query_shown(name)
    return name if len(name) <= LONGEST_NAME else f"{name[:LONGEST_NAME]}..."
