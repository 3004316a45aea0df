"""EMAIL_URL: the server that takes a site's mail, as MAILERS has it.

Only a scheme of SMTP's, and what it can't be mistaken for, is taken: mail that leaves by another way than its
owner believes, without TLS or without a login, is noticed late.

https://docs.djangoproject.com/en/6.1/ref/settings/#mailers
https://www.rfc-editor.org/rfc/rfc8314#section-3
"""

import re
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit

from environs import ValidationError

Mailers = dict[str, dict[str, Any]]

# The port of each scheme, where the address names none.
PORTS = {"smtp": 25, "smtp+starttls": 587, "smtps": 465}

# What other libraries call them, some one thing and some the other.
OTHER_NAMES = {"smtp+tls": "smtp+starttls", "smtp+ssl": "smtps", "submission": "smtp+starttls"}

TIMEOUT = 10.0  # seconds that each step of a conversation may take, where the address says no other
LONGEST_TIMEOUT = 300.0  # the longest that the protocol itself asks for but once

NONE: Mailers = {"default": {"BACKEND": "serving_tools.mail.backends.NoServer"}}
CONSOLE: Mailers = {"default": {"BACKEND": "serving_tools.mail.backends.ConsoleBackend"}}
SMTP = "serving_tools.mail.backends.SmtpBackend"

LOOPBACK = ("localhost", "127.0.0.1", "::1")


def mailers(url: str) -> Mailers:
    """MAILERS for an address: smtp://host:25, smtp+starttls://user:password@host:587, smtps://, console://.

    User and password are quoted as in any URL. `?timeout=20` sets the seconds that each step may take, a
    connection or an answer. An empty address is one that sends nothing and says so.

    Raises ValidationError, whose text shows nothing of the address.
    """
    if not url:
        return NONE
    if re.search(r"[\s\x00-\x1f\x7f]", url):
        raise ValidationError("There is a space in it; within a password, write it as %20.")
    if "#" in url:
        raise ValidationError("There is a # in it; write it as %23.")
    if re.search(r"%(?![0-9A-Fa-f]{2})", url):
        raise ValidationError("There is a % in it; write it as %25.")
    if url == "console://":
        return CONSOLE
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise ValidationError(f"Not a mail server's address.{unquoted(url)}") from None
    scheme = parts.scheme
    if scheme in OTHER_NAMES:
        raise ValidationError(f"Write {OTHER_NAMES[scheme]}:// in place of {scheme}://.")
    if scheme not in PORTS:
        raise ValidationError("It begins with none of smtp+starttls://, smtps://, smtp://.")
    if not parts.hostname or parts.path not in ("", "/"):
        wrong = "It names no host." if not parts.hostname else "There is a path behind its host."
        raise ValidationError(f"{wrong}{unquoted(url)}")
    if port == 0:
        raise ValidationError("Its port is 0.")
    options = {
        "host": parts.hostname,
        "port": port or PORTS[scheme],
        "timeout": timeout(parts.query),
        "use_tls": scheme == "smtp+starttls",
        "use_ssl": scheme == "smtps",
    }
    return {"default": {"BACKEND": SMTP, "OPTIONS": options | login(parts)}}


def login(parts: SplitResult) -> dict[str, str]:
    """The user and the password, if there are any. Raises ValidationError."""
    user, password = unquote(parts.username or ""), unquote(parts.password or "")
    if not user and not password:
        return {}
    if not user or not password:  # Django would not log in
        raise ValidationError("It has a user or a password, and not both.")
    if not (user + password).isascii():
        # Open in Python 3.14: https://github.com/python/cpython/issues/73936
        raise ValidationError("Its user or password has a letter that Python's smtplib can't send.")
    if parts.scheme == "smtp" and parts.hostname not in LOOPBACK:
        raise ValidationError(
            "It would send the password unencrypted; write smtp+starttls:// or smtps://."
        )
    return {"username": user, "password": password}


def timeout(query: str) -> float:
    """The seconds that a query asks for. Raises ValidationError."""
    if not query:
        return TIMEOUT
    name, _, text = query.partition("=")
    if name != "timeout" or "&" in text:  # no name is shown: it may be the end of a password
        raise ValidationError(f"Its query may hold a timeout, and nothing else.{unquoted(query)}")
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0
    if not 0 < seconds <= LONGEST_TIMEOUT:
        raise ValidationError(
            f"The timeout in its query is no number of seconds up to {LONGEST_TIMEOUT:g}."
        )
    return seconds


def unquoted(url: str) -> str:
    """The advice for an address whose password may hold what ends a host."""
    return " Within a password, write / as %2F, ? as %3F, @ as %40." if "@" in url else ""
