"""Django's `sendtestemail`, which says in one line what went wrong, or which server has taken the mail."""

from typing import Any

from django.core.mail import mailers
from django.core.mail.handler import DEFAULT_MAILER_ALIAS
from django.core.management.base import CommandError
from django.core.management.commands import sendtestemail

from serving_tools.mail.backends import SmtpBackend


class Command(sendtestemail.Command):
    """`make mail TO=ada@example.com`."""

    def handle(self, *args: Any, using: str | None = None, **options: Any) -> None:
        """Raises CommandError if a server does not take the mail, or if something is no address."""
        try:
            super().handle(*args, using=using, **options)
        except (OSError, ValueError) as error:
            raise CommandError(str(error)) from None
        mailer = mailers[using or DEFAULT_MAILER_ALIAS]
        if isinstance(mailer, SmtpBackend):
            self.stdout.write(f"the mail server {mailer.host}:{mailer.port} has taken the mail")
