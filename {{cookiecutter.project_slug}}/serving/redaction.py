"""What is secret, and hidden wherever it turns up: by its name, or as a value of the environment."""

import json
import os
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from urllib.parse import parse_qsl, quote, unquote, unquote_plus, urlsplit

from serving.secret_files import from_file

# Names whose values are secret, of fields and of what stands in a query string.
SENSITIVE = re.compile(
    r"authorization|bearer|cookie|credential|jwt|pass(code|phrase|w)|secret|session|signature|token"
    r"|(access|account|api|private)[._-]?key|(^|[._-])(auth|key|otp|pass|pin|pwd|sid|sig)$|^code$",
    re.IGNORECASE,
)
HIDDEN = "********"
HUMP = re.compile(r"(?<=[a-z])(?=[A-Z])")  # of a name such as privateKey

# An item of a query string, in a URL that an app, its HTTP client or Django's CSRF check logs, or at the
# start of a text in JSON.
IN_QUERY = re.compile(r"""(?<=[?&;#"])([^\s?&;=#"'\\]+)=([^\s&#"\\]*)""")

# What parts the items in the value of such an item: a URL to go on to, say.
BETWEEN = re.compile(r"[\s?&;#]")

# The name of a variable of the environment whose value is secret, and of one that may hold a secret.
SECRET_NAME = re.compile(
    r"^SECRET_KEY(?!.*_FILE$)|(APIKEY|PASSWORD)S?$|_PWD$"
    r"|(^|_)(AUTH|CREDENTIAL|KEY|PASS|PASSPHRASE|PASSWD|SECRET|TOKEN)S?(_B(ASE)?64)?$"
)
LONGEST_FILE = 64 * 1024  # bytes; no secret is as long
ADDRESS_NAME = re.compile(r"_(CONNECTION_STRING|DSN|URI|URL)S?$")


def is_sensitive(name: str) -> bool:
    """Whether a value of this name is secret."""
    return SENSITIVE.search(HUMP.sub("_", name)) is not None


class Secrets:
    """What the environment holds in secret: no line shows it, whatever it came from.

    The values of SECRET_KEY, of `..._PASSWORD`, `..._TOKEN` and the like, and the secrets in addresses;
    and what the files hold that `SECRET_KEY_FILE` and the like name.
    Of several lines or items each is hidden by itself, for some formats part them.
    """

    def __init__(self) -> None:
        found: set[str] = set()
        for name, value in [*os.environ.items(), *in_files()]:
            if SECRET_NAME.search(name):
                found |= {value, *re.split(r"[\n,]", value)}
            elif ADDRESS_NAME.search(name):
                found |= secrets_in(value)
        found = {value for value in found if len(value) >= 8}
        spelled = {spelling for value in found for spelling in spellings(value)}
        # The longest first, for another may be a part of it.
        self._spelled = sorted(spelled, key=len, reverse=True)
        quoted = map(as_quoted, sorted(found, key=len, reverse=True))
        self._quoted = re.compile("|".join(quoted) or "(?!)", re.IGNORECASE)

    def hidden_in(self, line: str) -> str:
        """The line without them, and without what its query strings name like a secret."""
        for secret in self._spelled:
            if secret in line:
                line = line.replace(secret, HIDDEN)
        if "%" in line or "+" in line:
            line = self._quoted.sub(HIDDEN, line)
        return IN_QUERY.sub(item_shown, line) if "=" in line else line


def in_files() -> Iterator[tuple[str, str]]:
    """The secret variables whose values lie in files, with those values."""
    for variable in os.environ:
        name = variable.removesuffix("_FILE")
        if name == variable or not (SECRET_NAME.search(name) or ADDRESS_NAME.search(name)):
            continue
        path = Path(os.environ[variable])
        # Of a pipe, the settings would find nothing left.
        if path.is_file() and path.stat().st_size <= LONGEST_FILE:
            with suppress(ValueError):  # the settings say what is wrong
                yield name, from_file(name, {variable: str(path)}) or ""


def secrets_in(address: str) -> set[str]:
    """The secrets in a URL, in several, or in items as `host=db password=...` or `Key=...;` are."""
    found = secrets_in_url(address)
    for part in re.split(r"[\s,;]", address):
        name, _, value = part.partition("=")
        found |= secrets_in_url(part)
        if is_sensitive(name):
            found.add(value.strip("'"))
    return found


def secrets_in_url(url: str) -> set[str]:
    """A URL's password, what its query names like a secret, and a key in place of a user's name."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return set()
    found = {value for name, value in parse_qsl(parts.query) if is_sensitive(name)}
    secret = parts.password or (parts.username if parts.scheme.startswith("http") else None)
    return found | {secret, unquote(secret)} if secret else found


def spellings(text: str) -> set[str]:
    """A text as Python and JSON write it, and write what they have written: JSON in a record, say."""
    writers: tuple[Callable[[str], str], ...] = (
        repr,
        ascii,
        json.dumps,
        partial(json.dumps, ensure_ascii=False),
        lambda form: "'" + form.replace("'", r"\'") + "'",  # beside a double quotation mark
        lambda form: repr(form.encode(errors="surrogateescape"))[1:],
    )
    forms = {text}
    for _ in range(3):
        forms |= {write(form)[1:-1] for form in forms for write in writers}
    return forms


def as_quoted(text: str) -> str:
    """A regular expression for a text in a URL: programs differ in which letters they quote."""
    letters = ((re.escape(c), quote(c, safe="", errors="surrogateescape")) for c in text)
    pattern = "".join(
        plain if plain == quoted else rf"(?:{plain}|{quoted})" for plain, quoted in letters
    )
    return pattern.replace(r"(?:\ |%20)", r"(?:\ |%20|\+)")


def item_shown(found: re.Match[str]) -> str:
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
    if is_sensitive(unquote_plus(name)):
        return True
    for _ in range(4):
        # No regular expression for names: it would take the square of the time for a long value.
        names = [inner for item in BETWEEN.split(value) for inner in item.split("=")[:-1]]
        if any(map(is_sensitive, names)):
            return True
        quoted, value = value, unquote_plus(value)
        if value == quoted:
            return False
    return True  # nobody has a reason to quote so often
