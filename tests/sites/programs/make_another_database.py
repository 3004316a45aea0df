"""Makes the SQLite database of a plain Django project, with Django's own user model."""

import sys

import django
from django.conf import settings
from django.core.management import call_command

APPS = ("admin", "auth", "contenttypes", "messages", "sessions")

settings.configure(
    INSTALLED_APPS=[f"django.contrib.{app}" for app in APPS],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": sys.argv[1]}},
)
django.setup()
call_command("migrate")
