#!/usr/bin/env python
"""Django's command line."""

import os
import sys

from django.core.exceptions import ImproperlyConfigured
from django.core.management import execute_from_command_line
from django.db import DatabaseError

from serving.database import MIGRATE, mend

if __name__ == "__main__":
    settings = "tests.settings" if sys.argv[1:2] == ["test"] else "config.settings"
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", settings)
    try:
        execute_from_command_line(sys.argv)
    except ImproperlyConfigured as error:
        sys.exit(f"manage.py: {error}")
    except DatabaseError as error:
        advice = mend(error)
        # A migration that stumbles over a table is mended with the traceback, and not by being run.
        if not advice or (advice == MIGRATE and "migrate" in sys.argv[1:2]):
            raise
        sys.exit(f"manage.py: the database can't be used: {advice}")
