"""PostgreSQL as production needs it: what every connection sets, and which addresses are refused.

https://docs.djangoproject.com/en/6.1/ref/databases/#postgresql-notes
https://www.postgresql.org/docs/17/libpq-connect.html#LIBPQ-PARAMKEYWORDS
https://www.pgbouncer.org/features.html
"""

import os
import re
from collections.abc import Mapping
from math import ceil
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import dj_database_url
import psycopg
from environs import ValidationError
from psycopg.conninfo import make_conninfo
from psycopg.pq import Conninfo, PGconn

# Seconds after which a connection is replaced, between two requests: so that servers behind a balancer
# share the load again, and a session on the server stops growing.
CONNECTION_AGE = 600

TIMEOUT_MAX = 2_147_483  # seconds: what fits the milliseconds of its parameters

# A server that disappears silently is noticed. In seconds; the last one in milliseconds.
NETWORK: dict[str, Any] = {
    "connect_timeout": 5,
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
}

LIMITS = ("statement_timeout", "idle_in_transaction_session_timeout")

# Parameters of the URL's query that Django or dj-database-url reads, and not libpq.
DJANGOS = {"assume_role", "server_side_binding", "prepare_threshold", "currentSchema"}

INTEGERS = {"connect_timeout", "tcp_user_timeout", "keepalives"} | {
    f"keepalives_{what}" for what in ("idle", "interval", "count")
}
LARGEST = {  # that Linux takes
    "keepalives_idle": 32_767,
    "keepalives_interval": 32_767,
    "keepalives_count": 127,
}
NOWHERE = "/nonexistent"


def database_settings(
    url: str,
    *,
    application: str,
    statement_timeout: float = 0,
    pooler: str = "none",
    password: str = "",
) -> dict[str, Any]:
    """Django's settings for the database that a URL names.

    The URL's query takes every parameter of libpq, for example ?sslmode=verify-full&sslrootcert=/ca.pem,
    and overrides what is set here. `password` is used where the URL has none. The server shows
    `application`, and the process's id, for each connection. `statement_timeout` is in seconds, 0 for
    none. `pooler` is the mode of a PgBouncer in between, "session" or "transaction", or "none".

    Raises ValidationError, whose text shows nothing of the URL.
    """
    check_url(url)
    try:
        parsed: dict[str, Any] = {
            **dj_database_url.parse(url, conn_max_age=CONNECTION_AGE, conn_health_checks=True)
        }
    except ValueError:
        raise ValidationError("Not a valid database URL.") from None
    if parsed["ENGINE"] == "django.db.backends.sqlite3":
        raise ValidationError("It is SQLite's, and this project's database is PostgreSQL.")
    if parsed["ENGINE"] != "django.db.backends.postgresql":
        raise ValidationError("Not a database URL of PostgreSQL.")
    if not parsed["NAME"]:
        raise ValidationError("It names no database.")
    check_with_libpq(parsed)
    options = {**NETWORK, "application_name": f"{application}-{os.getpid()}"}
    if pooler != "none":
        # A pooler refuses `options`; data/connections.py warns where nothing limits statements then. A
        # server-side cursor does not survive its transaction. Django prepares no statements.
        parsed["DISABLE_SERVER_SIDE_CURSORS"] = pooler == "transaction"
    elif milliseconds := ceil(statement_timeout * 1000):
        options["options"] = " ".join(f"-c {name}={milliseconds}" for name in LIMITS)
    parsed["OPTIONS"] = options | parsed.get("OPTIONS", {})
    parsed["PASSWORD"] = parsed["PASSWORD"] or password
    return parsed


def check_url(url: str) -> None:
    """Raises ValidationError if a part of the URL would silently be taken for something else."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        hint = " Within a password, write / as %2F, ? as %3F, # as %23." if "@" in url else ""
        raise ValidationError(f"Not a valid database URL.{hint}") from None
    if re.search(r"[\s\x00-\x1f\x7f]", url):
        raise ValidationError("There is a space in it; within a password, write it as %20.")
    if parts.fragment or url.endswith("#"):
        raise ValidationError("There is a # in it; write it as %23.")
    if port == 0:
        raise ValidationError("Its port is 0.")
    known = {each.keyword.decode() for each in Conninfo.get_defaults()} | DJANGOS
    names = [name for name, _ in parse_qsl(parts.query, keep_blank_values=True)]
    if not known.issuperset(names):  # and no name is shown: it may be the end of a password
        raise ValidationError("Its query names a parameter that libpq does not know.")
    for name in names:
        if names.count(name) > 1:
            raise ValidationError(f"Its query has {name} twice.")


def check_with_libpq(config: dict[str, Any]) -> None:
    """Raises ValidationError if libpq would refuse a parameter's value, which it would in each request."""
    options = config.get("OPTIONS", {})
    for name in options.keys() & (INTEGERS | {"prepare_threshold"}):
        value = str(options[name])
        if not re.fullmatch(r"-?\d{1,9}", value) or int(value) > LARGEST.get(name, 10**9):
            raise ValidationError(f"The {name} in its query is no whole number that can be used.")
    if not isinstance(options.get("server_side_binding"), bool | None):
        raise ValidationError("The server_side_binding in its query is neither true nor false.")
    # libpq checks all parameters before it connects, and no server listens in this folder. Without a user,
    # it would look up the process's own, which has no name in a container.
    parameters = {"user": "nobody"}
    parameters |= {name: str(options[name]) for name in options.keys() - DJANGOS}
    hosts = parameters.pop("host", "").count(",") + 1
    for name in ("hostaddr", "service"):
        parameters.pop(name, None)
    info = make_conninfo(**parameters, host=",".join([NOWHERE] * hosts))
    said = PGconn.connect_start(info.encode()).get_error_message()
    if NOWHERE not in said:
        wrong = next(
            (name for name in parameters if re.search(rf"\b{name}\b", said)), "a parameter"
        )
        raise ValidationError(f"Its query has a value for {wrong} that libpq refuses.")


def parameters(config: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration by libpq's names."""
    named = {
        "host": config["HOST"],
        "port": config["PORT"],
        "user": config["USER"],
        "password": config["PASSWORD"],
        "dbname": config["NAME"],
        **config["OPTIONS"],
    }
    return {name: value for name, value in named.items() if name not in DJANGOS}


def greet(url: str) -> str | None:
    """What answers at a URL, if that is not the server that it asks for; None if it may be.

    A server that is starting, or does not answer in time, may be.
    """
    from django.db.backends.postgresql.features import DatabaseFeatures

    try:
        config = database_settings(url, application="services")
    except ValidationError:  # the settings say so
        return None
    asked = parameters(config) | {"connect_timeout": 2}
    try:
        with psycopg.connect(
            **{name: value for name, value in asked.items() if value}
        ) as connected:
            version = connected.info.server_version // 10_000
    except psycopg.OperationalError as error:
        found = (found for pattern, found in GREETINGS.items() if re.search(pattern, str(error)))
        return next(found, None)
    except psycopg.Error:
        return None
    oldest = DatabaseFeatures.minimum_database_version or ()
    if (version,) < oldest:
        return f"PostgreSQL {version}, where this version of Django needs {oldest[0]} or later"
    return None


GREETINGS = {
    r"password authentication failed|no password supplied|role .* does not exist": (
        "a PostgreSQL that refuses this user or password"
    ),
    r"database .* does not exist": "a PostgreSQL that has no database of this name",
    r"invalid response to SSL negotiation|expected authentication request|server closed the": (
        "something that is no PostgreSQL"
    ),
}
