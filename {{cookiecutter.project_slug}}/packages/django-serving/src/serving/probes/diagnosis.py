"""Whether a database can be used and, where it can't, what to do about it."""

import logging
import os
import re
from contextlib import closing

from django.db import DataError, IntegrityError, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.migrations.executor import MigrationExecutor

logger = logging.getLogger(__package__)

MIGRATE = "the database lacks a migration; run `manage.py migrate`"
FULL = r"too many clients|connection slots|too many connections|no more connections allowed"

# What the drivers say, and what to do: the first that matches. Strangers may read each, in the answer
# of /readyz, so it names no host, user or database.
ADVICE = {
    r"password authentication failed|no password supplied|role .* does not exist": (
        "the server refuses the user or the password; correct them in DATABASES, or check whether it"
        " is the server that you mean (a database keeps the password that it was made with)"
    ),
    r"database .* does not exist": (
        "the server has no such database; create it, or correct its name in DATABASES"
    ),
    r"Connection refused|No such file or directory": (
        "no server listens there; start it, or correct host and port in DATABASES"
    ),
    r"resolve host|translate host name": (
        "the host has no address; correct it in DATABASES, or fix the name service"
    ),
    r"timeout expired|No route to host|Network is unreachable": (
        "the host does not answer; check the network, or correct host and port in DATABASES"
    ),
    FULL: (
        "the server has no connection left; lower SERVING_THREADS or GRANIAN_WORKERS, or raise its"
        " max_connections (and DATABASE_MAX_CONNECTIONS, where settings read it)"
    ),
    r"query_wait_timeout": "the pooler had no connection to the server in time; give its pool more",
    r"unsupported startup parameter"
    r"|cursor .* does not exist|prepared statement .* (does not exist|already exists)": (
        "what answers is a pooler: turn off server-side cursors and prepared statements (in a generated"
        " project, by DATABASE_POOLER=transaction)"
    ),
    r"invalid response to SSL negotiation|expected authentication request": (
        "what listens there is not PostgreSQL; correct host and port in DATABASES"
    ),
    r"(PostgreSQL|SQLite) [\d.]+ or later is required": (
        "the database is too old for this version of Django; upgrade it"
    ),
    r"pg_hba\.conf": "the server admits no such connection; correct its pg_hba.conf or DATABASES",
    r"SSL error|support SSL|sslmode|(root|server) certificate|private key file": (
        "TLS failed; correct sslmode and sslrootcert in DATABASES"
    ),
    r"invalid connection option": "the query of DATABASES names no parameter of libpq; correct it",
    r"starting up|shutting down|in recovery mode": "the server starts or stops; wait for it",
    r"relation .* does not exist|no such table|no such column|column .* does not exist": MIGRATE,
    r"unable to open database file": (
        "the file can't be opened; make its folder, or correct the path in DATABASES"
    ),
    r"file is not a database|disk image is malformed": "the file is not a sound database; restore a backup",
    r"readonly database": "the file or its folder is not writable; change the owner or the mode",
}


def advice(error: BaseException) -> str | None:
    """What to do about an error of a database's driver; None if that is unknown.

    The text of integrity and data errors quotes users' data, so it is never matched.
    """
    if isinstance(error, (DataError, IntegrityError)):
        return None
    said = str(error)
    fix = next((fix for pattern, fix in ADVICE.items() if re.search(pattern, said)), None)
    by_variable = fix and {"DATABASE_URL", "DATABASE_URL_FILE"} & os.environ.keys()
    return fix.replace("DATABASES", "DATABASE_URL") if fix and by_variable else fix


def described(error: BaseException, password: str) -> str:
    """What the driver said, on one line, without the password; for the log."""
    said = " ".join(str(error).split())
    return said.replace(password, "***") if password else said


class Databases:
    """Asks all databases for a row, and whether they have every migration."""

    def __init__(self) -> None:
        self._migrated: set[str] = set()  # once a database has all its migrations it keeps them

    def problem(self) -> str | None:
        """The first problem, with the fix, as strangers may read it; the log says more."""
        for alias in connections:
            try:
                with closing(connections[alias]) as connection, connection.cursor() as cursor:
                    cursor.execute("SELECT 1")
                    missing = [] if alias in self._migrated else missing_migrations(connection)
            except Exception as error:
                fix, kind = advice(error), type(error).__name__
                said = described(error, connections.settings[alias]["PASSWORD"])
                logger.warning("database %r: %s (%s)", alias, fix or kind, said)
                # A full one still serves the threads that have a connection. If this server were taken
                # away, the others would get its load too, and be taken away after it.
                if alias in self._migrated and re.search(FULL, said):
                    continue
                return f"{alias}: {fix or f'{kind}; the log says more'}"
            if missing:
                fix = f"migrations are missing ({len(missing)}); run `manage.py migrate`"
                logger.warning("database %r: %s (%s)", alias, fix, ", ".join(missing))
                return f"{alias}: {fix}"
            self._migrated.add(alias)
        return None


def missing_migrations(connection: BaseDatabaseWrapper) -> list[str]:
    """The migrations of this code that the database lacks, as "app.name"."""
    executor = MigrationExecutor(connection)
    plan = executor.migration_plan(executor.loader.graph.leaf_nodes())
    return [f"{migration.app_label}.{migration.name}" for migration, _ in plan]
