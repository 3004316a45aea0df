"""The settings that this package reads from Django's, each with its default.

    from serving.conf import conf

    conf.DRAIN_TIMEOUT

`serving.checks` says what is wrong with a value. Seconds and bytes, where nothing else is said.
"""

from collections.abc import Sequence
from typing import Any

from django.conf import settings


class Conf:
    """Django's settings where they have one of these names, else the default."""

    # What to do when an app's lifespan fails to start: "required" ends the server, "optional" serves
    # without what the apps open; "disabled" never runs the apps' lifespans.
    LIFESPAN: str = "required"
    LIFESPAN_STARTUP_TIMEOUT: float = 30.0  # that the apps together may take to start
    LIFESPAN_SHUTDOWN_TIMEOUT: float = 5.0  # and to stop

    DRAIN_TIMEOUT: float = 15.0  # that responses may stay open after the order to stop
    SEND_TIMEOUT: float = 60.0  # that a client may make one part of a response wait

    # Threads of a worker that sync code may run in, and so its database connections.
    SERVING_THREADS: int = 64

    MAX_BODY_SIZE: int = 100_000_000  # of a request; a larger one is answered with 413
    # Of disk that the open requests of a worker may take together, else 503; None: ten times MAX_BODY_SIZE.
    BODY_SPACE: int | None = None
    # While a body is awaited, so many bytes a second must arrive in each of these periods, else 408.
    BODY_TIMEOUT: float = 30.0
    BODY_MIN_RATE: float = 1000.0

    # Proxies whose X-Forwarded-For and -Proto are believed: addresses, networks, and the word "unix".
    TRUSTED_PROXIES: Sequence[str] = ()
    URL_PATH_PREFIX: str = ""  # the path of its host that the site lies below, as "/app"

    # Prometheus: Granian's own metrics at this port, each worker's at one of the WORKERS behind it.
    METRICS_ENABLED: bool = False
    METRICS_ADDRESS: str = "127.0.0.1"
    METRICS_PORT: int = 9090
    WORKERS: int = 1

    def __getattribute__(self, name: str) -> Any:
        return getattr(settings, name, object.__getattribute__(self, name))


conf = Conf()
