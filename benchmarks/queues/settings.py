"""The project's own settings, with one of the two backends of Django's tasks: QUEUE is its name."""

import os

from config.settings import *

INSTALLED_APPS = [*INSTALLED_APPS, "queues", "django_ox", "django_tasks_db"]
TASKS = {
    "default": {
        "BACKEND": "django_ox.backend.OxBackend",
        "OPTIONS": {"LOCK_TIMEOUT": float(os.environ["LEASE"])},
    }
    if os.environ["QUEUE"] == "django-ox"
    else {"BACKEND": "django_tasks_db.DatabaseBackend"}
}
