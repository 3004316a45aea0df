"""`manage.py worker`: runs the tasks that are enqueued, until SIGTERM."""

from typing import Any

from django.core.management import CommandError, CommandParser
from django_ox.management.commands import ox_worker

from serving.conf import conf
from serving.lifespan import LifespanError
from serving.log.hooks import log_what_nobody_catches


class Command(ox_worker.Command):
    """django-ox's own command, with this project's log and defaults."""

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        # Verbosity 0: else the library adds a handler of its own to the log.
        parser.set_defaults(concurrency=conf.WORKER_CONCURRENCY(), interval=0.2, verbosity=0)

    def handle(self, *args: Any, **options: Any) -> None:
        log_what_nobody_catches()
        try:
            super().handle(*args, **options)
        except LifespanError as error:
            raise CommandError(f"startup failed: {error}") from error
