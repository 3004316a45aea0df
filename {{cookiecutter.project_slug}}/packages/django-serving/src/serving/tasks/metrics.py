"""The queue's figures, for Prometheus: each worker of the server has the same, since all read one table."""

import logging
from collections.abc import Iterator
from functools import cache
from typing import Any

from django.db import Error, connections
from django_ox import metrics
from django_ox.models import OxTask
from prometheus_client import REGISTRY
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

logger = logging.getLogger(__package__)


class TaskCollector(Collector):
    """django-ox's own figures; none while the database does not answer, so that the others are served."""

    def __init__(self) -> None:
        self._own: Any = metrics.collector()

    def describe(self) -> Iterator[Metric]:
        return iter(self._own.describe())

    def collect(self) -> Iterator[Metric]:
        try:
            found = list(self._own.collect())
        except Error as error:
            logger.warning("no figures of the tasks: %s", type(error).__name__)
            found = []
        finally:
            # Each scrape is served by a thread of its own, whose connection nobody else would close.
            connections[OxTask.objects.db].close()
        return iter(found)


@cache  # a second registration is an error
def register() -> None:
    REGISTRY.register(TaskCollector())
