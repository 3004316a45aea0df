"""What is secret, and hidden wherever it turns up: by its name, or as a value of the environment."""

import json
import os
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import lru_cache, partial
from pathlib import Path
from urllib.parse import parse_qsl, quote, unquote, unquote_plus, urlsplit

HIDDEN = "********"


def words(text: str) -> frozenset[str]:
    """The words of a text."""
    return frozenset(text.split())


# A name is read word by word: `sessionCount`, `session_count` and `session.count` are the same two.
WORD = re.compile(r"[a-z0-9]+")
HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")  # of a name such as privateKey

# A word that makes a value secret wherever it stands in the name; several may be run together: csrftoken.
SECRET_WORD = re.compile(
    r"authorization|bearer|connectionstring|cookie(?!cutter)|credential|jwt|mnemonic"
    r"|pass(code|phrase|w)|samlresponse|secret(?!ar)|sessid|(?<!pos)(?<!ob)session|signature"
    r"|token(?!i[sz])|(access|account|api|private)key|^(admin|db|mail|root|smtp|user)pass$"
    r"|^(card|cc)number$|^(auth|device|login|mfa|otp|recovery|security|sms|user|verification)codes?$"
)

# A word that does so at the end alone: `db_pass` and no `pass_rate`, `proxy_auth` and no `auth_backend`.
SECRET_AT_END = words(
    "2fa assertion auth csrf cvc cvv hmac iban otp otps pass pin pw pwd sid sig ssn totp verifier xsrf"
)

# What such a word at the end belongs to, if it is secret: `mfa_code` and no `exit_code`.
SECRET_BEFORE = {
    "code": words(
        "2fa access activation auth backup confirmation device email factor invitation invite login magic mfa"
        " oauth otp pin recovery reset security sms time totp twofactor user verification verify"
    ),
    "answer": words("secret security"),
    "no": words("card cc"),
    "number": words("card cc security"),
    "phrase": words("recovery seed"),
    "id": words("key"),
    "string": words("connection"),
}

# What a key at the end belongs to, if it is none to a lock: `cache_key` and no `stripe_key`.
PLAIN_KEYS = words(
    "cache composite config dedup deduplication dict event feature field file flag foreign group"
    " hash header idempotency index item json label limit lock map message natural object"
    " partition primary public publishable queue range record redis routing row s3 search setting"
    " sort task throttle translation unique"
)

# A last or first word that tells of a secret, and is none: `token_count`, `PASSWORD_HASHERS`, `max_tokens`.
TELLS_LAST = words(
    "accepted age alg algorithm alias at backend backends banner bucket change changed class"
    " consent count counts created deleted disabled domain duration enabled endpoint engine error"
    " errors exists expiration expired expires expiry failed file folder found hasher hashers"
    " httponly invalid issued kind len length lifetime limit method middleware missing model"
    " module name names ok on path policy present provider rate reason refreshed requested"
    " required revoked rotated samesite score secure sent serializer size status store strength"
    " timeout total ttl type types updated usage used user valid validator validators verified"
    " version"
)
TELLS_FIRST = words("has is max min num total")

# A page of a long list is asked for by a token: it opens nothing.
PAGES = words("continuation next page")

# Of a code without another word: what a status, an exit or an error may have, and a login has not.
NUMBER_OF_A_CODE = 99_999
PLAIN_CODE = re.compile(r"-?[0-9]{1,3}|[A-Za-z]+([_. -][A-Za-z]+)*")
STATUS = re.compile(r"-?[0-9]{1,3}")

# An item of a query string, in a URL that an app, its HTTP client or Django's CSRF check logs, or at the
# start of a text in JSON.
IN_QUERY = re.compile(r"""(?<=[?&;#"])([^\s?&;=#"'\\]+)=([^\s&#"\\]*)""")

# A password in the address of a service; the word itself stands in examples.
PASSWORD_IN_URL = re.compile(r"""(://[^\s/:@"'\\]*:)(?!password@)[^\s/"'\\]+@""")

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
    """Whether a value of this name is secret, whatever it is."""
    return named_like_a_secret(name) if len(name) <= 64 else named_like_a_secret.__wrapped__(name)


@lru_cache(maxsize=1024)  # programs use the same few names again and again
def named_like_a_secret(name: str) -> bool:
    """The same, worked out."""
    if only_tells(name):
        return False
    parts = parts_of(name)
    return ends_in_a_secret(parts) or any(map(SECRET_WORD.search, parts[:-1]))


def ends_in_a_secret(parts: list[str]) -> bool:
    """Whether a name's last word, after the one before it, is that of a secret."""
    *_, before, last = ["", "", *parts]
    one = last.removesuffix("s")
    if (
        last.rstrip("0123456789") in SECRET_AT_END
        or last in SECRET_AT_END
        or SECRET_WORD.search(last)
    ):
        return not (one == "token" and before in PAGES)
    if one == "key":
        return before != "" and before not in PLAIN_KEYS
    return before in SECRET_BEFORE.get(one, ())


def parts_of(name: str) -> list[str]:
    """The words of a name."""
    return WORD.findall(HUMP.sub("_", name).lower())


def only_tells(name: str) -> bool:
    """Whether a name may sound like a secret's, and is that of its count, its kind, its age and the like."""
    parts = parts_of(name)
    return bool(parts) and (parts[-1] in TELLS_LAST or parts[0] in TELLS_FIRST)


def is_secret_field(name: str, value: object) -> bool:
    """Whether a field's value is to be hidden: by its name, unless it is a switch or counts something."""
    if name.lower() == "code":
        return is_secret_code(value)
    if not is_sensitive(name):
        return False
    if value is None or isinstance(value, bool):
        return False
    if isinstance(value, int | float):  # tokens=512, session_ms=12
        return name[-1] not in "sS" and ends_in_a_secret(parts_of(name))
    return True


def is_secret_code(value: object) -> bool:
    """Whether a value named "code" is that of a login, and not a status or the name of an error."""
    match value:
        case None | bool() | float():
            return False
        case int():
            return abs(value) > NUMBER_OF_A_CODE
        case str():
            return not (PLAIN_CODE.fullmatch(value) and len(value) <= 40)
        case bytes():
            return True
    return False  # what it holds is looked at by itself


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
        if "@" in line and "://" in line:
            line = PASSWORD_IN_URL.sub(rf"\1{HIDDEN}@", line)
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
            with suppress(OSError):  # whoever needs it says what is wrong
                yield name, path.read_text(errors="replace").rstrip("\r\n")


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
    found = {value for name, value in parse_qsl(parts.query) if is_sensitive_in_query(name)}
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
    name = unquote_plus(name)
    if is_sensitive_in_query(name):
        # A status, or how many there are.
        counts = name[-1] in "sS" and value.isdigit()
        return not (counts or (name.lower() == "code" and STATUS.fullmatch(value)))
    for _ in range(4):
        # No regular expression for names: it would take the square of the time for a long value.
        names = [inner for item in BETWEEN.split(value) for inner in item.split("=")[:-1]]
        if any(map(is_sensitive_in_query, names)):
            return True
        quoted, value = value, unquote_plus(value)
        if value == quoted:
            return False
    return True  # nobody has a reason to quote so often


def is_sensitive_in_query(name: str) -> bool:
    """The same of an item of a query string or of a form: a login's `code`, and the `key` of an API."""
    return name.lower() in ("code", "key") or is_sensitive(name)
