"""What is secret, and hidden wherever it turns up: by its name, or as a value of the environment."""

import json
import os
import re
from contextlib import suppress
from urllib.parse import parse_qsl, quote, quote_plus, unquote, unquote_plus, urlsplit

# Names whose values are secret, of fields and of what stands in a query string.
SENSITIVE = re.compile(
    r"authorization|cookie|credential|pass(code|phrase|w)|secret|session|signature|token|api_?key"
    r"|(^|[._-])(auth|jwt|key|otp|pass|pin|pwd|sid|sig)$|^code$",
    re.IGNORECASE,
)
HIDDEN = "********"

# An item of a query string, in a URL that an app, its HTTP client or Django's CSRF check logs.
IN_QUERY = re.compile(r"""(?<=[?&;#])([^\s?&;=#"'\\]+)=([^\s&#"'\\]*)""")

# What parts the items in the value of such an item: a URL to go on to, say.
BETWEEN = re.compile(r"[\s?&;#]")

# The name of a variable of the environment whose value is secret.
SECRET_NAME = re.compile(
    r"(^|_)(CREDENTIALS?|KEY|PASS|PASSPHRASE|SECRET|TOKEN)(_B(ASE)?64)?$|PASSWORD$|_PWD$"
)


def secret_values() -> list[str]:
    """What the environment holds in secret: no line shows it, whatever it came from.

    The values of SECRET_KEY, of `..._PASSWORD`, `..._TOKEN` and the like, and the secrets in URLs.
    A key of several lines is hidden line by line, for some formats indent them.
    """
    found: set[str] = set()
    for name, value in os.environ.items():
        if SECRET_NAME.search(name):
            found |= {value, *value.splitlines()}
        elif name.endswith(("_URL", "_URI", "_DSN")):
            with suppress(ValueError):
                found |= secrets_in_url(value)
    spelled = {spelling for value in found for spelling in spellings(value)}
    return sorted((value for value in spelled if len(value) >= 8), key=len, reverse=True)


def secrets_in_url(url: str) -> set[str]:
    """A URL's password, what its query names like a secret, and a key in place of a user's name."""
    parts = urlsplit(url)
    found = {value for name, value in parse_qsl(parts.query) if SENSITIVE.search(name)}
    secret = parts.password or (parts.username if parts.scheme.startswith("http") else None)
    return found | {secret, unquote(secret)} if secret else found


def spellings(text: str) -> set[str]:
    """A text as Python, JSON and URLs write it."""
    forms = {text, repr(text)[1:-1], ascii(text)[1:-1]}
    forms |= {quote(text), quote(text, safe=""), quote_plus(text)}
    in_json = [json.dumps(form)[1:-1] for form in forms]
    return forms.union(in_json, (json.dumps(form, ensure_ascii=False)[1:-1] for form in forms))


def without(secrets: list[str], line: str) -> str:
    """The line, with secrets hidden."""
    for secret in secrets:
        if secret in line:
            line = line.replace(secret, HIDDEN)
    return IN_QUERY.sub(in_query_hidden, line) if "=" in line else line


def in_query_hidden(found: re.Match[str]) -> str:
    """An item of a query string, its value hidden if it is secret."""
    name, value = found[1], found[2]
    return f"{name}={HIDDEN if is_secret(name, value) else value}"


def query_shown(query: str) -> str:
    """A query string without the values that are secret; see `is_secret`."""
    items = (item.partition("=") for item in query.split("&"))
    return "&".join(
        f"{name}={HIDDEN}" if is_secret(name, value) else f"{name}{equals}{value}"
        for name, equals, value in items
    )


def is_secret(name: str, value: str) -> bool:
    """Whether an item of a query string, or of a URL in its value, is named like a secret."""
    if SENSITIVE.search(unquote_plus(name)):
        return True
    for _ in range(4):
        # No regular expression for names: it would take the square of the time for a long value.
        names = [inner for item in BETWEEN.split(value) for inner in item.split("=")[:-1]]
        if any(map(SENSITIVE.search, names)):
            return True
        quoted, value = value, unquote_plus(value)
        if value == quoted:
            return False
    return True  # nobody has a reason to quote so often
