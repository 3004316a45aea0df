"""Which URLs of a Valkey server are taken, and what answers there."""

import re
from itertools import islice
from urllib.parse import parse_qsl, unquote, urlsplit

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from environs import ValidationError
from redis import Redis
from redis.exceptions import InvalidResponse, RedisError

from data.valkey_refusals import LASTING, advice, refusal

# What the query of the URL may set, and how each value must look.
NUMBER = r"\d{1,9}"
SECONDS = r"(?=.*[1-9])\d{1,6}(\.\d+)?"
SWITCH = r"(?i:true|false|yes|no|1|0)"
PARAMETERS = {
    "db": NUMBER,
    "max_connections": r"[1-9]\d{0,4}",
    "timeout": SECONDS,
    "socket_connect_timeout": SECONDS,
    "socket_timeout": SECONDS,
    "socket_keepalive": SWITCH,
    "health_check_interval": NUMBER,
    "protocol": r"[23]",
    "client_name": r"[!-~]+",
    "username": ".+",
    "password": ".+",
    "ssl_cert_reqs": r"none|optional|required",
    "ssl_check_hostname": SWITCH,
    "ssl_ca_certs": ".+",
    "ssl_ca_path": ".+",
    "ssl_certfile": ".+",
    "ssl_keyfile": ".+",
    "ssl_password": ".+",
}


def location(url: str) -> str:
    """The URL as redis-py knows it: "valkey://" is "redis://", "valkeys://" is "rediss://" (TLS).

    Raises ValidationError, whose text shows nothing of the URL, for what redis-py would refuse in each
    call, or silently take for another address; open in 8.1.0:
    https://github.com/redis/redis-py/blob/v8.1.0/redis/connection.py#L2364-L2382
    """
    url = re.sub(r"\Avalkey(s?)://", r"redis\1://", url)
    wrong = mistake(url)
    if wrong is not None:
        raise ValidationError(f"Not a URL of a Valkey or Redis server{wrong}.")
    return url


def mistake(url: str) -> str | None:
    """What is wrong with a URL, as the end of a sentence; it may be empty."""
    if re.search(r"[\s\x00-\x1f\x7f]", url):
        return ": there is a space in it; within a password, write it as %20"
    if re.search(r"%(?![0-9A-Fa-f]{2})", url):
        return ": write a % as %25"
    try:
        parts = urlsplit(url)
        usable = parts.scheme in {"redis", "rediss"} and parts.hostname and parts.port != 0
        for part in (parts.netloc, parts.path, parts.query):
            unquote(part, errors="strict")
        if parts.hostname:
            unquote(parts.hostname).encode("idna")  # as Python's resolver does
    except UnicodeDecodeError:
        return ": its %xx give no UTF-8"
    except UnicodeError:
        return ": its host can't be a name"
    except ValueError:
        usable = False
    if not usable and not re.match(r"unix://([^/@]*@)?/.", url):
        return ": within a password, write / as %2F, ? as %3F, # as %23" if "@" in url else ""
    if parts.fragment or url.endswith("#"):
        return ": write a # as %23"
    if parts.scheme != "unix" and not re.fullmatch(r"(/\d{0,9})?", parts.path):
        return ": its path must be the number of a database, as in redis://host:6379/0"
    return mistake_in_query(parts.query, tls=parts.scheme == "rediss")


def mistake_in_query(query: str, *, tls: bool) -> str | None:
    """As `mistake`. An unknown name is not shown: it may be the end of a password."""
    seen: set[str] = set()
    for name, value in parse_qsl(query, keep_blank_values=True):
        if name not in PARAMETERS:
            return f": its query may have no other parameters than {', '.join(PARAMETERS)}"
        if name in seen:
            return f": its query has {name} twice"
        if name.startswith("ssl_") and not tls:
            return f": {name} needs TLS, which is rediss://"
        if not re.fullmatch(PARAMETERS[name], value):
            return f": the {name} in its query can't be used"
        seen.add(name)
    return None


def greet(url: str) -> str | None:
    """What answers at a URL, if that is not the server that it asks for; None if it may be.

    Keys that do not begin with this project's prefix show that another program uses it too.
    """
    try:
        prefix = f"{settings.CACHES['default']['KEY_PREFIX']}:".encode()
        server = Redis.from_url(location(url), socket_timeout=1, socket_connect_timeout=1)
        with server:
            keys = islice(server.scan_iter(count=500), 1000)
            strange = any(not key.startswith(prefix) for key in keys)
    except (ImproperlyConfigured, ValidationError):  # the settings say so
        return None
    except InvalidResponse:
        return "something that is no Valkey"
    except RedisError as error:
        reason = refusal(error)
        return f"a Valkey, and {advice(reason, error)}" if reason in LASTING else None
    if strange:
        return (
            "a Valkey in which other programs keep keys under the same database number: they share its"
            " memory, and `cache.clear()` would delete theirs"
        )
    return None
