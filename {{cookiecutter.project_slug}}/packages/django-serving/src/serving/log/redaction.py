"""What is secret, and hidden wherever it turns up: by its name, or as a value of the environment."""

import json
import os
import re
from collections.abc import Iterator
from contextlib import suppress
from functools import cache, lru_cache
from pathlib import Path
from urllib.parse import parse_qsl, quote, unquote, unquote_plus, urlsplit

HIDDEN = "********"

# --- The vocabulary. A name is read word by word: `sessionCount`, `session.count` and `SESSION_COUNT`
# are all `_session_count`.

WORD = re.compile(r"[a-z0-9]+")
HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")  # of a name such as privateKey


def not_after(words: str) -> str:
    """A pattern for a place that none of these words stands before."""
    return "".join(f"(?<!_{word})" for word in words.split())


# A token that asks for the next page of a list opens nothing.
TOKEN = not_after("continuation_ next_ page_") + "token(?!i[sz])"

# Any key at the end of a name is secret, such as `stripe_key`, unless it follows one of these: `cache_key`.
KEY = "(?<=[^_])" + not_after(
    "cache composite config dedup deduplication dict event feature field file flag foreign group hash header"
    " idempotency index item json label limit lock map message natural object partition primary public"
    " publishable queue range record redis routing row s3 search setting sort task throttle translation unique"
)

SECRET = re.compile(
    # Anywhere in a name, and in words run together: csrftoken.
    "authorization|bearer|connection_?string|cookie(?!cutter)|credential|jwt|mnemonic|pass(code|phrase|w)"
    "|samlresponse|secret(?!ar)|sessid|(?<!pos)(?<!ob)session|signature|(access|account|api|private)key"
    f"|_(admin|db|mail|root|smtp|user)pass(?=_|$)|{TOKEN}"
    # Only at the end: `db_pass` but not `pass_rate`, `mfa_code` but not `exit_code`.
    "|_(2fa|assertion|auth|csrf|cvc|cvv|hmac|iban|otps?|pass|pin|pwd?|sid|sig|ssn|totp|verifier|xsrf)[0-9]*$"
    "|_(auth|device|login|mfa|otp|recovery|security|sms|user|verification)(codes?(?=_|$)|_codes?$)"
    "|_(2fa|access|activation|backup|confirmation|email|factor|invit(ation|e)|magic|oauth|pin|reset|time|totp"
    "|twofactor|verify)_codes?$"
    "|_(card|cc)(number(?=_|$)|_(no|number)s?$)|_security_(answer|number)s?$|(?<=secret)_answers?$"
    "|_(recovery|seed)_phrases?$"
    f"|_key_ids?$|{KEY}_keys?$"
)

# A first or last word of names that are about a secret: `max_tokens`, `token_count`, `PASSWORD_HASHERS`.
ABOUT = re.compile(
    "^_(has|is|max|min|num|total)(_|$)|_("
    "accepted|age|alg|algorithm|alias|at|backends?|banner|bucket|changed?|class|consent|count|counts|created"
    "|deleted|disabled|domain|duration|enabled|endpoint|engine|errors?|exists|expiration|expired|expires"
    "|expiry|failed|file|folder|found|hashers?|httponly|invalid|issued|kind|len|length|lifetime|limit|method"
    "|middleware|missing|model|module|names?|ok|on|path|policy|present|provider|rate|reason|refreshed"
    "|requested|required|revoked|rotated|samesite|score|secure|sent|serializer|size|status|store|strength"
    "|timeout|total|ttl|types?|updated|usage|used|user|valid|validators?|verified|version"
    ")$"
)

# The value of a field `code` that is a status, an exit or the name of an error, and not a login's.
PLAIN_CODE = re.compile(r"-?[0-9]{1,3}|(?=.{1,40}\Z)[A-Za-z]+([_. -][A-Za-z]+)*")

# The name of a variable of the environment whose value is secret, and of one that may hold a secret.
SECRET_VARIABLE = re.compile(
    r"^SECRET_KEY(?!.*_FILE$)|(APIKEY|PASSWORD)S?$|_PWD$"
    r"|(^|_)(AUTH|CREDENTIAL|KEY|PASS|PASSPHRASE|PASSWD|SECRET|TOKEN)S?(_B(ASE)?64)?$"
)
ADDRESS_VARIABLE = re.compile(r"_(CONNECTION_STRING|DSN|ENDPOINT|URI|URL)S?$")

# What stands for nothing but a header's name, as in a list of those that an API takes.
HEADER_NAME = re.compile(r"[A-Za-z]+(-[A-Za-z]+)*")


def is_sensitive(name: str) -> bool:
    """Whether values of this name are secret. Of a very long one, the end is read."""
    return is_secret_name(name[-128:])


@lru_cache(maxsize=1024)  # programs use the same few names again and again
def is_secret_name(name: str) -> bool:
    words = words_of(name)
    return bool(SECRET.search(words)) and not ABOUT.search(words)


def words_of(name: str) -> str:
    return "".join(f"_{word}" for word in WORD.findall(HUMP.sub("_", name).lower()))


def is_secret_field(name: str, value: object) -> bool:
    """Whether a field's value is to be hidden: by its name, unless it is a switch or counts something."""
    if name.lower() == "code":
        if isinstance(value, str):
            return not PLAIN_CODE.fullmatch(value)
        return isinstance(value, bytes) or (type(value) is int and abs(value) > 99_999)
    if value is None or isinstance(value, bool) or not is_sensitive(name):
        return False
    if isinstance(value, int | float):  # tokens=512, session_ms=12
        words = words_of(name)
        at_end = any("_" not in words[found.end() :] for found in SECRET.finditer(words))
        return at_end and not words.endswith("s")
    return True


# --- Query strings

# An item in a URL that an app, its HTTP client or Django's CSRF check logs, or at the start of a text.
IN_QUERY = re.compile(r"""(?:^|(?<=[?&;#"]))([^\s?&;=#"'\\]+)=([^\s&#"\\]*)""")

# An item in a query string by itself; only at its start, or a long one would take the square of the time.
ITEM = re.compile(r"(?<![^&])([^=&]*)=([^&]*)")

# What separates the items in the value of such an item: a URL to go on to, say.
BETWEEN = re.compile(r"[\s?&;#]")


# Characters of a query that the log shows. A stranger may send 30 KB of items, which take 25 ms of the event loop.
SHOWN = 4096


def query_shown(query: str) -> str:
    """A query string without the values that are secret, and without the rest of a long one."""
    if len(query) <= SHOWN:
        return ITEM.sub(item_shown, query)
    whole, _, _ = query[:SHOWN].rpartition("&")
    return f"{query_shown(whole)}&{HIDDEN}"


def item_shown(found: re.Match[str]) -> str:
    return f"{found[1]}={HIDDEN if is_secret_item(found[1], found[2]) else found[2]}"


def is_secret_item(name: str, value: str) -> bool:
    """Whether an item of a query string, or of a URL in its value, is named like a secret."""
    name = unquote_plus(name)
    if is_sensitive_in_query(name):
        is_count = name[-1] in "sS" and value.isdigit()
        is_status = name.lower() == "code" and re.fullmatch(r"-?[0-9]{1,3}", value)
        return not (is_count or is_status)
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
    """Whether an item of a query is secret: there, so are a login's `code` and an API's `key`."""
    return name.lower() in ("code", "key") or is_sensitive(name)


# --- Values of the environment

# A password in the address of a service; the word itself stands in examples.
PASSWORD_IN_URL = re.compile(r"""(://[^\s/:@"'\\]*:)(?!password@)[^\s/"'\\]+@""")

# Django's token in the address of a page that resets a password: who has it may do so, for days. It is behind
# a slash, or behind the user's id. https://docs.djangoproject.com/en/6.1/ref/settings/#password-reset-timeout
RESET_TOKEN = re.compile(r"(?<=[/-])[0-9a-z]{1,13}-[0-9a-f]{32}(?![0-9A-Za-z])")

SHORTEST = 8  # characters; a shorter value stands in other words as well
SURROUNDING = " \t\r\"'{}"  # of a value, in quotes or in JSON
LONGEST_FILE = 64 * 1024  # bytes; no secret is as long


class Secrets:
    """The environment's secrets, which no line shows, wherever it comes from.

    They are the values of SECRET_KEY, of `..._PASSWORD`, `..._TOKEN` and the like, of headers, the secrets in
    addresses, and the contents of files that `SECRET_KEY_FILE` and the like name. In a value of several lines
    or items each is hidden by itself, since some formats separate them.
    """

    def __init__(self) -> None:
        found: set[str] = set()
        for name, value in [*os.environ.items(), *in_files()]:
            if SECRET_VARIABLE.search(name):
                found |= {value, *re.split(r"[\n,]", value)}
            elif ADDRESS_VARIABLE.search(name):
                found |= secrets_in(value)
            elif name.endswith("_HEADERS"):  # of OTEL_EXPORTER_OTLP_HEADERS, say: name=value,...
                found |= secrets_in_headers(value, names=not name.startswith("OTEL_"))
        # The longest first, since another may be a part of it.
        known = sorted((value for value in found if len(value) >= SHORTEST), key=len, reverse=True)
        # With the longest part that every program writes alike.
        self._known = [(max(re.split(r"[^A-Za-z0-9_.-]", text), key=len), text) for text in known]

    def hidden_in(self, line: str) -> str:
        """The line without them, and without what its query strings name like a secret."""
        for core, secret in self._known:
            if core in line:
                line = spellings_of(secret).sub(HIDDEN, line)
        if "reset" in line:
            line = RESET_TOKEN.sub(HIDDEN, line)
        if "@" in line and "://" in line:
            line = PASSWORD_IN_URL.sub(rf"\1{HIDDEN}@", line)
        return IN_QUERY.sub(item_shown, line) if "=" in line else line


def in_files() -> Iterator[tuple[str, str]]:
    """The variables whose values lie in files, with those values."""
    for variable, file in os.environ.items():
        path, name = Path(file), variable.removesuffix("_FILE")
        with suppress(OSError):  # whoever needs it says what is wrong
            # Not a pipe: the settings would find nothing left in it.
            if name != variable and path.is_file() and path.stat().st_size <= LONGEST_FILE:
                yield name, path.read_text(errors="replace").rstrip("\r\n")


def secrets_in(address: str) -> set[str]:
    """The secrets in a URL, in several, or in items such as `host=db password=...` and `Key=...;`.

    Those of a URL are its password, what its query names like a secret, and a key in place of a user.
    """
    found: set[str] = set()
    for part in (address, *re.split(r"[\s,;]", address)):
        name, _, value = part.partition("=")
        if is_sensitive(name):
            found.add(value.strip("'"))
        with suppress(ValueError):
            url = urlsplit(part)
            found |= {value for name, value in parse_qsl(url.query) if is_sensitive_in_query(name)}
            secret = url.password or (url.scheme.startswith("http") and url.username) or ""
            found |= {secret, unquote(secret)}
    return found


def secrets_in_headers(text: str, *, names: bool) -> set[str]:
    """The secrets in `name=value,...`, and in what was meant to be that: libraries log an item that is not.

    Of an item that is none, all but a name and a colon. `names`: an item may be the name of a header alone.
    """
    found: set[str] = set()
    for item in re.split(r"[\n,]", text):
        whole = item.strip(SURROUNDING)
        values = {whole.partition(sign)[2].strip(SURROUNDING) for sign in "=:"}
        if not whole.partition("=")[2].strip("= ") and not (names and HEADER_NAME.fullmatch(whole)):
            values.add(whole)  # a key alone, or the end of a value that had a comma
        values |= {value.rpartition(" ")[2] for value in values}  # without "Bearer"
        found |= values | set(map(unquote, values))
    return found


@cache
def spellings_of(secret: str) -> re.Pattern[str]:
    """A secret as it is, as Python and JSON quote it, however often (JSON in JSON), and as a URL does."""
    return re.compile("".join(map(spellings_of_letter, secret)))


def spellings_of_letter(letter: str) -> str:
    """A pattern for a letter of a secret."""
    if re.fullmatch(r"[A-Za-z0-9_.-]", letter):
        return re.escape(letter)
    data = letter.encode(errors="surrogateescape")
    forms = [ascii(letter)[1:-1], json.dumps(letter)[1:-1], repr(data)[2:-1], quote(data, safe="")]
    if letter == " ":
        forms.append("+")
    patterns = [re.escape(form).replace(r"\\", r"\\+") for form in forms]
    return rf"(?i:\\*{re.escape(letter)}|{'|'.join(patterns)})"
