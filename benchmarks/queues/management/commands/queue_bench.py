"""The parts of `benchmarks.tasks` that need Django: what enqueues, counts, and returns lost tasks."""

import os
import time
from argparse import ArgumentParser
from datetime import timedelta
from typing import Any

from django.apps import apps
from django.core.management.base import BaseCommand
from django.db import DatabaseError, close_old_connections, connection, transaction
from django.db.models import Count, Max, Min, QuerySet
from django.utils import timezone

from queues.tasks import arrive, empty, note, work

# A reaper of ours may give back what has run for so many seconds.
LEASE = timedelta(seconds=float(os.environ["LEASE"]))


def rows() -> QuerySet[Any]:
    app, model = {
        "django-ox": ("django_ox", "OxTask"),
        "django-tasks-db": ("django_tasks_database", "DBTaskResult"),
    }[os.environ["QUEUE"]]
    return apps.get_model(app, model).objects.all()


class Command(BaseCommand):
    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("what")
        parser.add_argument("number", type=float, nargs="?", default=0)

    def handle(self, *, what: str, number: float, **_: object) -> None:
        getattr(self, what)(number)

    def produce(self, rate: float) -> None:
        """Enqueues so many tasks a second until it is killed, and notes each that the database took."""
        count = 0
        while True:
            count += 1
            close_old_connections()
            try:
                work.enqueue(count)
            except DatabaseError:
                note(count, "refused")
                connection.close()
                time.sleep(0.05)
            else:
                note(count, "enqueued")
            time.sleep(1 / rate)

    def reap(self, _: float) -> None:
        """Gives back what has been running for longer than LEASE: the whole of a reaper for django-tasks-db."""
        while True:
            time.sleep(1)
            close_old_connections()
            try:
                rows().filter(status="RUNNING", started_at__lt=timezone.now() - LEASE).update(
                    status="READY", started_at=None
                )
            except DatabaseError:
                connection.close()

    def hold(self, seconds: float) -> None:
        """Locks the database (SQLite's) for so long."""
        with transaction.atomic():
            rows().filter(pk=None).delete()
            time.sleep(seconds)

    def states(self, _: float) -> None:
        """How many there are of each state, and how many of those may still run."""
        for status, count in rows().values_list("status").annotate(count=Count("pk")).order_by():
            print(status, count)

    def unfinished(self, _: float) -> None:
        """The numbers of tasks that are in the table and not done, with their state."""
        for row in rows().exclude(status="SUCCESSFUL"):
            numbers = row.args if hasattr(row, "args") else row.args_kwargs["args"]
            print(*numbers, row.status)

    def fill(self, number: float) -> None:
        """Enqueues so many empty tasks."""
        rows().delete()
        with transaction.atomic():
            for _ in range(int(number)):
                empty.enqueue()

    def took(self, _: float) -> None:
        """Tasks a second, from the first start to the last end."""
        found = rows().aggregate(Min("started_at"), Max("finished_at"), Count("pk"))
        seconds = (found["finished_at__max"] - found["started_at__min"]).total_seconds()
        print(found["pk__count"] / seconds)

    def trickle(self, number: float) -> None:
        """Enqueues one task after the other, each to a worker that has nothing to do."""
        for count in range(int(number)):
            arrive.enqueue(time.time())
            time.sleep(0.9 + count * 0.618 % 0.5)
