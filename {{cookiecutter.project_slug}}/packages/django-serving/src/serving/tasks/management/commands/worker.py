"""`manage.py worker`: runs the tasks that are enqueued, until SIGTERM."""

import logging
import sys
from typing import Any

from django.core.management import CommandParser
from django_ox.management.commands import ox_worker

from serving.conf import conf
from serving.lifespan import LifespanError
from serving.log.hooks import log_what_nobody_catches

logger = logging.getLogger("serving.tasks")


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
            # By the log, and not as a CommandError on stderr: the message may hold a secret.
            logger.error("startup failed: %s", error, exc_info=error.__cause__)
            sys.exit(1)
