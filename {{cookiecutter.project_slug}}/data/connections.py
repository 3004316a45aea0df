"""How many database connections the servers may want, and whether PostgreSQL has that many.

Each thread that serves keeps its connection, so the servers want as many as their workers have threads. A
worker's probes take one more, and a deployment runs one server more.

https://www.postgresql.org/docs/17/runtime-config-connection.html#GUC-MAX-CONNECTIONS
"""

import logging

from django.conf import settings
from django.db import DatabaseError, connection
from django.db.backends.utils import CursorWrapper
from serving.probes.diagnosis import described

logger = logging.getLogger(__name__)

THREADS_MAX = 64

# Left for migrations, backups, a person's psql, and PostgreSQL's own reserve for superusers.
RESERVE = 10


# What a process that runs tasks takes besides one for each that it runs at once: its own, one that renews
# their leases, one of its timeouts, one for the ORM in async tasks.
TASK_WORKER = 4


def threads(allowed: int, *, servers: int, workers: int) -> int:
    """How many threads each worker may have, so that all of them get one of the connections allowed."""
    return min(THREADS_MAX, max(1, (allowed - RESERVE) // ((servers + 1) * workers) - 1))


def of_tasks(replicas: int, concurrency: int) -> int:
    """How many connections so many processes, and one more in a deployment, may take for background tasks."""
    return (replicas + 1) * (concurrency + TASK_WORKER)


# The lowest of the limits, and how many connections other programs use. A limit of -1 is none.
AVAILABLE = """
SELECT least(
    current_setting('max_connections')::int
        - current_setting('superuser_reserved_connections')::int
        - coalesce(current_setting('reserved_connections', true), '0')::int,
    (SELECT nullif(rolconnlimit, -1) FROM pg_roles WHERE rolname = session_user),
    (SELECT nullif(datconnlimit, -1) FROM pg_database WHERE datname = current_database())
), (
    SELECT count(*) FROM pg_stat_activity
    WHERE backend_type = 'client backend' AND NOT starts_with(application_name, %s)
)
"""


def report_start() -> None:
    """Warns of too few connections, of a pooler that nobody named, and of statements without a time limit."""
    try:
        with connection.cursor() as cursor:
            if settings.DATABASE_POOLER != "none":
                report_limits(cursor)
            elif is_pooled(cursor):
                logger.warning(
                    "DATABASE_URL leads to a pooler: set DATABASE_POOLER to its mode, transaction or"
                    " session"
                )
            else:
                report_lack(cursor)
    except DatabaseError as error:  # /readyz says what to do about it
        logger.debug("%s", described(error, connection.settings_dict["PASSWORD"]))


def is_pooled(cursor: CursorWrapper) -> bool:
    """Whether another server process answers than the one that was connected to."""
    cursor.execute("SELECT pg_backend_pid()")
    (pid,) = cursor.fetchone()
    return bool(pid != connection.connection.info.backend_pid)


def report_limits(cursor: CursorWrapper) -> None:
    """Warns that DATABASE_STATEMENT_TIMEOUT has no effect behind a pooler."""
    cursor.execute("SELECT current_setting('statement_timeout'), quote_ident(session_user)")
    found, role = cursor.fetchone()
    if found == "0" and settings.DATABASE_STATEMENT_TIMEOUT:
        logger.warning(
            "a pooler takes no DATABASE_STATEMENT_TIMEOUT, and the server sets none: `ALTER ROLE %s"
            " SET statement_timeout = '%gs'` does, and DATABASE_STATEMENT_TIMEOUT=0 asks for none",
            role,
            settings.DATABASE_STATEMENT_TIMEOUT,
        )


def report_lack(cursor: CursorWrapper) -> None:
    """Warns if the servers may want more connections than there are."""
    name, _, _ = connection.settings_dict["OPTIONS"]["application_name"].rpartition("-")
    cursor.execute(AVAILABLE, [name])
    allowed, others = cursor.fetchone()
    others += getattr(settings, "TASK_CONNECTIONS", 0)
    servers, workers = settings.WEB_REPLICAS, settings.WORKERS
    wanted = (servers + 1) * workers * settings.SERVING_THREADS
    if wanted > allowed - others:
        logger.warning(
            "%d servers (WEB_REPLICAS) and one more during a deployment, x %d workers"
            " (GRANIAN_WORKERS) x %d threads (SERVING_THREADS) may want %d database connections, and"
            " the server has %d for them, of which others use %d: set SERVING_THREADS=%d, or raise"
            " its max_connections and DATABASE_MAX_CONNECTIONS",
            servers,
            workers,
            settings.SERVING_THREADS,
            wanted,
            allowed,
            others,
            threads(allowed - others, servers=servers, workers=workers),
        )
