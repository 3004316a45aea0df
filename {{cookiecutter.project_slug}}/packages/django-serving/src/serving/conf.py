"""The settings that this package reads from Django's, each with its default.

README.md says what each is for, and in which unit; `serving.checks` what is wrong with a value.
"""

from collections.abc import Sequence
from typing import Any

from django.conf import settings


class Conf:
    """Django's settings where they have one of these names, else the default."""

    LIFESPAN: str = "required"
    LIFESPAN_STARTUP_TIMEOUT: float = 30.0
    LIFESPAN_SHUTDOWN_TIMEOUT: float = 5.0
    DRAIN_TIMEOUT: float = 15.0
    SEND_TIMEOUT: float = 60.0
    SERVING_THREADS: int = 64
    MAX_BODY_SIZE: int = 100_000_000
    BODY_SPACE: int | None = None
    BODY_TIMEOUT: float = 30.0
    BODY_MIN_RATE: float = 1000.0
    TRUSTED_PROXIES: Sequence[str] = ()
    URL_PATH_PREFIX: str = ""
    METRICS_ENABLED: bool = False
    METRICS_ADDRESS: str = "127.0.0.1"
    METRICS_PORT: int = 9090
    WORKERS: int = 1

    def __getattribute__(self, name: str) -> Any:
        return getattr(settings, name, object.__getattribute__(self, name))


conf = Conf()
