"""Django's `runserver`, which says what it is not."""

from typing import Any

from django.conf import settings
from django.contrib.staticfiles.management.commands import runserver
from django.core.management import CommandError

BETTER = "`python -m serving` (in a generated project, `make dev`)"


class Command(runserver.Command):
    """Serves over WSGI, with static files; without lifespan and probes, and only for debugging."""

    def handle(self, *args: Any, **options: Any) -> None:
        if not settings.DEBUG:
            raise CommandError(f"runserver is for debugging: use {BETTER}, or turn DEBUG on")
        super().handle(*args, **options)

    def inner_run(self, *args: Any, **options: Any) -> None:
        self.stderr.write(
            f"runserver has no lifespan (request.state is empty) and no probes; {BETTER} has both"
        )
        super().inner_run(*args, **options)
