"""Opens the lifespans' resources twice, and has something to report each time."""

import logging
import os
from importlib.util import find_spec

import django

os.environ["DJANGO_SETTINGS_MODULE"] = "config.settings"
django.setup()

from django.contrib.auth import get_user_model  # noqa: E402
from serving.lifespan import Resources  # noqa: E402

for number in (1, 2):
    with Resources():
        if find_spec("telemetry.sentry"):
            import sentry_sdk

            with sentry_sdk.start_transaction(name=f"report {number}", sampled=True):
                get_user_model().objects.exists()
            logging.getLogger("home").error("report %d", number)
        else:
            from opentelemetry import trace

            with trace.get_tracer("home").start_as_current_span(f"report {number}"):
                get_user_model().objects.exists()
