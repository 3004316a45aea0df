"""What the first page shows, each by the name that it has in `home/index.html`."""

import logging
import os
import platform
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import version
from time import perf_counter

import django
from django.conf import settings
from django.core.cache import caches
from django.db import connection
from django.utils.timezone import localtime
from serving.http.request import Request
from serving.http.thread_pool import pool
from serving.lifespan import origin_of
from serving.probes.diagnosis import advice, missing_migrations
from serving.process.flags import granian_flags

from home.lifespan import HomeState

NO_ANSWER = dict.fromkeys(("database", "migrations", "cache"), "no answer yet")


def of_server(request: Request[HomeState]) -> dict[str, str]:
    """What this worker knows by itself, without waiting for anything."""
    origin, started = origin_of(request.state), started_at(request)
    apps = [f"{each.app}, in {each.seconds * 1000:.0f} ms" for each in origin.started]
    names = [f"{name} ({each.app})" for each in origin.started for name in each.names]
    age = datetime.now(UTC) - started if started else None
    return {
        **of_process(),
        "lifespan": settings.LIFESPAN,
        "state": origin.public_problem or origin.problem or "open",
        "apps": "\n".join(apps) or "none",
        "names": "\n".join(names) or "none",
        "started": f"{localtime(started):%Y-%m-%d %H:%M:%S %Z}" if started else "unknown",
        "uptime": str(age).partition(".")[0] if age else "unknown",
        "threads": f"{pool.busy} busy, {pool.idle} idle, of {pool.bound}; {pool.queued} queued",
    }


@cache
def of_process() -> dict[str, str]:
    """What does not change while the process runs."""
    flags = granian_flags()
    return {
        "python": platform.python_version(),
        "django": django.get_version(),
        "granian": version("granian") if flags else "not the server here",
        "interface": flags.get("interface", "unknown"),
        "loop": flags.get("loop", "unknown"),
        "level": logging.getLevelName(logging.getLogger().level).lower(),
        "worker": f"process {os.getpid()}",
        "workers": str(settings.WORKERS),
    }


def of_services() -> dict[str, str]:
    """What the database and the cache answer, and how fast; where they do not, what to do."""
    return of_database() | {"cache": of_cache()}


def of_database() -> dict[str, str]:
    try:
        with connection.cursor() as cursor:
            took = milliseconds(lambda: cursor.execute("SELECT 1"))
        missing = missing_migrations(connection)
    except Exception as error:
        return {"database": advice(error) or type(error).__name__, "migrations": "unknown"}
    release = ".".join(map(str, connection.get_database_version()))
    return {
        "database": f"{connection.display_name} {release}, {took}",
        "migrations": f"{len(missing)} missing; run `make migrate`" if missing else "all applied",
    }


def of_cache() -> str:
    store = caches["default"]
    took = milliseconds(lambda: store.set("home.live", "kept", 60))
    answer = took if store.get("home.live") == "kept" else "keeps nothing; the log says why"
    return f"{type(store).__name__}, {answer}"


def milliseconds(function: Callable[[], object]) -> str:
    """How long a call takes."""
    began = perf_counter()
    function()
    return f"{(perf_counter() - began) * 1000:.2f} ms"


def started_at(request: Request[HomeState]) -> datetime | None:
    """Where LIFESPAN is not "required", the state may be empty: so read it with a default."""
    return getattr(request.state, "started_at", None)
