#!/usr/bin/env python
"""Django's command line. It reads .env, over which a variable of the shell wins; tests read none."""

import os
import sys
from pathlib import Path

import serving.process_one  # noqa: F401 - a signal is heard before Django is imported
from django.core.exceptions import ImproperlyConfigured
from django.core.management import execute_from_command_line
from django.db import DatabaseError
from serving.probes.diagnosis import MIGRATE, advice
from serving_tools.env_file import EnvFileError, load

ENV_FILE = Path(__file__).with_name(".env")

if __name__ == "__main__":
    settings = "tests.settings" if sys.argv[1:2] == ["test"] else "config.settings"
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", settings)
    try:
        if os.environ["DJANGO_SETTINGS_MODULE"] != "tests.settings" and os.path.lexists(ENV_FILE):
            load(ENV_FILE, os.environ, name=".env")
        execute_from_command_line(sys.argv)
    except EnvFileError as error:
        sys.exit(str(error))
    except ImproperlyConfigured as error:
        sys.exit(f"manage.py: {error}")
    except DatabaseError as error:
        fix = advice(error)
        # If `migrate` itself fails, advice to run it is of no use, and the traceback is.
        if not fix or (fix == MIGRATE and "migrate" in sys.argv[1:2]):
            raise
        sys.exit(f"manage.py: the database can't be used: {fix}")
