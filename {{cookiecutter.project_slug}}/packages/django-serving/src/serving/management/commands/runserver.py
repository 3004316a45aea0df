"""Django's `runserver`, which says what it is not."""

from typing import Any

from django.conf import settings
from django.contrib.staticfiles.management.commands import runserver
from django.core.management import CommandError


class Command(runserver.Command):
    """Serves over WSGI, with static files; without lifespan and probes, and only for debugging."""

    def handle(self, *args: Any, **options: Any) -> None:
        if not settings.DEBUG:
            raise CommandError(
                "runserver is for debugging: use `make dev` or `python -m serving`, or set DEBUG=true"
            )
        super().handle(*args, **options)

    def inner_run(self, *args: Any, **options: Any) -> None:
        self.stderr.write(
            "runserver has no lifespan (request.state is empty) and no probes; `make dev` and"
            " `python -m serving` have both"
        )
        super().inner_run(*args, **options)
