"""What it calls of Django is deprecated, and says so of its caller."""

from django.core.mail import EmailMessage


def now() -> None:
    EmailMessage("a").send("x", True, 1)
